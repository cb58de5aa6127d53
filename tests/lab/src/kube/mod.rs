//! The Kubernetes API, emulated as far as kube-rs, kubectl and the product use
//! it. What needs a kubelet goes through the tunnel, over real packets.

mod agents;
mod budget;
mod controller;
mod discovery;
mod dispatch;
mod endings;
mod events;
mod kubeconfig;
mod kubelet;
mod objects;
mod patch;
mod pods;
mod resource;
mod seed;
mod selector;
mod state;
mod status;
mod table;
mod taints;
mod watching;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::data_plane::DataPlane;
use crate::estate::Estate;
use crate::wire::{Faults, HttpServer, Identity, RequestLog, listen};
use resource::ResourceType;
use selector::Selector;
use state::State;

/// How the API server is served; the estate says what it holds.
#[derive(Clone)]
pub struct KubeOptions {
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Certificate of the listener: clients send a token over TLS only.
    pub identity: Identity,
    /// Certificate of the authority that signed it, for the kubeconfig.
    pub authority_pem: String,
    /// The token clients must send.
    pub token: String,
}

/// The running emulator; dropping it stops it.
pub struct KubeServer {
    state: Arc<State>,
    faults: Faults,
    requests: RequestLog,
    http: HttpServer,
    cluster: String,
    authority_pem: String,
    token: String,
}

/// Serves the estate's cluster.
///
/// # Errors
/// The port cannot be bound.
pub async fn serve(
    estate: &Estate,
    options: KubeOptions,
    data_plane: Arc<dyn DataPlane>,
) -> io::Result<KubeServer> {
    let state = Arc::new(State {
        objects: Arc::new(objects::Objects::new()),
        data_plane,
        tokens: Mutex::new(BTreeSet::from([options.token.clone()])),
        kubernetes_version: estate.cluster.kubernetes_version.clone(),
        agents: estate.cluster.tunnel.deployment(),
        stop: CancellationToken::new(),
    });
    seed::fill(&state.objects, estate);
    // The first round is done before anyone can ask, so that a client never
    // sees a cluster without its pods.
    let mut memory = controller::Memory::at_home(
        state.agents,
        estate
            .nodes()
            .into_iter()
            .filter(|node| node.agent)
            .map(|node| node.name.0)
            .collect(),
    );
    controller::reconcile(&state, &mut memory).await;
    if let Some(types) = controller::Types::find() {
        agents::remember_memory_kills(&state, &types, estate);
    }
    tokio::spawn(controller::run(state.clone(), memory));
    let faults = Faults::default();
    let requests = RequestLog::default();
    let http = listen(
        options.port,
        Some(options.identity.server_config),
        faults.clone(),
        requests.clone(),
        dispatch::handler(state.clone()),
    )
    .await?;
    Ok(KubeServer {
        state,
        faults,
        requests,
        http,
        cluster: estate.cluster.name.clone(),
        authority_pem: options.authority_pem,
        token: options.token,
    })
}

impl KubeServer {
    /// The API server's URL.
    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.http.address().port())
    }

    /// A kubeconfig that points here.
    pub fn kubeconfig(&self) -> String {
        kubeconfig::render(
            &self.cluster,
            &self.endpoint(),
            &self.authority_pem,
            &self.token,
        )
    }

    /// Faults of the next requests.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every request received.
    pub fn requests(&self) -> &RequestLog {
        &self.requests
    }

    /// Adds an object, or replaces the one of its name; `None` when its type
    /// is not one of the emulator's.
    pub fn put(&self, object: Value) -> Option<Value> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let resource = ResourceType::of_object(text("apiVersion"), text("kind"))?;
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        let objects = &self.state.objects;
        objects
            .create(resource, object.clone())
            .or_else(|_| objects.update(resource, object))
            .ok()
    }

    /// An object as a client would read it now; `namespace` is empty for what
    /// has none.
    pub fn object(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let resource = ResourceType::of_object(api_version, kind)?;
        self.state.objects.get(resource, namespace, name)
    }

    /// The pods of a namespace that a label selector selects, as a client
    /// would read them now.
    pub fn pods(&self, namespace: &str, labels: &str) -> Vec<Value> {
        let selector = Selector::parse(labels, "").unwrap_or_default();
        ResourceType::find("", "pods")
            .map(|pods| self.state.objects.list(pods, Some(namespace), &selector).0)
            .unwrap_or_default()
    }
}

impl Drop for KubeServer {
    fn drop(&mut self) {
        self.state.stop.cancel();
    }
}
