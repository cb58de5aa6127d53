//! Everything the fabric enforces, read from one snapshot of ARM resources.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::address_match::{Addressing, net, network_interfaces};
use super::firewall_rules::read_firewall;
use super::outbound_ports::{NodePorts, OutboundPorts, gateways};
use super::read::{children, list, text, texts};
use super::routes::Routes;
use super::security_admin_rules::AdminRules;
use super::security_rules::{Rule, SecurityGroup};
use crate::data_plane::ArmResources;

/// A VM's plug in the fabric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The VM's address.
    pub address: IpAddr,
    /// The security admin rules of its network, by index.
    pub admin_rules: Option<usize>,
    /// The NSG on its network interface, by index.
    pub interface_group: Option<usize>,
    /// The NSG on its subnet, by index.
    pub subnet_group: Option<usize>,
    /// The route table of its subnet, by index.
    pub route_table: Option<usize>,
    /// What the NAT gateway of its subnet gives, which goes before any load balancer.
    pub nat_gateway: Option<NodePorts>,
}

/// Everything the fabric enforces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FabricPolicy {
    /// Every address of every network interface.
    pub ports: Vec<Port>,
    /// Security admin rules, one list a network that has some.
    pub admin_rules: Vec<AdminRules>,
    /// Network security groups.
    pub groups: Vec<SecurityGroup>,
    /// Effective routes, one a route table.
    pub route_tables: Vec<Routes>,
    /// Network rules, one list an Azure Firewall.
    pub firewalls: Vec<Vec<Rule>>,
    /// The load balancer's outbound rule.
    pub outbound_ports: Option<OutboundPorts>,
}

impl FabricPolicy {
    /// Reads a snapshot of ARM resources.
    ///
    /// # Errors
    /// What in it means nothing, with the value.
    pub fn read(
        resources: &ArmResources,
        service_tags: &BTreeMap<String, Vec<IpNet>>,
    ) -> Result<Self, String> {
        let addressing = Addressing::read(resources, service_tags)?;
        let mut policy = Self::default();
        let mut group_indices = BTreeMap::new();
        for group in resources.of_type("Microsoft.Network/networkSecurityGroups") {
            group_indices.insert(lowercase_id(group), policy.groups.len());
            let group = SecurityGroup::read(resources, group, &addressing)?;
            policy.groups.push(group);
        }
        let mut firewall_indices = BTreeMap::new();
        for firewall in resources.of_type("Microsoft.Network/azureFirewalls") {
            for configuration in list(firewall, &["properties", "ipConfigurations"]) {
                let address = text(configuration, &["properties", "privateIPAddress"]);
                if let Some(address) = address.and_then(|a| a.parse::<IpAddr>().ok()) {
                    firewall_indices.insert(address, policy.firewalls.len());
                }
            }
            let rules = read_firewall(resources, firewall, &addressing)?;
            policy.firewalls.push(rules);
        }
        let network_prefixes = network_prefixes(resources)?;
        let mut table_indices = BTreeMap::new();
        for table in resources.of_type("Microsoft.Network/routeTables") {
            table_indices.insert(lowercase_id(table), policy.route_tables.len());
            let routes = Routes::read(resources, table, &network_prefixes, &firewall_indices)?;
            policy.route_tables.push(routes);
        }
        let mut governed = BTreeMap::new();
        for network in resources.of_type("Microsoft.Network/virtualNetworks") {
            let id = lowercase_id(network);
            let rules = AdminRules::read(resources, &id, &addressing)?;
            if !rules.is_empty() {
                governed.insert(id, policy.admin_rules.len());
                policy.admin_rules.push(rules);
            }
        }
        let gateways = gateways(resources);
        let subnets = subnets(resources);
        let port = |address, interface_group, subnet_id: &str| {
            let subnet = subnets
                .get(subnet_id)
                .ok_or_else(|| format!("there is no subnet {subnet_id} for {address}"))?;
            let network_id = subnet_id.split("/subnets/").next().unwrap_or_default();
            Ok::<Port, String>(Port {
                address,
                admin_rules: governed.get(network_id).copied(),
                interface_group,
                subnet_group: reference(subnet, "networkSecurityGroup", &group_indices)?,
                route_table: reference(subnet, "routeTable", &table_indices)?,
                nat_gateway: reference(subnet, "natGateway", &gateways)?,
            })
        };
        for nic in network_interfaces(resources) {
            let interface_group = reference(nic, "networkSecurityGroup", &group_indices)?;
            for configuration in list(nic, &["properties", "ipConfigurations"]) {
                let Some(address) = text(configuration, &["properties", "privateIPAddress"]) else {
                    continue;
                };
                let address = address
                    .parse()
                    .map_err(|_| format!("privateIPAddress {address} is no address"))?;
                let subnet_id = text(configuration, &["properties", "subnet", "id"])
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                policy
                    .ports
                    .push(port(address, interface_group, &subnet_id)?);
            }
        }
        policy.outbound_ports = OutboundPorts::read(resources, policy.ports.len());
        // Behind the nodes, whose places among the ports decide which outbound ports they have.
        for subnet_id in api_server_subnets(resources) {
            let subnet = subnets.get(&subnet_id).copied().unwrap_or(&Value::Null);
            let prefix = text(subnet, &["properties", "addressPrefix"]).unwrap_or_default();
            let address = net(prefix)?.hosts().nth(3);
            let address = address.ok_or_else(|| format!("{prefix} has no address to use"))?;
            policy.ports.push(port(address, None, &subnet_id)?);
        }
        Ok(policy)
    }

