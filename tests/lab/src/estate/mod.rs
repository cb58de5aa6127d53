//! The estate of a scenario: cluster, network, nodes and pods, as the scenario file states them.

mod cluster;
mod firewall;
mod network;
mod nodes;
mod security_admin_rules;
mod security_rules;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use cluster::{Cluster, TunnelType};
pub use firewall::{AzureFirewall, BasePolicy, NetworkRule, NetworkRuleCollection};
pub use network::{ApplicationSecurityGroup, Route, RouteTable, Subnet, VirtualNetwork};
pub use nodes::{KubeletFault, Node, NodeSettings, Pod, Pool, Workload};
pub use security_admin_rules::{AdminAccess, SecurityAdminRule};
pub use security_rules::{Access, Direction, NetworkSecurityGroup, RuleRun, SecurityRule};

pub(crate) use security_admin_rules::is_service_tag;

use crate::data_plane::NodeName;
use network::ipv4_net;
use nodes::base36;

/// Azure's own address for health probes, DHCP and DNS, seen from every VM.
pub const AZURE_PLATFORM_ADDRESS: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// The digits AKS puts into the names of scale sets and of its own NSG.
pub const NAME_DIGITS: &str = "28341567";

/// Where the addresses of workloads begin in the pods' range of a node.
const FIRST_WORKLOAD_ADDRESS: u8 = 250;

/// Everything that exists before the fault is looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Estate {
    /// The managed cluster.
    pub cluster: Cluster,
    /// Its virtual network.
    pub network: VirtualNetwork,
    /// Network security groups.
    pub network_security_groups: Vec<NetworkSecurityGroup>,
    /// Application security groups, by name, with the nodes in them.
    pub application_security_groups: Vec<ApplicationSecurityGroup>,
    /// Route tables.
    pub route_tables: Vec<RouteTable>,
    /// Azure Firewalls.
    pub firewalls: Vec<AzureFirewall>,
    /// Node pools; empty means one pool of three nodes.
    pub pools: Vec<Pool>,
    /// What differs on single nodes from the rest of their pool.
    pub nodes: Vec<NodeSettings>,
    /// Pods besides those every cluster has.
    pub pods: Vec<Pod>,
    /// What uses up outbound ports.
    pub workloads: Vec<Workload>,
    /// Service tags with addresses of the lab, beyond the three every NSG knows.
    pub service_tags: BTreeMap<String, Vec<IpNet>>,
}

impl Default for Estate {
    fn default() -> Self {
        let cloud = vec![ipv4_net(203, 0, 113, 0, 24)];
        Self {
            cluster: Cluster::default(),
            network: VirtualNetwork::default(),
            network_security_groups: Vec::new(),
            application_security_groups: Vec::new(),
            route_tables: Vec::new(),
            firewalls: Vec::new(),
            pools: vec![Pool::default()],
            nodes: Vec::new(),
            pods: Vec::new(),
            workloads: Vec::new(),
            service_tags: BTreeMap::from([
                ("AzureCloud".to_owned(), cloud.clone()),
                ("AzureCloud.westeurope".to_owned(), cloud),
            ]),
        }
    }
}

impl Estate {
    /// All nodes, pool by pool.
    pub fn nodes(&self) -> Vec<Node> {
        let has_agents = self.cluster.tunnel.deployment().is_some();
        let nobody_says = has_agents && self.nodes.iter().all(|node| node.agent.is_none());
        let mut nodes = Vec::new();
        for pool in &self.pools {
            for instance in 0..pool.count {
                let name = format!("{}{}", pool.scale_set(), base36(instance));
                let settings = self
                    .nodes
                    .iter()
                    .find(|settings| settings.name == name)
                    .cloned()
                    .unwrap_or_default();
                nodes.push(Node {
                    agent: settings.agent.unwrap_or(nobody_says && nodes.is_empty()),
                    name: NodeName(name),
                    pool: pool.name.clone(),
                    scale_set: pool.scale_set(),
                    instance,
                    address: Ipv4Addr::from(u32::from(pool.first_address).saturating_add(instance)),
                    subnet: pool.subnet.clone(),
                    settings,
                });
            }
        }
        nodes
    }

    /// The address of a workload's pod on its node; those of other pods end below.
    pub fn workload_address(&self, workload: usize) -> Option<Ipv4Addr> {
        let node = &self.workloads.get(workload)?.node;
        let nodes = self.nodes();
        let node = nodes.iter().find(|other| &other.name == node)?;
        let [.., last] = node.address.octets();
        let pod = FIRST_WORKLOAD_ADDRESS.checked_add(u8::try_from(workload).ok()?)?;
        Some(Ipv4Addr::new(10, 244, last, pod))
    }

