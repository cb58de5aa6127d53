//! A running lab.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::leftovers::{Removed, remove_leftovers};
use super::outbound_metrics::OutboundMetrics;
use super::state_directory::{StateDirectory, StateError, default_base};
use crate::arm::{self, ArmOptions, ArmServeError, ArmServer};
use crate::data_plane::{DataPlane, DataPlaneError, NodeName};
use crate::estate::Node;
use crate::kube::{self, KubeOptions, KubeServer};
use crate::planes::{
    DataPlaneOptions, NamespacedDataPlane, Probe, ProbeResult, SimulatedDataPlane,
};
use crate::scenario::Scenario;
use crate::wire::{Authority, TlsError};

/// Which data plane a lab gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataPlaneChoice {
    /// Real packets where the machine allows them, else simulated.
    #[default]
    Auto,
    /// Real packets or nothing.
    Real,
    /// Simulated in any case.
    Simulated,
}

/// How a lab is started.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Which data plane.
    pub data_plane: DataPlaneChoice,
    /// How it behaves.
    pub data_plane_options: DataPlaneOptions,
    /// Where the lab's directory is made.
    pub base_directory: PathBuf,
    /// Port of the ARM endpoint; 0 takes a free one.
    pub arm_port: u16,
    /// Port of the Kubernetes API; 0 takes a free one.
    pub kube_port: u16,
    /// How long to wait for the agents to connect, where they are expected to.
    pub agent_limit: Duration,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            data_plane: DataPlaneChoice::default(),
            data_plane_options: DataPlaneOptions::default(),
            base_directory: default_base(),
            arm_port: 0,
            kube_port: 0,
            agent_limit: Duration::from_secs(5),
        }
    }
}

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// No data plane.
    #[error(transparent)]
    DataPlane(#[from] DataPlaneError),
    /// No Azure.
    #[error(transparent)]
    Arm(#[from] ArmServeError),
    /// No Kubernetes API.
    #[error("kubernetes_not_served: {0}")]
    Kube(std::io::Error),
    /// No certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An agent that the scenario expects to connect did not.
    #[error("agent_not_connected: the tunnel agent of {0} found no way to its server")]
    AgentNotConnected(NodeName),
    /// Asked for what only real packets can tell.
    #[error("simulated_data_plane: a probe needs real packets")]
    Simulated,
}

/// A running lab; dropping it takes everything down.
pub struct Lab {
    scenario: Scenario,
    kube: KubeServer,
    _outbound_metrics: Option<OutboundMetrics>,
    arm: Arc<ArmServer>,
    data_plane: Arc<dyn DataPlane>,
    real: Option<Arc<NamespacedDataPlane>>,
    simulated_because: Option<String>,
    files: Files,
    removed: Removed,
    directory: StateDirectory,
}

impl Lab {
    /// Removes what killed labs left, builds the estate, and starts its agents and APIs.
    ///
    /// # Errors
    /// What could not be started; everything started before is taken down.
    pub async fn start(scenario: Scenario, options: LabOptions) -> Result<Self, LabError> {
        let removed = remove_leftovers(&options.base_directory);
        let lab_id = &options.data_plane_options.lab_id;
        let directory = StateDirectory::create(&options.base_directory, lab_id)?;
        let Planes {
            data_plane,
            real,
            simulated_because,
        } = start_data_plane(&scenario, &options).await?;
        let authority = Authority::generate().map_err(TlsError::Certificate)?;
        let arm_options = ArmOptions {
            port: options.arm_port,
            identity: Some(authority.loopback_identity()?),
            ..ArmOptions::default()
        };
        let arm = arm::serve(
            &scenario.estate,
            &scenario.switches,
            arm_options,
            Arc::clone(&data_plane),
        )
        .await?;
        let arm = Arc::new(arm);
        let outbound_metrics = match &real {
            Some(real) => {
                real.start_workloads().await?;
                let metrics = OutboundMetrics::start(
                    scenario.estate.load_balancer_id(),
                    scenario.estate.nodes(),
                    Arc::clone(&arm),
                    Arc::clone(real),
                );
                Some(metrics.await)
            }
            None => None,
        };
        let kube_options = KubeOptions {
            port: options.kube_port,
            identity: authority.loopback_identity()?,
            authority_pem: authority.certificate_pem(),
            token: uuid::Uuid::new_v4().to_string(),
        };
        let kube = kube::serve(&scenario.estate, kube_options, Arc::clone(&data_plane))
            .await
            .map_err(LabError::Kube)?;
        arm.set_kubeconfig(&kube.kubeconfig());
        let files = Files::write(&directory, &authority, &arm, &kube)?;
        let lab = Self {
            scenario,
            kube,
            _outbound_metrics: outbound_metrics,
            arm,
            data_plane,
            real,
            simulated_because,
            files,
            removed,
            directory,
        };
        lab.wait_for_agents(options.agent_limit).await?;
        Ok(lab)
    }

    /// The cluster's controller starts the agents; a lab is ready when they are connected.
    async fn wait_for_agents(&self, limit: Duration) -> Result<(), LabError> {
        let Some(real) = &self.real else {
            return Ok(());
        };
        if self.scenario.expect.tunnel_down {
            return Ok(());
        }
        let nodes = self.scenario.estate.nodes();
        let connects = |node: &&Node| node.agent && !node.settings.agent_hung;
        for node in nodes.iter().filter(connects) {
            if !real.wait_for_agent(&node.name, limit).await {
                return Err(LabError::AgentNotConnected(node.name.clone()));
            }
        }
        Ok(())
    }

    /// What the lab is of.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The emulated Azure.
    pub fn arm(&self) -> &ArmServer {
        &self.arm
    }

    /// The network and nodes.
    pub fn data_plane(&self) -> &Arc<dyn DataPlane> {
        &self.data_plane
    }

    /// Why packets are simulated; nothing when they are real.
    pub fn simulated_because(&self) -> Option<&str> {
        self.simulated_because.as_deref()
    }

    /// ARM id of the cluster.
    pub fn cluster_id(&self) -> String {
        self.scenario.estate.cluster.id()
    }

    /// The lab's own directory, gone with the lab.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What killed labs had left when this one started.
    pub fn removed_leftovers(&self) -> &Removed {
        &self.removed
    }

    /// For each machine the thread to give to `nsenter -t`; empty when simulated.
    pub fn machines(&self) -> Vec<(String, i32)> {
        self.real
            .as_ref()
            .map(|real| real.machines())
            .unwrap_or_default()
    }

    /// The emulated Kubernetes API.
    pub fn kube(&self) -> &KubeServer {
        &self.kube
    }

    /// A kubeconfig of the cluster, for `KUBECONFIG`.
    pub fn kubeconfig_file(&self) -> &Path {
        &self.files.kubeconfig
    }

    /// The certificate authority of the lab's endpoints.
    pub fn authority_file(&self) -> &Path {
        &self.files.authority
    }

    /// The file with the configuration that points `naosu` at the lab.
    pub fn naosu_config_file(&self) -> &Path {
        &self.files.naosu_config
    }

    /// Environment variables that give Azure's credential libraries an identity of the lab.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("AZURE_TENANT_ID", self.arm.tenant().to_owned()),
            ("AZURE_CLIENT_ID", self.arm.client_id().to_owned()),
            ("AZURE_CLIENT_SECRET", self.arm.client_secret().to_owned()),
            ("KUBECONFIG", self.files.kubeconfig.display().to_string()),
        ];
        if let Some(authority) = self.arm.authority() {
            environment.push(("AZURE_AUTHORITY_HOST", authority));
        }
        environment
    }

    /// Ground truth: tries a TCP connection over the real packets.
    ///
    /// # Errors
    /// A simulated data plane, or an unknown node.
    pub async fn probe(&self, from: &Probe, target: SocketAddr) -> Result<ProbeResult, LabError> {
        let real = self.real.as_ref().ok_or(LabError::Simulated)?;
        Ok(real.probe(from, target).await?)
    }
}

struct Planes {
    data_plane: Arc<dyn DataPlane>,
    real: Option<Arc<NamespacedDataPlane>>,
    simulated_because: Option<String>,
}

async fn start_data_plane(scenario: &Scenario, options: &LabOptions) -> Result<Planes, LabError> {
    let simulated = |because: String| {
        let plane = SimulatedDataPlane::start(scenario, options.data_plane_options.clone())?;
        Ok(Planes {
            data_plane: Arc::new(plane),
            real: None,
            simulated_because: Some(because),
        })
    };
    if options.data_plane == DataPlaneChoice::Simulated {
        return simulated("asked for".to_owned());
    }
    if options.data_plane == DataPlaneChoice::Auto
        && let Err(reason) = crate::machine::Machine::start("trial", || Ok(()))
    {
        tracing::warn!(%reason, "no network namespaces: packets are simulated");
        return simulated(reason.to_string());
    }
    let plane = NamespacedDataPlane::start(scenario, options.data_plane_options.clone()).await?;
    let plane = Arc::new(plane);
    Ok(Planes {
        data_plane: Arc::clone(&plane) as Arc<dyn DataPlane>,
        real: Some(plane),
        simulated_because: None,
    })
}