    /// The outbound ports of the machine with an address; nothing where it has none of its own.
    pub fn outbound_ports_of(&self, address: IpAddr) -> Option<NodePorts> {
        let number = self.ports.iter().position(|port| port.address == address)?;
        if let Some(gateway) = self.ports.get(number).and_then(|p| p.nat_gateway.clone()) {
            return Some(gateway);
        }
        self.outbound_ports?.of_node(u32::try_from(number).ok()?)
    }
}

fn lowercase_id(resource: &Value) -> String {
    text(resource, &["id"])
        .unwrap_or_default()
        .to_ascii_lowercase()
}

fn reference<T: Clone>(
    resource: &Value,
    field: &str,
    known: &BTreeMap<String, T>,
) -> Result<Option<T>, String> {
    let Some(id) = text(resource, &["properties", field, "id"]) else {
        return Ok(None);
    };
    let found = known.get(&id.to_ascii_lowercase());
    found.cloned().map(Some).ok_or_else(|| {
        format!(
            "{} refers to {id}, which is not there",
            lowercase_id(resource)
        )
    })
}

fn subnets(resources: &ArmResources) -> BTreeMap<String, &Value> {
    resources
        .of_type("Microsoft.Network/virtualNetworks")
        .flat_map(|network| {
            let children = children(
                resources,
                network,
                "Microsoft.Network/virtualNetworks/subnets",
                "subnets",
            );
            let network_id = lowercase_id(network);
            children.into_iter().map(move |subnet| {
                let name = text(subnet, &["name"]).unwrap_or_default();
                let id = format!("{network_id}/subnets/{}", name.to_ascii_lowercase());
                (id, subnet)
            })
        })
        .collect()
}

/// Subnets of API servers in the virtual network, whose interfaces ARM does not show. Such an API
/// server has the first address that Azure leaves to it.
fn api_server_subnets(resources: &ArmResources) -> impl Iterator<Item = String> {
    let clusters = resources.of_type("Microsoft.ContainerService/managedClusters");
    let profiles = clusters.filter_map(|cluster| {
        let profile = cluster.pointer("/properties/apiServerAccessProfile")?;
        (profile["enableVnetIntegration"] == true).then_some(profile)
    });
    profiles.filter_map(|profile| Some(text(profile, &["subnetId"])?.to_ascii_lowercase()))
}

fn network_prefixes(resources: &ArmResources) -> Result<Vec<IpNet>, String> {
    resources
        .of_type("Microsoft.Network/virtualNetworks")
        .flat_map(|network| texts(network, &["properties", "addressSpace", "addressPrefixes"]))
        .map(net)
        .collect()
}
