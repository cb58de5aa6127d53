//! An emulated cluster over a simulated data plane, and a client of it.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use naosu_lab::arm::{self, ArmOptions, ArmServer};
use naosu_lab::kube::{KubeOptions, KubeServer, serve};
use naosu_lab::planes::{DataPlaneOptions, SimulatedDataPlane};
use naosu_lab::wire::Authority;
use naosu_lab::{Scenario, builtin_scenario};

use crate::support::quick;

pub struct Cluster {
    pub server: KubeServer,
    pub client: kube::Client,
    pub data_plane: Arc<SimulatedDataPlane>,
    /// Holds the resources that are enforced.
    _arm: ArmServer,
}

pub async fn cluster(scenario: &Scenario) -> Cluster {
    // Several tests of one process do this; the first one wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = DataPlaneOptions {
        dial_limit: Duration::from_millis(100),
        ..DataPlaneOptions::default()
    };
    let data_plane = Arc::new(SimulatedDataPlane::start(scenario, options).unwrap());
    let arm = arm::serve(
        &scenario.estate,
        &quick(),
        ArmOptions::default(),
        data_plane.clone(),
    )
    .await
    .unwrap();
    let authority = Authority::generate().unwrap();
    let options = KubeOptions {
        port: 0,
        identity: authority.loopback_identity().unwrap(),
        authority_pem: authority.certificate_pem(),
        token: "lab-token".to_owned(),
    };
    let server = serve(&scenario.estate, options, data_plane.clone())
        .await
        .unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig()).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
    // By default the client answers 429 and 503 by trying again for minutes.
    config.default_retry = false;
    Cluster {
        client: kube::Client::try_from(config).unwrap(),
        server,
        data_plane,
        _arm: arm,
    }
}

pub async fn blocked() -> Cluster {
    cluster(&builtin_scenario("nsg-deny-10250").unwrap()).await
}

/// Asks until the answer is yes, which must be soon.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}
