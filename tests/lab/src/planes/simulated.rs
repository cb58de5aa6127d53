//! A data plane without a network: the fabric's policy is asked for a verdict, and nodes exist
//! only as kubelets in memory. Node firewalls do not exist here, and no script can run.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rand::seq::IteratorRandom as _;
use tokio::task::JoinSet;

use super::DataPlaneOptions;
use super::node::failed;
use crate::data_plane::{
    AgentStatus, ArmResources, DataPlane, DataPlaneError, KubeletPod, NodeName, ScriptOutput,
    TunnelError, TunnelStream,
};
use crate::estate::{Estate, Node, TunnelType};
use crate::fabric::{FabricPolicy, Packet, Protocol};
use crate::kubelet::{Authority, KUBELET_PORT, PodsOfNode, serve_connection};
use crate::scenario::Scenario;

/// Bytes a connection in memory holds before the writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// A port no firewall rule of an estate singles out, as the source of new flows.
const EPHEMERAL_PORT: u16 = 49152;

#[derive(Debug)]
struct SimulatedNode {
    node: Node,
    pods: PodsOfNode,
    tls: Arc<rustls::ServerConfig>,
}

#[derive(Debug, Default)]
struct State {
    policy: FabricPolicy,
    enforced: bool,
    /// Running agents, and whether each got through to the tunnel server.
    agents: BTreeMap<NodeName, Option<bool>>,
}

/// The simulated data plane.
#[derive(Debug)]
pub struct SimulatedDataPlane {
    estate: Estate,
    options: DataPlaneOptions,
    nodes: BTreeMap<NodeName, SimulatedNode>,
    kubelet_tls: Arc<rustls::ClientConfig>,
    state: Mutex<State>,
    connections: Mutex<JoinSet<io::Result<()>>>,
}

impl SimulatedDataPlane {
    /// Starts the kubelets.
    ///
    /// # Errors
    /// No certificates.
    pub fn start(scenario: &Scenario, options: DataPlaneOptions) -> Result<Self, DataPlaneError> {
        let no_certificate = |reason| failed("making certificates", reason);
        let authority = Authority::new().map_err(no_certificate)?;
        let mut nodes = BTreeMap::new();
        for node in scenario.estate.nodes() {
            let simulated = SimulatedNode {
                tls: authority
                    .server_tls(node.name.as_str(), IpAddr::V4(node.address))
                    .map_err(no_certificate)?,
                pods: PodsOfNode::default(),
                node,
            };
            nodes.insert(simulated.node.name.clone(), simulated);
        }
        Ok(Self {
            kubelet_tls: authority.client_tls().map_err(no_certificate)?,
            estate: scenario.estate.clone(),
            options,
            nodes,
            state: Mutex::default(),
            connections: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, name: &NodeName) -> Result<&SimulatedNode, DataPlaneError> {
        self.nodes
            .get(name)
            .ok_or_else(|| DataPlaneError::NodeNotFound(name.clone()))
    }

    fn passes(&self, policy: &FabricPolicy, packet: &Packet) -> bool {
        packet.source == packet.destination || policy.passes(packet)
    }

    fn reaches_server(&self, state: &State, node: &Node) -> bool {
        let cluster = &self.estate.cluster;
        let packet = Packet {
            protocol: match cluster.tunnel {
                TunnelType::AksLink => Protocol::Udp,
                _ => Protocol::Tcp,
            },
            source: IpAddr::V4(node.address),
            destination: IpAddr::V4(cluster.control_plane_address),
            source_port: EPHEMERAL_PORT,
            destination_port: cluster.tunnel.server_port(),
        };
        state.enforced && self.passes(&state.policy, &packet)
    }

    /// Where a dial to a node begins: at any connected agent, or at an API server in the network.
    fn dials_from(&self) -> Result<Ipv4Addr, TunnelError> {
        let cluster = &self.estate.cluster;
        if cluster.tunnel == TunnelType::VnetIntegration {
            return Ok(cluster.control_plane_address);
        }
        let agent = self
            .state()
            .agents
            .iter()
            .filter(|(_, connected)| **connected == Some(true))
            .map(|(node, _)| node.clone())
            .choose(&mut rand::rng())
            .ok_or(TunnelError::NoAgent)?;
        let agent = self.node(&agent).map_err(|_| TunnelError::NoAgent)?;
        Ok(agent.node.address)
    }

    fn retry_agents(&self) {
        let mut state = self.state();
        let waiting: Vec<NodeName> = state
            .agents
            .iter()
            .filter(|(_, connected)| **connected == Some(false))
            .map(|(node, _)| node.clone())
            .collect();
        for name in waiting {
            let connected = self
                .nodes
                .get(&name)
                .is_some_and(|node| self.reaches_server(&state, &node.node));
            state.agents.insert(name, Some(connected));
        }
    }
}

#[async_trait]
impl DataPlane for SimulatedDataPlane {
    async fn enforce(&self, resources: &ArmResources) -> Result<(), DataPlaneError> {
        let policy = FabricPolicy::read(resources, &self.estate.service_tags)
            .map_err(DataPlaneError::ResourcesInvalid)?;
        {
            let mut state = self.state();
            state.policy = policy;
            state.enforced = true;
        }
        self.retry_agents();
        Ok(())
    }

    async fn run_on_node(
        &self,
        node: &NodeName,
        _script: &str,
    ) -> Result<ScriptOutput, DataPlaneError> {
        self.node(node)?;
        Err(DataPlaneError::Simulated("a script on a node"))
    }

    async fn dial_through_tunnel(
        &self,
        node_address: IpAddr,
        port: u16,
    ) -> Result<TunnelStream, TunnelError> {
        let packet = Packet {
            protocol: Protocol::Tcp,
            source: IpAddr::V4(self.dials_from()?),
            destination: node_address,
            source_port: EPHEMERAL_PORT,
            destination_port: port,
        };
        let passes = self.passes(&self.state().policy, &packet);
        let target = std::net::SocketAddr::new(node_address, port);
        let kubelet = self.nodes.values().find(|node| {
            IpAddr::V4(node.node.address) == node_address
                && port == KUBELET_PORT
                && !node.node.settings.kubelet_stopped
        });
        let Some(kubelet) = kubelet.filter(|_| passes) else {
            if passes {
                let message = format!("dial tcp {target}: connect: connection refused");
                return Err(TunnelError::Dial(message));
            }
            tokio::time::sleep(self.options.dial_limit).await;
            return Err(TunnelError::Dial(format!("dial tcp {target}: i/o timeout")));
        };
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let serving = serve_connection(theirs, Arc::clone(&kubelet.tls), kubelet.pods.clone());
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(serving);
        Ok(Box::new(ours))
    }

    fn kubelet_tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.kubelet_tls)
    }

    async fn set_pods(&self, node: &NodeName, pods: Vec<KubeletPod>) -> Result<(), DataPlaneError> {
        self.node(node)?.pods.set(pods);
        Ok(())
    }

    async fn agents(&self) -> Vec<AgentStatus> {
        self.state()
            .agents
            .iter()
            .map(|(node, agent)| AgentStatus {
                node: node.clone(),
                running: agent.is_some(),
                connected: *agent == Some(true),
            })
            .collect()
    }

    async fn start_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        self.node(node)?;
        self.state()
            .agents
            .entry(node.clone())
            .or_default()
            .get_or_insert(false);
        self.retry_agents();
        Ok(())
    }

    async fn stop_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        self.node(node)?;
        if let Some(agent) = self.state().agents.get_mut(node) {
            *agent = None;
        }
        Ok(())
    }
}
