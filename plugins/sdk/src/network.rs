//! Where nodes are in the network: interfaces, subnets, virtual networks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use naosu_flow::field::parse_prefix;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Observed, PluginError, Query, Reads, ResourceId,
    arm::{ManagedCluster, NetworkInterface, Resource, Subnet, VirtualNetwork},
    kubernetes::Node,
    read_json, read_json_many,
};

/// A network interface of a node.
#[derive(Clone, Debug)]
pub struct NodeInterface {
    /// Name of the Kubernetes node.
    pub node: String,
    /// Its ARM id.
    pub id: ResourceId,
    /// The node's own address.
    pub address: IpAddr,
    /// All its addresses, those of pods included.
    pub addresses: Vec<IpAddr>,
    /// Its subnet.
    pub subnet: ResourceId,
    /// The security group on the interface itself.
    pub security_group: Option<ResourceId>,
    /// Application security groups it is a member of.
    pub application_groups: Vec<ResourceId>,
}

/// The nodes' place in the network.
#[derive(Clone, Debug, Default)]
pub struct NodeNetwork {
    /// One a node.
    pub interfaces: Vec<NodeInterface>,
    /// Subnets of the nodes, by the key of their id.
    pub subnets: BTreeMap<String, Observed<Subnet>>,
    /// Virtual networks of the nodes.
    pub virtual_networks: Vec<Observed<VirtualNetwork>>,
    /// The same as ARM returns them: what service tags stand for is in fields that
    /// only naosu-flow reads.
    pub network_resources: Vec<Value>,
    /// Nodes whose interface was not found.
    pub nodes_without_interface: Vec<String>,
    /// Nodes that have no machine, and so no interface of their own.
    pub virtual_nodes: Vec<String>,
}

