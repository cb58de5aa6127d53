//! The data plane of real packets: every node a machine, the fabric another between them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::DataPlaneOptions;
use super::node::{RunningNode, failed};
use super::probe::{self, Probe, ProbeResult};
use super::workload::{OutboundUsage, RunningWorkload};
use crate::data_plane::{
    AgentStatus, ArmResources, DataPlane, DataPlaneError, KubeletPod, NodeName, ScriptOutput,
    TunnelError, TunnelStream,
};
use crate::estate::{Estate, TunnelType};
use crate::fabric::{FabricPolicy, nft_script};
use crate::kubelet::Authority;
use crate::machine::{AddressedCable, Machine, MachineError, connect_to_fabric, succeed};
use crate::scenario::Scenario;
use crate::tunnel::{
    Agent, AgentSettings, ServerSocket, TUNNEL_SERVER_NAME, TunnelServer, connect,
};

const CONTROL_PLANE_INTERFACE: &str = "control";

/// What lies beyond the virtual network where the API server does not: nothing of the lab.
const NOTHING_OUTSIDE: &str = "outside";

/// Between two looks whether workloads have settled; each of their tries has a time limit.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

/// How long stopping an agent waits for its server to notice.
const NOTICE_LIMIT: Duration = Duration::from_secs(2);

/// The data plane of real packets.
#[derive(Debug)]
pub struct NamespacedDataPlane {
    estate: Estate,
    options: DataPlaneOptions,
    nodes: BTreeMap<NodeName, RunningNode>,
    agents: Mutex<BTreeMap<NodeName, Option<Agent>>>,
    workloads: Mutex<Vec<RunningWorkload>>,
    outbound_ports: Mutex<Option<u32>>,
    server: TunnelServer,
    kubelet_tls: Arc<rustls::ClientConfig>,
    control_plane: Machine,
    fabric: Machine,
    enforcing: tokio::sync::Mutex<()>,
}

impl NamespacedDataPlane {
    /// Builds the estate's machines and cables. Nothing passes the fabric before the first
    /// [`DataPlane::enforce`], and no agent runs before [`DataPlane::start_agent`].
    ///
    /// # Errors
    /// The machine allows no namespaces, or a tool is missing.
    pub async fn start(
        scenario: &Scenario,
        options: DataPlaneOptions,
    ) -> Result<Self, DataPlaneError> {
        let estate = scenario.estate.clone();
        let authority = Authority::new().map_err(|e| failed("making an authority", e))?;
        let kubelet_tls = authority
            .client_tls()
            .map_err(|e| failed("making an authority", e))?;
        let fabric = start_fabric(&estate).await?;
        let control_plane = Machine::start("control-plane", || Ok(()))?;
        let control_plane_address = estate.cluster.control_plane_address;
        let cable = AddressedCable {
            interface: CONTROL_PLANE_INTERFACE.to_owned(),
            address: control_plane_address,
            prefix_length: 32,
            gateway: None,
        };
        connect_to_fabric(&fabric, &control_plane, &cable).await?;
        let socket = tunnel_socket(&estate, &control_plane, &authority).await?;
        let server = TunnelServer::start(socket, options.dial_limit)
            .map_err(|e| failed("starting the tunnel server", e))?;
        let nodes = estate.nodes().into_iter().enumerate().map(|(index, node)| {
            let subnet = estate.subnet(&node.subnet);
            let cable = AddressedCable {
                interface: format!("node{index}"),
                address: node.address,
                prefix_length: subnet.map_or(32, |s| s.address_prefix.prefix_len()),
                gateway: subnet.and_then(|s| gateway(s.address_prefix)),
            };
            RunningNode::start(
                node,
                cable,
                &fabric,
                &authority,
                &scenario.switches,
                &options,
            )
        });
        let nodes = try_join_all(nodes)
            .await?
            .into_iter()
            .map(|running| (running.node.name.clone(), running))
            .collect();
        Ok(Self {
            agents: Mutex::default(),
            workloads: Mutex::default(),
            outbound_ports: Mutex::default(),
            enforcing: tokio::sync::Mutex::new(()),
            estate,
            options,
            nodes,
            server,
            kubelet_tls,
            control_plane,
            fabric,
        })
    }

    /// Tries a TCP connection over the real packets.
    ///
    /// # Errors
    /// An unknown node, or a machine that is gone.
    pub async fn probe(
        &self,
        from: &Probe,
        target: SocketAddr,
    ) -> Result<ProbeResult, DataPlaneError> {
        let machine = match from {
            Probe::FromNode(node) => &self.node(node)?.machine,
            Probe::FromControlPlane => &self.control_plane,
        };
        Ok(probe::connect(machine, target, self.options.dial_limit).await?)
    }

