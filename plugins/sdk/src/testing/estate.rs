//! A cluster in the shapes that Azure and Kubernetes give.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use naosu_flow::nsg::EFFECTIVE_ADMIN_RULES;

use super::{Recorded, firewall::TestFirewall};
use crate::{Cluster, ObserveError, Query, TunnelType, kubernetes, kubernetes_endpoints};

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

/// Nodes of the first subnet, where there is a second one.
const FIRST_SUBNET_NODES: u32 = 4;

/// A cluster with one node pool; a tunnel agent runs on its first node.
#[derive(Clone, Debug)]
pub struct Estate {
    /// How many nodes.
    pub nodes: u32,
    /// Custom rules of the security group of the subnet, as ARM has them.
    pub subnet_rules: Vec<Value>,
    /// Custom rules of the security group of the interfaces; `None` for no group.
    pub interface_rules: Option<Vec<Value>>,
    /// Security admin rules in force on the network, as ARM lists them; `None`
    /// where the caller may not ask.
    pub admin_rules: Option<Vec<Value>>,
    /// Whether AKS made the network, in the node resource group.
    pub managed_network: bool,
    /// Changes to the managed cluster, merged into it.
    pub cluster: Value,
    /// The kind of the tunnel.
    pub tunnel: TunnelType,
    /// What the API server publishes as its addresses; `None` where that cannot
    /// be read.
    pub api_server: Option<Vec<&'static str>>,
    /// The routes of the nodes' subnet, as ARM has them; `None` for no table.
    pub routes: Option<Vec<Value>>,
    /// Puts all nodes but the first four into a subnet of their own, with
    /// these routes; `Some(None)` for no table.
    pub second_subnet: Option<Option<Vec<Value>>>,
    /// The Azure Firewall at [`Self::FIREWALL`].
    pub firewall: Option<TestFirewall>,
}

impl Default for Estate {
    fn default() -> Self {
        Self {
            nodes: 3,
            subnet_rules: Vec::new(),
            interface_rules: None,
            admin_rules: Some(Vec::new()),
            managed_network: false,
            cluster: json!({}),
            tunnel: TunnelType::Konnectivity,
            api_server: Some(vec!["203.0.113.10"]),
            routes: None,
            second_subnet: None,
            firewall: None,
        }
    }
}

impl Estate {
    /// The private address of the firewall.
    pub const FIREWALL: &str = "10.225.0.4";

    /// A route as ARM has it; `next` is an address, or the type of the next hop.
    pub fn route(name: &str, prefix: &str, next: &str) -> Value {
        let is_address = next.parse::<Ipv4Addr>().is_ok();
        let kind = if is_address { "VirtualAppliance" } else { next };
        let mut properties = json!({ "addressPrefix": prefix, "nextHopType": kind });
        if is_address {
            properties["nextHopIpAddress"] = json!(next);
        }
        json!({ "name": name, "properties": properties })
    }

    /// The cluster as plugins are given it.
    pub fn cluster() -> Cluster {
        Cluster {
            id: format!(
                "{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks"
            ),
            name: "aks".into(),
        }
    }

    /// A security rule as ARM has it, from and to anywhere.
    pub fn rule(name: &str, direction: &str, priority: u16, access: &str, port: &str) -> Value {
        json!({ "name": name, "properties": {
            "priority": priority, "direction": direction, "access": access, "protocol": "Tcp",
            "sourceAddressPrefix": "*", "sourceAddressPrefixes": [], "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": port,
        }})
    }

    /// A security admin rule as ARM lists it among those in force, from and to
    /// anywhere.
    pub fn admin_rule(
        name: &str,
        direction: &str,
        priority: u16,
        access: &str,
        port: &str,
    ) -> Value {
        let id = format!(
            "{SUBSCRIPTION}/resourceGroups/hub/providers/Microsoft.Network/networkManagers/hub\
             /securityAdminConfigurations/c/ruleCollections/baseline/rules/{name}"
        );
        json!({ "id": id, "kind": "Custom", "properties": {
            "priority": priority, "direction": direction, "access": access, "protocol": "Tcp",
            "sources": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
            "destinations": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
            "sourcePortRanges": ["0-65535"], "destinationPortRanges": [port] } })
    }

