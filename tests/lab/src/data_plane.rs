//! What the emulated Azure and Kubernetes APIs ask of the network below them.
//!
//! The ARM emulator decides what is configured, the Kubernetes emulator what runs; the data plane
//! decides which packets pass. It is real (network namespaces) or, where the machine allows no
//! namespaces, simulated.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

/// The Kubernetes name of a node, which is also the host name of its VM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// A snapshot of ARM resources, each as ARM holds it: `id`, `name`, `type`, `properties`.
///
/// Ids are compared case-insensitively, as ARM does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArmResources {
    by_lowercase_id: BTreeMap<String, Value>,
}

impl ArmResources {
    /// Adds or replaces a resource under its `id`; a value without one is ignored and `false`
    /// is returned.
    pub fn insert(&mut self, resource: Value) -> bool {
        let Some(id) = resource.get("id").and_then(Value::as_str) else {
            return false;
        };
        self.by_lowercase_id
            .insert(id.to_ascii_lowercase(), resource);
        true
    }

    /// Removes a resource.
    pub fn remove(&mut self, id: &str) -> Option<Value> {
        self.by_lowercase_id.remove(&id.to_ascii_lowercase())
    }

    /// The resource with this id.
    pub fn get(&self, id: &str) -> Option<&Value> {
        self.by_lowercase_id.get(&id.to_ascii_lowercase())
    }

    /// All resources of a type such as `Microsoft.Network/networkSecurityGroups`, in id order.
    ///
    /// The type is read from the resource id, so a nested type names its parents:
    /// `Microsoft.Network/virtualNetworks/subnets`. The network interface of a scale-set instance
    /// is `Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces`.
    pub fn of_type<'a>(&'a self, resource_type: &'a str) -> impl Iterator<Item = &'a Value> {
        self.by_lowercase_id
            .iter()
            .filter(move |(id, _)| {
                type_of_id(id).is_some_and(|found| found.eq_ignore_ascii_case(resource_type))
            })
            .map(|(_, resource)| resource)
    }

    /// All resources, in id order.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.by_lowercase_id.values()
    }
}

impl FromIterator<Value> for ArmResources {
    fn from_iter<I: IntoIterator<Item = Value>>(resources: I) -> Self {
        let mut all = Self::default();
        for resource in resources {
            all.insert(resource);
        }
        all
    }
}

fn type_of_id(id: &str) -> Option<String> {
    let (_, provider_path) = id.rsplit_once("/providers/")?;
    let mut segments = provider_path.split('/');
    let mut resource_type = segments.next()?.to_owned();
    for kind in segments.step_by(2) {
        resource_type.push('/');
        resource_type.push_str(kind);
    }
    Some(resource_type)
}

/// What a script run on a node printed, whole, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit status; 128 plus the number for a script that died of a signal.
    pub exit_code: i32,
}

/// A byte stream in both directions.
pub trait AsyncReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncReadWrite for T {}

/// A connection from the API server to a node, through the tunnel.
pub type TunnelStream = Box<dyn AsyncReadWrite>;

/// A pod as the kubelet of its node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletPod {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Containers whose logs the kubelet serves.
    pub containers: Vec<String>,
    /// The pod as the API server holds it, for the kubelet's `/pods`.
    pub manifest: Value,
}

/// State of the tunnel agent of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// The node whose namespace the agent runs in.
    pub node: NodeName,
    /// Whether its process runs.
    pub running: bool,
    /// Whether the tunnel server holds a connection of it, which is what makes it ready.
    pub connected: bool,
}

/// Why the data plane could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    /// No node of this name.
    #[error("node_not_found: the estate has no node {0}")]
    NodeNotFound(NodeName),
    /// Resources that cannot be compiled into fabric rules.
    #[error("resources_invalid: {0}")]
    ResourcesInvalid(String),
    /// The kernel or a tool refused.
    #[error("data_plane_failed: {action}: {reason}")]
    Failed {
        /// What was being done.
        action: String,
        /// What the kernel or the tool said.
        reason: String,
    },
    /// A simulated data plane has no node to run anything on.
    #[error(
        "simulated_data_plane: {0} needs real namespaces; run the lab as root or where unprivileged user namespaces are allowed"
    )]
    Simulated(&'static str),
}

/// Why the API server could not reach a node port, worded as the tunnel words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// No agent is connected.
    #[error("No agent available")]
    NoAgent,
    /// The agent dialled and failed; the text is what the API server shows the user.
    #[error("{0}")]
    Dial(String),
    /// The connection to the agent broke while it was dialling.
    #[error("error dialing backend: EOF")]
    Closed,
}

/// The network and the nodes below the emulated APIs.
#[async_trait]
pub trait DataPlane: Send + Sync {
    /// Makes the fabric enforce these ARM resources, all at once. Called with the whole snapshot
    /// at start and after every ARM write that matters: NSGs, virtual networks and subnets,
    /// network interfaces of scale-set instances, application security groups, route tables,
    /// firewalls and network managers. Flows already established survive, as in Azure.
    ///
    /// # Errors
    /// What cannot be compiled or loaded; the rules in force stay as they were.
    async fn enforce(&self, resources: &ArmResources) -> Result<(), DataPlaneError>;

    /// Runs a shell script as root on a node, as VMSS Run Command does: out of band, so it works
    /// whatever the firewalls say.
    ///
    /// # Errors
    /// Only for what is not the script's own failure, which is in the output.
    async fn run_on_node(
        &self,
        node: &NodeName,
        script: &str,
    ) -> Result<ScriptOutput, DataPlaneError>;

    /// Connects to a node port as the API server does: by an agent chosen among those connected,
    /// dialling from its own node.
    ///
    /// # Errors
    /// With the words of the tunnel.
    async fn dial_through_tunnel(
        &self,
        node_address: IpAddr,
        port: u16,
    ) -> Result<TunnelStream, TunnelError>;

    /// TLS as the API server speaks it to kubelets: it trusts the lab's authority, and the server
    /// name is the node's address.
    fn kubelet_tls(&self) -> Arc<rustls::ClientConfig>;

    /// Tells a node's kubelet which pods it runs.
    ///
    /// # Errors
    /// An unknown node.
    async fn set_pods(&self, node: &NodeName, pods: Vec<KubeletPod>) -> Result<(), DataPlaneError>;

    /// Every agent that was ever started and not removed, in node order.
    async fn agents(&self) -> Vec<AgentStatus>;

    /// Starts a tunnel agent on a node and returns at once; does nothing when one runs. Whether
    /// it connects is up to the packets: see [`AgentStatus::connected`].
    ///
    /// # Errors
    /// An unknown node, or no way to start it.
    async fn start_agent(&self, node: &NodeName) -> Result<(), DataPlaneError>;

    /// Stops the agent of a node and closes what it carried; does nothing when none runs.
    ///
    /// # Errors
    /// An unknown node.
    async fn stop_agent(&self, node: &NodeName) -> Result<(), DataPlaneError>;

    /// Stops and starts the agent of a node: what deleting its pod comes to.
    ///
    /// # Errors
    /// As [`DataPlane::start_agent`].
    async fn restart_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        self.stop_agent(node).await?;
        self.start_agent(node).await
    }
}
