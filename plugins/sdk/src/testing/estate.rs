//! A cluster in the shapes that Azure and Kubernetes give.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::Recorded;
use crate::{Cluster, Query, kubernetes};

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

/// A cluster with one node pool; a konnectivity agent runs on its first node.
#[derive(Clone, Debug)]
pub struct Estate {
    /// How many nodes.
    pub nodes: u32,
    /// Custom rules of the security group of the subnet, as ARM has them.
    pub subnet_rules: Vec<Value>,
    /// Custom rules of the security group of the interfaces; `None` for no group.
    pub interface_rules: Option<Vec<Value>>,
    /// Whether AKS made the network, in the node resource group.
    pub managed_network: bool,
    /// Changes to the managed cluster, merged into it.
    pub cluster: Value,
}

impl Default for Estate {
    fn default() -> Self {
        Self {
            nodes: 3,
            subnet_rules: Vec::new(),
            interface_rules: None,
            managed_network: false,
            cluster: json!({}),
        }
    }
}

impl Estate {
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

    fn network_id(&self, tail: &str) -> String {
        let group = if self.managed_network {
            "MC_rg_aks"
        } else {
            "rg"
        };
        format!("{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{tail}")
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
        let agent = self.agent();
        recorded.put(
            kubernetes::system_pods("app=konnectivity-agent"),
            json!([agent]),
        );
        recorded.put(kubernetes::system_pods("component=tunnel"), json!([agent]));
        recorded.put(kubernetes::system_pods("app=aks-link"), json!([]));
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

    fn agent(&self) -> Value {
        json!({ "metadata": { "name": "konnectivity-agent-5b8f9-x2x4q", "namespace": "kube-system",
                "labels": { "app": "konnectivity-agent", "component": "tunnel" } },
            "spec": { "nodeName": Self::node_name(0) },
            "status": { "phase": "Running", "podIP": "10.244.0.7",
                "hostIP": Self::node_address(0),
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{ "name": "konnectivity-agent", "ready": true }] } })
    }

    fn interfaces(&self) -> Value {
        let subnet = self.network_id("virtualNetworks/vnet/subnets/nodes");
        let group = self.interface_rules.as_ref();
        let group = group.map(|_| json!({ "id": self.interface_group_id() }));
        (0..self.nodes)
            .map(|index| {
                let id = format!(
                    "{}/virtualMachines/{index}/networkInterfaces/nic",
                    Self::scale_set_id()
                );
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
        json!({ "id": self.network_id("virtualNetworks/vnet"), "name": "vnet", "properties": {
            "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] },
            "subnets": [{ "id": self.network_id("virtualNetworks/vnet/subnets/nodes"), "name": "nodes",
                "properties": { "addressPrefix": "10.224.0.0/16",
                    "networkSecurityGroup": { "id": self.subnet_group_id() } } }],
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