    /// ARM id of the security group of the subnet.
    pub fn subnet_group_id(&self) -> String {
        self.network_id("networkSecurityGroups/nsg-subnet")
    }

    /// ARM id of the security group of the interfaces.
    pub fn interface_group_id(&self) -> String {
        self.network_id("networkSecurityGroups/nsg-interfaces")
    }

    /// Name of a node.
    pub fn node_name(index: u32) -> String {
        format!("aks-pool-1-vmss{index:06}")
    }

    /// Address of a node.
    pub fn node_address(index: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 224, 0, 4)) + index)
    }

    /// ARM id of the load balancer that AKS makes.
    pub fn load_balancer_id() -> String {
        format!(
            "{SUBSCRIPTION}/resourceGroups/MC_rg_aks/providers/Microsoft.Network/loadBalancers/kubernetes"
        )
    }

    /// ARM id of the subnet of an API server in the virtual network, 10.226.0.0/28; its
    /// security group is that of the nodes' subnet.
    pub fn api_server_subnet_id(&self) -> String {
        self.network_id("virtualNetworks/vnet/subnets/apiserver")
    }

    /// ARM id of the virtual network.
    pub fn virtual_network_id(&self) -> String {
        self.network_id("virtualNetworks/vnet")
    }

    /// A konnectivity agent's pod as Kubernetes has it, ready or not.
    pub fn agent_pod(ready: bool) -> Value {
        let labels = json!({ "app": "konnectivity-agent", "component": "tunnel" });
        Self::pod("konnectivity-agent", &labels, ready)
    }

    fn pod(name: &str, labels: &Value, ready: bool) -> Value {
        let status = if ready { "True" } else { "False" };
        json!({ "metadata": { "name": format!("{name}-5b8f9-x2x4q"),
                "namespace": "kube-system", "labels": labels },
            "spec": { "nodeName": Self::node_name(0) },
            "status": { "phase": "Running", "podIP": "10.244.0.7",
                "hostIP": Self::node_address(0),
                "conditions": [{ "type": "Ready", "status": status }],
                "containerStatuses": [{ "name": name, "ready": ready }] } })
    }

    /// ARM id of a resource of the network provider.
    pub fn network_id(&self, tail: &str) -> String {
        let group = self.group();
        format!("{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{tail}")
    }

    fn group(&self) -> &'static str {
        if self.managed_network {
            "MC_rg_aks"
        } else {
            "rg"
        }
    }

    fn subnet_of(&self, index: u32) -> &'static str {
        if self.second_subnet.is_some() && index >= FIRST_SUBNET_NODES {
            "second"
        } else {
            "nodes"
        }
    }

    fn record_routes(&self, recorded: &mut Recorded) {
        let second = self.second_subnet.clone().flatten();
        for (name, routes) in [("rt-nodes", self.routes.clone()), ("rt-second", second)] {
            let Some(routes) = routes else { continue };
            let id = self.network_id(&format!("routeTables/{name}"));
            let body = json!({ "id": id, "name": name, "properties": { "routes": routes } });
            recorded.put(Query::AzureGet(id), body);
        }
    }

    fn scale_set_id() -> String {
        format!(
            "{SUBSCRIPTION}/resourceGroups/MC_rg_aks/providers/Microsoft.Compute/virtualMachineScaleSets/aks-pool-1-vmss"
        )
    }

    /// All that plugins read of it.
    pub fn record(&self) -> Recorded {
        let mut recorded = Recorded::default();
        recorded.put(Query::AzureGet(Self::cluster().id), self.managed_cluster());
        recorded.put(kubernetes::all_nodes(), self.kubernetes_nodes());
        recorded.put(kubernetes::system_budgets(), json!([]));
        let (label, agent) = self.agent();
        for selector in ["app=konnectivity-agent", "app=aks-link", "component=tunnel"] {
            // AKS labels konnectivity agents so, too.
            let is_shared = selector == "component=tunnel" && label == "app=konnectivity-agent";
            let pods = if selector == label || is_shared {
                json!([agent])
            } else {
                json!([])
            };
            recorded.put(kubernetes::system_pods(selector), pods);
        }
        if let Some(addresses) = &self.api_server {
            let addresses: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
            let body = json!({ "metadata": { "name": "kubernetes", "namespace": "default" },
                "subsets": [{ "addresses": addresses, "ports": [{ "port": 443 }] }] });
            recorded.put(kubernetes_endpoints(), body);
        }
        self.record_routes(&mut recorded);
        let firewalls = format!(
            "{SUBSCRIPTION}/resourceGroups/{}/providers/Microsoft.Network/azureFirewalls",
            self.group()
        );
        match &self.firewall {
            Some(firewall) => firewall.record(self, &mut recorded, &firewalls),
            None => recorded.put(Query::AzureList(firewalls), json!([])),
        }
        let tags =
            format!("{SUBSCRIPTION}/providers/Microsoft.Network/locations/westeurope/serviceTags");
        recorded.put(
            Query::AzureGet(tags),
            json!({ "values": [{ "name": "AzureCloud.westeurope",
                "properties": { "addressPrefixes": ["203.0.113.0/24"] } }] }),
        );
        let sets = Self::scale_set_id();
        let list = sets.rsplit_once('/').map_or("", |(list, _)| list);
        recorded.put(
            Query::AzureList(list.to_owned()),
            json!([{ "id": sets, "name": "aks-pool-1-vmss", "sku": { "capacity": self.nodes } }]),
        );
        recorded.put(
            Query::AzureList(format!("{sets}/networkInterfaces")),
            self.interfaces(),
        );
        recorded.put(
            Query::AzureGet(self.network_id("virtualNetworks/vnet")),
            self.virtual_network(),
        );
        let admin_rules = Query::AzureList(format!(
            "{}/{EFFECTIVE_ADMIN_RULES}",
            self.virtual_network_id()
        ));
        match &self.admin_rules {
            Some(rules) => recorded.put(admin_rules, json!(rules)),
            None => recorded.fail(
                admin_rules,
                ObserveError::Forbidden("the caller may not perform this action".to_owned()),
            ),
        }
        let group = |id: String, rules: &[Value]| {
            let body = json!({ "id": id, "name": id.rsplit('/').next(), "etag": "W/\"1\"",
                "properties": { "provisioningState": "Succeeded", "securityRules": rules } });
            (Query::AzureGet(id), body)
        };
        let (query, body) = group(self.subnet_group_id(), &self.subnet_rules);
        recorded.put(query, body);
        if let Some(rules) = &self.interface_rules {
            let (query, body) = group(self.interface_group_id(), rules);
            recorded.put(query, body);
        }
        recorded
    }

    fn managed_cluster(&self) -> Value {
        let mut body = json!({
            "id": Self::cluster().id, "name": "aks", "location": "westeurope",
            "sku": { "name": "Base", "tier": "Standard" },
            "properties": {
                "provisioningState": "Succeeded", "powerState": { "code": "Running" },
                "nodeResourceGroup": "MC_rg_aks",
                "agentPoolProfiles": [{ "name": "pool", "count": self.nodes, "mode": "System",
                    "vnetSubnetID": self.network_id("virtualNetworks/vnet/subnets/nodes") }],
                "networkProfile": { "networkPlugin": "azure", "networkPluginMode": "overlay",
                    "podCidr": "10.244.0.0/16", "outboundType": "loadBalancer",
                    "loadBalancerProfile": { "managedOutboundIPs": { "count": 1 } } },
            },
        });
        if self.tunnel == TunnelType::VnetIntegration {
            body["properties"]["apiServerAccessProfile"] = json!({
                "enableVnetIntegration": true, "subnetId": self.api_server_subnet_id() });
        }
        merge(&mut body, &self.cluster);
        body
    }

    fn kubernetes_nodes(&self) -> Value {
        (0..self.nodes)
            .map(|index| {
                json!({ "metadata": { "name": Self::node_name(index), "labels": {
                        "kubernetes.io/os": "linux", "kubernetes.azure.com/agentpool": "pool" } },
                    "spec": { "providerID": format!("azure://{}/virtualMachines/{index}", Self::scale_set_id()) },
                    "status": { "addresses": [
                            { "type": "InternalIP", "address": Self::node_address(index) },
                            { "type": "Hostname", "address": Self::node_name(index) } ],
                        "conditions": [{ "type": "Ready", "status": "True" }] } })
            })
            .collect()
    }

    /// The label that tells the kind, and the agent.
    fn agent(&self) -> (&'static str, Value) {
        let (label, name, labels) = match self.tunnel {
            TunnelType::Tunnelfront => (
                "component=tunnel",
                "tunnelfront",
                json!({ "component": "tunnel" }),
            ),
            TunnelType::AksLink => ("app=aks-link", "aks-link", json!({ "app": "aks-link" })),
            TunnelType::Konnectivity => (
                "app=konnectivity-agent",
                "konnectivity-agent",
                json!({ "app": "konnectivity-agent", "component": "tunnel" }),
            ),
            TunnelType::VnetIntegration | TunnelType::NotFound => ("none", "none", json!({})),
        };
        (label, Self::pod(name, &labels, true))
    }

    fn interfaces(&self) -> Value {
        let group = self.interface_rules.as_ref();
        let group = group.map(|_| json!({ "id": self.interface_group_id() }));
        (0..self.nodes)
            .map(|index| {
                let id = format!(
                    "{}/virtualMachines/{index}/networkInterfaces/nic",
                    Self::scale_set_id()
                );
                let subnet = self.subnet_of(index);
                let subnet = self.network_id(&format!("virtualNetworks/vnet/subnets/{subnet}"));
                json!({ "id": id, "name": "nic", "properties": {
                    "provisioningState": "Succeeded", "primary": true,
                    "networkSecurityGroup": group,
                    "ipConfigurations": [{ "name": "ipconfig1", "properties": {
                        "privateIPAddress": Self::node_address(index), "primary": true,
                        "subnet": { "id": subnet } } }] } })
            })
            .collect()
    }

    fn virtual_network(&self) -> Value {
        let subnet = |name: &str, prefix: &str, table: Option<&str>| {
            let mut properties = json!({ "addressPrefix": prefix });
            if ["nodes", "apiserver"].contains(&name) {
                properties["networkSecurityGroup"] = json!({ "id": self.subnet_group_id() });
            }
            if let Some(table) = table {
                let id = self.network_id(&format!("routeTables/{table}"));
                properties["routeTable"] = json!({ "id": id });
            }
            let id = self.network_id(&format!("virtualNetworks/vnet/subnets/{name}"));
            json!({ "id": id, "name": name, "properties": properties })
        };
        let table = self.routes.as_ref().map(|_| "rt-nodes");
        let mut subnets = vec![subnet("AzureFirewallSubnet", "10.225.0.0/26", None)];
        match &self.second_subnet {
            None => subnets.push(subnet("nodes", "10.224.0.0/16", table)),
            Some(routes) => {
                let second = routes.as_ref().map(|_| "rt-second");
                subnets.push(subnet("nodes", "10.224.0.0/29", table));
                subnets.push(subnet("second", "10.224.0.8/29", second));
            }
        }
        if self.tunnel == TunnelType::VnetIntegration {
            subnets.push(subnet("apiserver", "10.226.0.0/28", None));
        }
        json!({ "id": self.network_id("virtualNetworks/vnet"), "name": "vnet", "properties": {
            "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] },
            "subnets": subnets,
            "virtualNetworkPeerings": [] } })
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}