    /// Whether the API server is reached inside the virtual network: by a private endpoint, or
    /// in a subnet of its own.
    pub fn api_server_is_inside(&self) -> bool {
        let address = IpAddr::V4(self.cluster.control_plane_address);
        let mut prefixes = self.network.address_prefixes.iter();
        prefixes.any(|prefix| prefix.contains(&address))
    }

    /// The subnet of this name.
    pub fn subnet(&self, name: &str) -> Option<&Subnet> {
        self.network.subnets.iter().find(|s| s.name == name)
    }

    /// Resource group of the virtual network.
    pub fn network_resource_group(&self) -> String {
        self.resource_group_of(self.network.managed)
    }

    /// The node resource group for what AKS manages, else the cluster's own.
    pub fn resource_group_of(&self, managed: bool) -> String {
        if managed {
            self.cluster.node_resource_group()
        } else {
            self.cluster.resource_group.clone()
        }
    }

    /// ARM id of the virtual network.
    pub fn network_id(&self) -> String {
        self.network_provider_id(
            &self.network_resource_group(),
            "virtualNetworks",
            &self.network.name,
        )
    }

    /// ARM id of a subnet.
    pub fn subnet_id(&self, subnet: &str) -> String {
        format!("{}/subnets/{subnet}", self.network_id())
    }

    /// ARM id of an NSG of the estate, wherever it lies.
    pub fn network_security_group_id(&self, name: &str) -> String {
        let managed = self
            .network_security_groups
            .iter()
            .any(|nsg| nsg.name == name && nsg.managed);
        self.network_provider_id(
            &self.resource_group_of(managed),
            "networkSecurityGroups",
            name,
        )
    }

    /// ARM id of an application security group.
    pub fn application_security_group_id(&self, name: &str) -> String {
        self.network_provider_id(
            &self.cluster.resource_group,
            "applicationSecurityGroups",
            name,
        )
    }

    /// ARM id of the load balancer AKS makes.
    pub fn load_balancer_id(&self) -> String {
        let group = self.cluster.node_resource_group();
        self.network_provider_id(&group, "loadBalancers", "kubernetes")
    }

    /// ARM id of a route table.
    pub fn route_table_id(&self, name: &str) -> String {
        self.network_provider_id(&self.cluster.resource_group, "routeTables", name)
    }

    /// ARM id of a resource of `Microsoft.Network`.
    pub fn network_provider_id(&self, resource_group: &str, kind: &str, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.Network/{kind}/{name}",
            self.cluster.group_id(resource_group)
        )
    }

    /// ARM id of a node's instance in its scale set.
    pub fn instance_id(&self, node: &Node) -> String {
        format!(
            "{}/providers/Microsoft.Compute/virtualMachineScaleSets/{}/virtualMachines/{}",
            self.cluster.group_id(&self.cluster.node_resource_group()),
            node.scale_set,
            node.instance
        )
    }

    /// The properties of a security rule as ARM holds them.
    pub fn security_rule_properties(&self, rule: &SecurityRule) -> Value {
        let mut properties = json!({
            "provisioningState": "Succeeded",
            "protocol": rule.protocol,
            "access": rule.access,
            "priority": rule.priority,
            "direction": rule.direction,
        });
        let mut put = |name: String, value: Value| properties[name] = value;
        for (side, prefixes, groups, ports) in [
            (
                "source",
                &rule.source,
                &rule.source_groups,
                &rule.source_ports,
            ),
            (
                "destination",
                &rule.destination,
                &rule.destination_groups,
                &rule.destination_ports,
            ),
        ] {
            if groups.is_empty() {
                put_one_or_many(&mut put, side, "AddressPrefix", "AddressPrefixes", prefixes);
            } else {
                let ids: Vec<Value> = groups
                    .iter()
                    .map(|name| json!({ "id": self.application_security_group_id(name) }))
                    .collect();
                put(format!("{side}ApplicationSecurityGroups"), ids.into());
            }
            put_one_or_many(&mut put, side, "PortRange", "PortRanges", ports);
        }
        if let Some(description) = &rule.description {
            properties["description"] = description.clone().into();
        }
        properties
    }
}

fn put_one_or_many(
    put: &mut impl FnMut(String, Value),
    side: &str,
    singular: &str,
    plural: &str,
    values: &[String],
) {
    if let [only] = values {
        put(format!("{side}{singular}"), only.clone().into());
        put(format!("{side}{plural}"), json!([]));
    } else {
        put(format!("{side}{plural}"), json!(values));
    }
}
