//! The estate of a scenario as Azure resources.

use serde_json::{Value, json};

use super::cluster_effects;
use super::etag::Etag;
use super::network_manager;
use super::shape::{Kind, instance, network_interface, normalise};
use super::store::{Store, Stored};
use crate::data_plane::ArmResources;
use crate::estate::{AzureFirewall, Estate, NetworkRule, NetworkRuleCollection, Node, Pool};

/// The Azure resources an estate begins with.
pub fn resources_of(estate: &Estate) -> ArmResources {
    let store = store_of(estate);
    store.all().map(|stored| store.render(stored)).collect()
}

/// The store an estate begins with.
pub(super) fn store_of(estate: &Estate) -> Store {
    let mut store = Store::default();
    let cluster = &estate.cluster;
    store.put_group(&cluster.resource_group, &cluster.location);
    store.put_group(&cluster.node_resource_group(), &cluster.location);
    let mut seed = Seed { estate, store };
    seed.network();
    seed.network_manager();
    for firewall in &estate.firewalls {
        seed.firewall(firewall);
    }
    for pool in &estate.pools {
        seed.scale_set(pool);
    }
    seed.cluster();
    seed.store
}

struct Seed<'a> {
    estate: &'a Estate,
    store: Store,
}

impl Seed<'_> {
    fn put(&mut self, kind: &str, id: &str, body: Value) {
        let Some(kind) = Kind::find(kind) else { return };
        let mut body = body;
        if !kind.is_nested() {
            body["location"] = json!(self.estate.cluster.location);
        }
        match normalise(kind, id, None, body) {
            Ok(body) => self.put_stored(kind, id, body),
            // The scenario may state what Azure would refuse; the lab then
            // shows the estate without it, and says so.
            Err(error) => tracing::error!(
                id,
                code = error.code,
                message = error.message,
                "the scenario states a resource Azure would refuse"
            ),
        }
    }

    fn put_stored(&mut self, kind: &'static Kind, id: &str, body: Value) {
        self.store.put(Stored {
            kind,
            id: id.to_owned(),
            body,
            etag: Etag::first(kind.family()),
            state: "Succeeded",
        });
    }

    fn network(&mut self) {
        let estate = self.estate;
        for group in &estate.application_security_groups {
            let id = estate.application_security_group_id(&group.name);
            self.put(
                "Microsoft.Network/applicationSecurityGroups",
                &id,
                json!({}),
            );
        }
        for group in &estate.network_security_groups {
            let id = estate.network_security_group_id(&group.name);
            let rules: Vec<Value> = group
                .all_rules()
                .iter()
                .map(|rule| json!({ "name": rule.name, "properties": estate.security_rule_properties(rule) }))
                .collect();
            let body = json!({ "properties": { "securityRules": rules } });
            self.put("Microsoft.Network/networkSecurityGroups", &id, body);
        }
        for table in &estate.route_tables {
            let routes: Vec<Value> = table
                .routes
                .iter()
                .map(|route| {
                    let mut properties = json!({
                        "addressPrefix": route.address_prefix,
                        "nextHopType": route.next_hop_type,
                    });
                    if let Some(address) = route.next_hop_address {
                        properties["nextHopIpAddress"] = json!(address);
                    }
                    json!({ "name": route.name, "properties": properties })
                })
                .collect();
            let id = estate.route_table_id(&table.name);
            let body = json!({ "properties": { "routes": routes } });
            self.put("Microsoft.Network/routeTables", &id, body);
        }
        let network = &estate.network;
        let subnets: Vec<Value> = network
            .subnets
            .iter()
            .map(|subnet| {
                let mut properties = json!({ "addressPrefix": subnet.address_prefix });
                if let Some(name) = &subnet.network_security_group {
                    let id = estate.network_security_group_id(name);
                    properties["networkSecurityGroup"] = json!({ "id": id });
                }
                if let Some(name) = &subnet.route_table {
                    properties["routeTable"] = json!({ "id": estate.route_table_id(name) });
                }
                if estate.cluster.api_server_subnet.as_ref() == Some(&subnet.name) {
                    properties["delegations"] = delegation();
                }
                json!({ "name": subnet.name, "properties": properties })
            })
            .collect();
        let mut properties = json!({
            "addressSpace": { "addressPrefixes": network.address_prefixes },
            "subnets": subnets,
        });
        if !network.peered_prefixes.is_empty() {
            let remote = estate.network_provider_id(
                &estate.cluster.resource_group,
                "virtualNetworks",
                "vnet-peer",
            );
            let prefixes = json!({ "addressPrefixes": network.peered_prefixes });
            properties["virtualNetworkPeerings"] = json!([{ "name": "peer", "properties": {
                "peeringState": "Connected",
                "peeringSyncLevel": "FullyInSync",
                "remoteVirtualNetwork": { "id": remote },
                "allowVirtualNetworkAccess": true,
                "allowForwardedTraffic": true,
                "allowGatewayTransit": false,
                "useRemoteGateways": false,
                "remoteAddressSpace": prefixes,
                "remoteVirtualNetworkAddressSpace": prefixes,
            }}]);
        }
        let body = json!({ "properties": properties });
        self.put(
            "Microsoft.Network/virtualNetworks",
            &estate.network_id(),
            body,
        );
    }

    fn network_manager(&mut self) {
        let resources = network_manager::resources(self.estate);
        if !resources.is_empty() {
            let location = &self.estate.cluster.location;
            self.store
                .put_group(network_manager::RESOURCE_GROUP, location);
        }
        for (kind, id, body) in resources {
            self.put(kind, &id, body);
        }
    }

    /// A firewall policy with its one group of rule collections.
    fn firewall_policy(
        &mut self,
        id: &str,
        mut body: Value,
        collections: &[NetworkRuleCollection],
    ) {
        let group_id = format!("{id}/ruleCollectionGroups/DefaultNetworkRuleCollectionGroup");
        let collections: Vec<Value> = collections
            .iter()
            .map(|collection| {
                let rules: Vec<Value> = collection
                    .rules
                    .iter()
                    .map(|rule| {
                        let mut rule = network_rule(rule, "ipProtocols");
                        rule["ruleType"] = json!("NetworkRule");
                        rule
                    })
                    .collect();
                json!({
                    "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
                    "name": collection.name,
                    "priority": collection.priority,
                    "action": { "type": collection.action },
                    "rules": rules,
                })
            })
            .collect();
        body["properties"]["ruleCollectionGroups"] = json!([{ "id": group_id }]);
        self.put("Microsoft.Network/firewallPolicies", id, body);
        let group = json!({ "properties": { "priority": 200, "ruleCollections": collections } });
        self.put(
            "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
            &group_id,
            group,
        );
    }

    fn firewall(&mut self, firewall: &AzureFirewall) {
        let estate = self.estate;
        let group = &estate.cluster.resource_group;
        let network_id = |kind: &str, name: &str| estate.network_provider_id(group, kind, name);
        let id = network_id("azureFirewalls", &firewall.name);
        let mut properties = json!({
            "ipConfigurations": [{ "name": "ipconfig", "properties": {
                "privateIPAddress": firewall.private_address,
                "subnet": { "id": estate.subnet_id("AzureFirewallSubnet") },
            }}],
        });
        if let Some(policy) = &firewall.policy {
            let policy_id = network_id("firewallPolicies", policy);
            let mut body = json!({ "properties": { "firewalls": [{ "id": id }] } });
            if let Some(base) = &firewall.base_policy {
                let base_id = network_id("firewallPolicies", &base.name);
                let children = json!({ "properties": { "childPolicies": [{ "id": policy_id }] } });
                self.firewall_policy(&base_id, children, &base.network_rule_collections);
                body["properties"]["basePolicy"] = json!({ "id": base_id });
            }
            self.firewall_policy(&policy_id, body, &firewall.network_rule_collections);
            properties["firewallPolicy"] = json!({ "id": policy_id });
        } else {
            properties["networkRuleCollections"] = firewall
                .network_rule_collections
                .iter()
                .map(|collection| {
                    let rules: Vec<Value> = collection
                        .rules
                        .iter()
                        .map(|one| network_rule(one, "protocols"))
                        .collect();
                    json!({ "name": collection.name, "properties": {
                        "priority": collection.priority,
                        "action": { "type": collection.action },
                        "rules": rules,
                    }})
                })
                .collect();
        }
        self.put(
            "Microsoft.Network/azureFirewalls",
            &id,
            json!({ "properties": properties }),
        );
    }

    fn scale_set(&mut self, pool: &Pool) {
        let estate = self.estate;
        let group = estate
            .cluster
            .group_id(&estate.cluster.node_resource_group());
        let name = pool.scale_set();
        let id = format!("{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{name}");
        let subnet_id = estate.subnet_id(&pool.subnet);
        let security_group_id = pool
            .network_security_group
            .as_ref()
            .map(|name| estate.network_security_group_id(name));
        let mut interface = json!({ "name": name, "properties": {
            "primary": true,
            "enableIPForwarding": true,
            "ipConfigurations": [{ "name": "ipconfig1", "properties": {
                "primary": true,
                "subnet": { "id": subnet_id },
            }}],
        }});
        if let Some(id) = &security_group_id {
            interface["properties"]["networkSecurityGroup"] = json!({ "id": id });
        }
        let body = json!({
            "tags": { "aks-managed-poolName": pool.name },
            "sku": { "name": "Standard_D2s_v3", "capacity": pool.count },
            "properties": { "overprovision": false, "virtualMachineProfile": {
                "osProfile": { "computerNamePrefix": name, "adminUsername": "azureuser" },
                "storageProfile": { "imageReference": {
                    "id": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/AKS-Ubuntu/providers/Microsoft.Compute/galleries/AKSUbuntu/images/2204gen2containerd/versions/202509.11.0",
                }},
                "networkProfile": { "networkInterfaceConfigurations": [interface] },
            }},
        });
        self.put("Microsoft.Compute/virtualMachineScaleSets", &id, body);
        let Some(model) = self.store.get(&id).map(|stored| stored.body.clone()) else {
            return;
        };
        for node in estate.nodes().iter().filter(|node| node.pool == pool.name) {
            self.instance(
                &model,
                node,
                &name,
                &subnet_id,
                security_group_id.as_deref(),
            );
        }
    }

    fn instance(
        &mut self,
        model: &Value,
        node: &Node,
        interface: &str,
        subnet_id: &str,
        security_group_id: Option<&str>,
    ) {
        let id = self.estate.instance_id(node);
        let machines = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines";
        let interfaces =
            "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces";
        let (Some(machines), Some(interfaces)) = (Kind::find(machines), Kind::find(interfaces))
        else {
            return;
        };
        let body = instance(model, node.instance, node.name.as_str());
        self.put_stored(machines, &id, body);
        let address = node.address.to_string();
        let body = network_interface(
            &id,
            interface,
            subnet_id,
            &address,
            security_group_id,
            &self.application_group_ids(&node.pool),
        );
        self.put_stored(
            interfaces,
            &format!("{id}/networkInterfaces/{interface}"),
            body,
        );
    }

    fn application_group_ids(&self, pool: &str) -> Vec<String> {
        self.estate
            .application_security_groups
            .iter()
            .filter(|group| group.pools.iter().any(|member| member == pool))
            .map(|group| self.estate.application_security_group_id(&group.name))
            .collect()
    }

    /// Public addresses that the cluster's owner made and gave to it.
    fn own_addresses(&mut self) -> Vec<Value> {
        let estate = self.estate;
        (0..estate.cluster.own_outbound_ips)
            .map(|number| {
                let id = estate.network_provider_id(
                    &estate.cluster.resource_group,
                    "publicIPAddresses",
                    &format!("pip-egress-{number}"),
                );
                let body = json!({
                    "sku": { "name": "Standard", "tier": "Regional" },
                    "properties": { "publicIPAllocationMethod": "Static" },
                });
                self.put("Microsoft.Network/publicIPAddresses", &id, body);
                json!({ "id": id })
            })
            .collect()
    }

    fn cluster(&mut self) {
        let estate = self.estate;
        let cluster = &estate.cluster;
        let pools: Vec<Value> = estate
            .pools
            .iter()
            .map(|pool| {
                let mut profile = json!({
                    "name": pool.name,
                    "count": pool.count,
                    "mode": pool.mode,
                    "enableAutoScaling": pool.autoscaler_maximum.is_some(),
                });
                if let Some(maximum) = pool.autoscaler_maximum {
                    profile["minCount"] = json!(1);
                    profile["maxCount"] = json!(maximum);
                }
                if !estate.network.managed {
                    profile["vnetSubnetID"] = json!(estate.subnet_id(&pool.subnet));
                }
                profile
            })
            .collect();
        let mut network = json!({ "outboundType": cluster.outbound_type });
        if cluster.outbound_type == "loadBalancer" {
            network["loadBalancerProfile"] = json!({
                "allocatedOutboundPorts": cluster.allocated_outbound_ports,
                "idleTimeoutInMinutes": 30,
            });
            let profile = &mut network["loadBalancerProfile"];
            if cluster.own_outbound_ips > 0 {
                let given = self.own_addresses();
                profile["outboundIPs"] = json!({ "publicIPs": given });
            } else {
                let count = cluster.managed_outbound_ips;
                profile["managedOutboundIPs"] = json!({ "count": count });
            }
        }
        let mut properties = json!({
            "kubernetesVersion": cluster.kubernetes_version,
            "dnsPrefix": cluster.name,
            "agentPoolProfiles": pools,
            "networkProfile": network,
            "nodeResourceGroup": cluster.node_resource_group(),
        });
        if cluster.private {
            properties["apiServerAccessProfile"] = json!({ "enablePrivateCluster": true });
        }
        if let Some(subnet) = &cluster.api_server_subnet {
            let profile = &mut properties["apiServerAccessProfile"];
            profile["enableVnetIntegration"] = json!(true);
            profile["subnetId"] = json!(estate.subnet_id(subnet));
        }
        if cluster.lockdown {
            properties["nodeResourceGroupProfile"] = json!({ "restrictionLevel": "ReadOnly" });
        }
        let id = cluster.id();
        self.put(
            "Microsoft.ContainerService/managedClusters",
            &id,
            json!({ "properties": properties }),
        );
        if let Some(stored) = self.store.get(&id).cloned() {
            cluster_effects::apply(&mut self.store, &stored);
        }
    }
}

/// Gives a subnet to AKS, for API servers.
fn delegation() -> Value {
    json!([{ "name": "aks-delegation", "properties": {
        "serviceName": "Microsoft.ContainerService/managedClusters",
        "actions": ["Microsoft.Network/virtualNetworks/subnets/join/action"],
        "provisioningState": "Succeeded",
    }}])
}

/// A rule as ARM has it; where its protocols are depends on what holds it.
fn network_rule(rule: &NetworkRule, protocols: &str) -> Value {
    json!({
        "name": rule.name,
        protocols: rule.protocols,
        "sourceAddresses": rule.source_addresses,
        "destinationAddresses": rule.destination_addresses,
        "sourceIpGroups": [],
        "destinationIpGroups": [],
        "destinationFqdns": [],
        "destinationPorts": rule.destination_ports,
    })
}