impl NodeNetwork {
    /// Reads the interfaces of all scale sets of the cluster, those of machines that
    /// stand by themselves where nodes are such, and the networks they are in.
    /// Interfaces of scale sets have no entity tag to rely on.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn observe(
        reads: &dyn Reads,
        cluster: &ManagedCluster,
        nodes: &[Node],
    ) -> Result<Self, PluginError> {
        crate::tunnel::at_least_one(nodes)?;
        let group = cluster.node_resource_group_id();
        let scale_sets = format!("{group}/providers/Microsoft.Compute/virtualMachineScaleSets");
        let scale_sets: Observed<Vec<Resource>> = read_json(reads, &Query::AzureList(scale_sets))?;
        let queries: Vec<Query> = scale_sets
            .value
            .iter()
            .map(|set| Query::AzureList(format!("{}/networkInterfaces", set.id)))
            .collect();
        let mut all = Vec::new();
        for interfaces in read_json_many::<Vec<NetworkInterface>>(reads, &queries) {
            all.extend(interfaces?.value);
        }
        if nodes.iter().any(Node::is_standalone) {
            let list = format!("{group}/providers/Microsoft.Network/networkInterfaces");
            // Where they may not be read, these nodes alone are without one.
            let standalone = read_json::<Vec<NetworkInterface>>(reads, &Query::AzureList(list));
            all.extend(standalone.map(|read| read.value).unwrap_or_default());
        }
        let with_address = all.iter().flat_map(|interface| {
            let addresses = addresses(interface);
            addresses.map(move |address| (address, interface))
        });
        let by_address: BTreeMap<IpAddr, &NetworkInterface> = with_address.collect();
        let mut network = Self::default();
        for node in nodes {
            let found = node
                .internal_addresses()
                .find_map(|address| Some((address, *by_address.get(&address)?)));
            let placed = found.and_then(|(address, interface)| place(node, address, interface));
            match placed {
                Some(interface) => network.interfaces.push(interface),
                None if node.is_virtual() => {
                    network.virtual_nodes.push(node.metadata.name.clone());
                }
                None => {
                    let name = node.metadata.name.clone();
                    network.nodes_without_interface.push(name);
                }
            }
        }
        network.observe_virtual_networks(reads)?;
        Ok(network)
    }

    fn observe_virtual_networks(&mut self, reads: &dyn Reads) -> Result<(), PluginError> {
        let mut ids: BTreeMap<String, ResourceId> = BTreeMap::new();
        for interface in &self.interfaces {
            if let Some(id) = interface.subnet.parent() {
                ids.insert(id.key(), id);
            }
        }
        let queries: Vec<Query> = ids.into_values().map(|id| Query::AzureGet(id.0)).collect();
        let wanted: BTreeSet<String> = self.interfaces.iter().map(|i| i.subnet.key()).collect();
        for network in read_json_many::<Value>(reads, &queries) {
            let resource = network?;
            let value = VirtualNetwork::deserialize(&resource.value)
                .map_err(|e| PluginError::Malformed(format!("{}: {e}", resource.resource)))?;
            let network = Observed {
                value,
                resource: resource.resource,
                observed_at: resource.observed_at,
            };
            self.network_resources.push(resource.value);
            for subnet in &network.value.properties.subnets {
                if wanted.contains(&subnet.id.key()) {
                    let observed = Observed {
                        value: subnet.clone(),
                        resource: subnet.id.0.clone(),
                        observed_at: network.observed_at,
                    };
                    self.subnets.insert(subnet.id.key(), observed);
                }
            }
            self.virtual_networks.push(network);
        }
        // Without a subnet nobody knows its security group and its routes.
        let mut subnets = self.interfaces.iter().map(|interface| &interface.subnet);
        match subnets.find(|subnet| !self.subnets.contains_key(&subnet.key())) {
            Some(subnet) => Err(PluginError::Malformed(format!(
                "its network tells no subnet {subnet}"
            ))),
            None => Ok(()),
        }
    }

    /// The subnet of an interface.
    pub fn subnet_of(&self, interface: &NodeInterface) -> Option<&Observed<Subnet>> {
        self.subnets.get(&interface.subnet.key())
    }

    /// The interface that has this address, or else is of this node.
    pub fn interface_of(&self, address: IpAddr, node: &str) -> Option<&NodeInterface> {
        let has_it = |interface: &&NodeInterface| interface.addresses.contains(&address);
        let is_of_node = |interface: &&NodeInterface| interface.node == node;
        let mut interfaces = self.interfaces.iter();
        interfaces
            .find(has_it)
            .or_else(|| self.interfaces.iter().find(is_of_node))
    }

    /// Any subnet of the nodes' networks.
    pub fn any_subnet(&self, id: &ResourceId) -> Option<Observed<Subnet>> {
        self.virtual_networks.iter().find_map(|network| {
            let mut subnets = network.value.properties.subnets.iter();
            let subnet = subnets.find(|subnet| subnet.id == *id)?;
            Some(Observed {
                value: subnet.clone(),
                resource: subnet.id.0.clone(),
                observed_at: network.observed_at,
            })
        })
    }

    /// The subnet that holds an address, in any of the nodes' networks.
    pub fn subnet_holding(&self, address: IpAddr) -> Option<ResourceId> {
        let holds = |prefix: &str| parse_prefix(prefix).is_some_and(|p| p.contains(&address));
        let networks = self.virtual_networks.iter();
        let mut subnets = networks.flat_map(|network| &network.value.properties.subnets);
        let found = subnets.find(|subnet| subnet.properties.prefixes().any(holds));
        found.map(|subnet| subnet.id.clone())
    }

    /// Whether a virtual network gateway, its own or a peer's, may add routes
    /// that no read lists.
    pub fn has_gateway(&self) -> bool {
        self.virtual_networks.iter().any(|network| {
            let properties = &network.value.properties;
            let is_gateway =
                |subnet: &Subnet| subnet.id.name().eq_ignore_ascii_case("GatewaySubnet");
            let peerings = &properties.virtual_network_peerings;
            properties.subnets.iter().any(is_gateway)
                || peerings.iter().any(|p| p.properties.use_remote_gateways)
        })
    }

    /// The prefixes that Azure routes by itself: own prefixes and those of connected
    /// peers.
    ///
    /// # Errors
    /// [`PluginError::Malformed`] for what is not a prefix.
    pub fn address_space(&self) -> Result<Vec<IpNet>, PluginError> {
        let mut prefixes = Vec::new();
        for network in &self.virtual_networks {
            let properties = &network.value.properties;
            let own = &properties.address_space.address_prefixes;
            let peered = properties
                .virtual_network_peerings
                .iter()
                .map(|peering| &peering.properties)
                .filter(|peering| peering.peering_state != "Disconnected")
                .flat_map(|peering| &peering.remote_address_space.address_prefixes);
            for text in own.iter().chain(peered) {
                prefixes.push(parse_prefix(text).ok_or_else(|| {
                    PluginError::Malformed(format!("{}: {text:?} is no prefix", network.resource))
                })?);
            }
        }
        Ok(prefixes)
    }
}

fn addresses(interface: &NetworkInterface) -> impl Iterator<Item = IpAddr> {
    interface
        .properties
        .ip_configurations
        .iter()
        .filter_map(|configuration| configuration.properties.private_ip_address.parse().ok())
}

fn place(node: &Node, address: IpAddr, interface: &NetworkInterface) -> Option<NodeInterface> {
    let configurations = &interface.properties.ip_configurations;
    let own = configurations
        .iter()
        .map(|configuration| &configuration.properties)
        .find(|own| own.private_ip_address.parse() == Ok(address))?;
    let security_group = interface.properties.network_security_group.as_ref();
    Some(NodeInterface {
        node: node.metadata.name.clone(),
        id: interface.id.clone(),
        address,
        addresses: addresses(interface).collect(),
        subnet: own.subnet.as_ref()?.id.clone(),
        security_group: security_group.map(|group| group.id.clone()),
        application_groups: own
            .application_security_groups
            .iter()
            .map(|group| group.id.clone())
            .collect(),
    })
}