    /// For each machine the thread to give to `nsenter -t`, for a person who wants to look.
    pub fn machines(&self) -> Vec<(String, i32)> {
        let nodes = self.nodes.values().map(|node| node.machine.as_ref());
        [&self.fabric, &self.control_plane]
            .into_iter()
            .chain(nodes)
            .map(|machine| (machine.name().to_owned(), machine.thread_id()))
            .collect()
    }

    /// Waits until the agent of a node is connected; `false` when it is not within the limit.
    pub async fn wait_for_agent(&self, node: &NodeName, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.server.wait_for(node, true))
            .await
            .is_ok()
    }

    /// Starts the estate's workloads and waits until each has tried all its connections.
    ///
    /// # Errors
    /// A workload on an unknown node.
    pub async fn start_workloads(&self) -> Result<(), DataPlaneError> {
        let mut started = Vec::new();
        for (index, workload) in self.estate.workloads.iter().enumerate() {
            let Some(address) = self.estate.workload_address(index) else {
                continue;
            };
            let pod = pod_of(&self.node(&workload.node)?.machine, index, address).await?;
            started.push(RunningWorkload::start(
                workload.node.clone(),
                workload.connections,
                pod,
                self.tunnel_server(),
                self.options.dial_limit,
            ));
        }
        while !started.iter().all(RunningWorkload::is_settled) {
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
        *locked(&self.workloads) = started;
        Ok(())
    }

    /// Outbound connections of the workloads, one entry a workload.
    pub fn outbound_usage(&self) -> Vec<OutboundUsage> {
        let workloads = locked(&self.workloads);
        workloads.iter().map(RunningWorkload::usage).collect()
    }

    /// Ports every node may use towards one destination; nothing where no load balancer gives
    /// them.
    pub fn outbound_ports(&self) -> Option<u32> {
        *locked(&self.outbound_ports)
    }

    fn tunnel_server(&self) -> SocketAddr {
        let cluster = &self.estate.cluster;
        SocketAddr::from((cluster.control_plane_address, cluster.tunnel.server_port()))
    }

    fn node(&self, name: &NodeName) -> Result<&RunningNode, DataPlaneError> {
        self.nodes
            .get(name)
            .ok_or_else(|| DataPlaneError::NodeNotFound(name.clone()))
    }
}

#[async_trait]
impl DataPlane for NamespacedDataPlane {
    async fn enforce(&self, resources: &ArmResources) -> Result<(), DataPlaneError> {
        let policy = FabricPolicy::read(resources, &self.estate.service_tags)
            .map_err(DataPlaneError::ResourcesInvalid)?;
        for running in self.nodes.values() {
            let address = IpAddr::V4(running.node.address);
            if !policy.ports.iter().any(|port| port.address == address) {
                let message = format!(
                    "no network interface has {address} of {}",
                    running.node.name
                );
                return Err(DataPlaneError::ResourcesInvalid(message));
            }
        }
        let cluster = &self.estate.cluster;
        let interface_of = |address| {
            if address == IpAddr::V4(cluster.control_plane_address) {
                return Some(CONTROL_PLANE_INTERFACE.to_owned());
            }
            self.nodes
                .values()
                .find(|running| IpAddr::V4(running.node.address) == address)
                .map(|running| running.interface.clone())
        };
        let outside = match self.estate.api_server_is_inside() {
            true => NOTHING_OUTSIDE,
            false => CONTROL_PLANE_INTERFACE,
        };
        let script = nft_script(&policy, interface_of, outside);
        let _one_at_a_time = self.enforcing.lock().await;
        self.fabric
            .attempt("writing the fabric's rules", move || {
                std::fs::write("/run/fabric.nft", script)
            })
            .await?;
        succeed(&self.fabric, "nft -f /run/fabric.nft").await?;
        *locked(&self.outbound_ports) = policy.outbound_ports.map(|ports| ports.per_node);
        Ok(())
    }

    async fn run_on_node(
        &self,
        node: &NodeName,
        script: &str,
    ) -> Result<ScriptOutput, DataPlaneError> {
        self.node(node)?.run(script, &self.options).await
    }

    async fn dial_through_tunnel(
        &self,
        node_address: IpAddr,
        port: u16,
    ) -> Result<TunnelStream, TunnelError> {
        if self.estate.cluster.tunnel != TunnelType::VnetIntegration {
            return self.server.dial(node_address, port).await;
        }
        let target = SocketAddr::new(node_address, port);
        let dialled = connect(&self.control_plane, target, self.options.dial_limit).await;
        let socket = dialled.map_err(TunnelError::Dial)?;
        Ok(Box::new(socket))
    }

    fn kubelet_tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.kubelet_tls)
    }

    async fn set_pods(&self, node: &NodeName, pods: Vec<KubeletPod>) -> Result<(), DataPlaneError> {
        self.node(node)?.pods.set(pods);
        Ok(())
    }

    async fn agents(&self) -> Vec<AgentStatus> {
        let connected = self.server.connected();
        locked(&self.agents)
            .iter()
            .map(|(node, agent)| AgentStatus {
                running: agent.is_some(),
                connected: connected.contains(node),
                node: node.clone(),
            })
            .collect()
    }

    async fn start_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        let running = self.node(node)?;
        let cluster = &self.estate.cluster;
        let over_datagrams = cluster.tunnel == TunnelType::AksLink;
        let settings = AgentSettings {
            node: node.clone(),
            machine: Arc::clone(&running.machine),
            server: self.tunnel_server(),
            datagram_tls: over_datagrams.then(|| Arc::clone(&self.kubelet_tls)),
            dial_limit: self.options.dial_limit,
            stale: false,
            hung: false,
        };
        match locked(&self.agents).entry(node.clone()) {
            Entry::Vacant(first) => {
                let of_first = &running.node.settings;
                let settings = AgentSettings {
                    stale: of_first.agent_stale,
                    hung: of_first.agent_hung,
                    ..settings
                };
                first.insert(Some(Agent::start(settings)));
            }
            Entry::Occupied(mut later) => {
                later
                    .get_mut()
                    .get_or_insert_with(|| Agent::start(settings));
            }
        }
        Ok(())
    }

    async fn stop_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        self.node(node)?;
        let stopped = locked(&self.agents).get_mut(node).and_then(Option::take);
        if stopped.is_some() {
            drop(stopped);
            let gone = self.server.wait_for(node, false);
            // A firewall may swallow the goodbye: then the server finds out by itself, or never.
            let _ = tokio::time::timeout(NOTICE_LIMIT, gone).await;
        }
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<MachineError> for DataPlaneError {
    fn from(error: MachineError) -> Self {
        failed("working on a machine of the lab", error)
    }
}

/// A pod with an address of its own on a node, which hides it behind the node's, as AKS does.
async fn pod_of(
    node: &Machine,
    number: usize,
    address: Ipv4Addr,
) -> Result<Arc<Machine>, DataPlaneError> {
    let starting = tokio::task::spawn_blocking(|| Machine::start("pod", || Ok(())));
    let pod = starting.await.map_err(|e| failed("starting a pod", e))??;
    let cable = AddressedCable {
        interface: format!("pod{number}"),
        address,
        prefix_length: 32,
        gateway: None,
    };
    connect_to_fabric(node, &pod, &cable).await?;
    let script = format!(
        "set -e\necho 1 > /proc/sys/net/ipv4/ip_forward\n\
         iptables --wait --table nat --append IP-MASQ-AGENT --source {address} --jump MASQUERADE\n"
    );
    succeed(node, &script).await?;
    Ok(Arc::new(pod))
}

async fn tunnel_socket(
    estate: &Estate,
    control_plane: &Machine,
    authority: &Authority,
) -> Result<ServerSocket, DataPlaneError> {
    let cluster = &estate.cluster;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, cluster.tunnel.server_port()));
    if cluster.tunnel != TunnelType::AksLink {
        return Ok(ServerSocket::Streams(control_plane.listen(address).await?));
    }
    let server_address = IpAddr::V4(cluster.control_plane_address);
    let tls = authority
        .server_tls(TUNNEL_SERVER_NAME, server_address)
        .map_err(|e| failed("making the tunnel server's certificate", e))?;
    let socket = control_plane.udp_socket(address).await?;
    Ok(ServerSocket::Datagrams(socket, tls))
}

async fn start_fabric(estate: &Estate) -> Result<Machine, DataPlaneError> {
    let fabric = Machine::start("fabric", || Ok(()))?;
    let mut script = String::from(
        "set -e\nip link set lo up\necho 1 > /proc/sys/net/ipv4/ip_forward\n\
         nft -f - <<'END'\n\
         table inet fabric {\n\
         chain forward { type filter hook forward priority filter; policy drop; }\n\
         }\nEND\n",
    );
    for subnet in &estate.network.subnets {
        if let Some(gateway) = gateway(subnet.address_prefix) {
            script.push_str(&format!("ip address add {gateway}/32 dev lo\n"));
        }
    }
    // Public addresses of the load balancer: for the fabric to answer ARP for them.
    script.push_str("ip route add 198.51.100.0/24 dev lo\n");
    succeed(&fabric, &script).await?;
    Ok(fabric)
}

/// The first address of a subnet, which Azure keeps for its gateway.
fn gateway(prefix: ipnet::IpNet) -> Option<Ipv4Addr> {
    match prefix.hosts().next() {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}
