//! What AKS changes in the node resource group when a cluster's profile
//! changes: its load balancer's outbound rule or its NAT gateway, and the public
//! addresses of either.

use serde_json::{Value, json};

use super::etag::Etag;
use super::id::name_of;
use super::reply::Family;
use super::shape::{Kind, normalise};
use super::store::{Store, Stored};

const ADDRESSES: &str = "Microsoft.Network/publicIPAddresses";
const BALANCERS: &str = "Microsoft.Network/loadBalancers";
const GATEWAYS: &str = "Microsoft.Network/natGateways";
const NETWORKS: &str = "Microsoft.Network/virtualNetworks";

/// Brings the node resource group in line with a cluster.
pub(super) fn apply(store: &mut Store, cluster: &Stored) {
    let properties = cluster.body["properties"].clone();
    let network = &properties["networkProfile"];
    let subscription = cluster.id.split('/').nth(2).unwrap_or_default();
    let group = properties["nodeResourceGroup"].as_str().unwrap_or_default();
    let mut group = NodeGroup {
        id: format!("/subscriptions/{subscription}/resourceGroups/{group}"),
        location: cluster.body["location"].clone(),
        store,
    };
    let outbound = network["outboundType"].as_str().unwrap_or_default();
    if outbound == "loadBalancer" {
        group.balance(&network["loadBalancerProfile"]);
    } else {
        group.remove(BALANCERS, "kubernetes");
    }
    if outbound == "managedNATGateway" {
        group.translate(&network["natGatewayProfile"]);
    } else {
        group.attach_gateway(None);
        group.remove(GATEWAYS, GATEWAY);
    }
    let kept = ["loadBalancerProfile", "natGatewayProfile"]
        .iter()
        .flat_map(|profile| effective_addresses(&network[*profile]))
        .collect::<Vec<_>>();
    group.keep_addresses(&kept);
}

/// Name of the NAT gateway that AKS makes.
const GATEWAY: &str = "aks-nat-gateway";

fn effective_addresses(profile: &Value) -> Vec<String> {
    profile["effectiveOutboundIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|address| address["id"].as_str().map(str::to_owned))
        .collect()
}

/// The group that AKS keeps for itself.
struct NodeGroup<'a> {
    id: String,
    location: Value,
    store: &'a mut Store,
}

impl NodeGroup<'_> {
    fn resource_id(&self, kind: &str, name: &str) -> String {
        format!("{}/providers/{kind}/{name}", self.id)
    }

    fn remove(&mut self, kind: &str, name: &str) {
        let id = self.resource_id(kind, name);
        self.store.remove(&id);
    }

    fn balance(&mut self, profile: &Value) {
        let addresses = effective_addresses(profile);
        self.make_addresses(&addresses);
        let id = self.resource_id(BALANCERS, "kubernetes");
        let mut body = match self.store.get(&id) {
            Some(balancer) => balancer.body.clone(),
            None => json!({
                "location": self.location,
                "sku": { "name": "Standard" },
                "properties": {
                    "backendAddressPools": [
                        { "name": "aksOutboundBackendPool", "properties": {} },
                        { "name": "kubernetes", "properties": {} },
                    ],
                    "outboundRules": [{ "name": "aksOutboundRule", "properties": {
                        "backendAddressPool": {
                            "id": format!("{id}/backendAddressPools/aksOutboundBackendPool"),
                        },
                        "protocol": "All",
                        "enableTcpReset": true,
                    }}],
                },
            }),
        };
        let frontends: Vec<Value> = addresses
            .iter()
            .map(|address| {
                json!({ "name": name_of(address), "properties": { "publicIPAddress": { "id": address } } })
            })
            .collect();
        let references: Vec<Value> = addresses
            .iter()
            .map(|address| json!({ "id": format!("{id}/frontendIPConfigurations/{}", name_of(address)) }))
            .collect();
        body["properties"]["frontendIPConfigurations"] = json!(frontends);
        let ports = profile["allocatedOutboundPorts"].as_u64().unwrap_or(0);
        let idle_minutes = profile["idleTimeoutInMinutes"].as_u64().unwrap_or(30);
        if let Some(rules) = body["properties"]["outboundRules"].as_array_mut() {
            for rule in rules
                .iter_mut()
                .filter(|rule| rule["name"] == "aksOutboundRule")
            {
                rule["properties"]["allocatedOutboundPorts"] = json!(ports);
                rule["properties"]["idleTimeoutInMinutes"] = json!(idle_minutes);
                rule["properties"]["frontendIPConfigurations"] = json!(references);
            }
        }
        put(self.store, BALANCERS, &id, body);
    }

    fn translate(&mut self, profile: &Value) {
        let addresses = effective_addresses(profile);
        self.make_addresses(&addresses);
        let id = self.resource_id(GATEWAYS, GATEWAY);
        let references: Vec<Value> = addresses.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({
            "location": self.location,
            "sku": { "name": "Standard" },
            "properties": {
                "idleTimeoutInMinutes": profile["idleTimeoutInMinutes"],
                "publicIpAddresses": references,
            },
        });
        put(self.store, GATEWAYS, &id, body);
        self.attach_gateway(Some(&id));
    }

    /// On every subnet of the network that AKS made.
    fn attach_gateway(&mut self, gateway: Option<&str>) {
        let Some(kind) = Kind::find(NETWORKS) else {
            return;
        };
        let networks: Vec<Stored> = self.store.of_kind(kind, &self.id).cloned().collect();
        for network in networks {
            let mut body = network.body.clone();
            let subnets = body["properties"]["subnets"].as_array_mut();
            for subnet in subnets.into_iter().flatten() {
                let Some(properties) = subnet["properties"].as_object_mut() else {
                    continue;
                };
                match gateway {
                    Some(id) => properties.insert("natGateway".to_owned(), json!({ "id": id })),
                    None => properties.remove("natGateway"),
                };
            }
            if body != network.body {
                put(self.store, NETWORKS, &network.id, body);
            }
        }
    }

    fn make_addresses(&mut self, ids: &[String]) {
        for id in ids {
            if self.store.get(id).is_none() {
                let body = json!({
                    "location": self.location,
                    "sku": { "name": "Standard", "tier": "Regional" },
                    "properties": { "publicIPAllocationMethod": "Static" },
                });
                put(self.store, ADDRESSES, id, body);
            }
        }
    }

    /// Gives up addresses of the group that nothing uses any more.
    fn keep_addresses(&mut self, kept: &[String]) {
        let Some(kind) = Kind::find(ADDRESSES) else {
            return;
        };
        let there: Vec<String> = self
            .store
            .of_kind(kind, &self.id)
            .map(|address| address.id.clone())
            .collect();
        for id in there {
            if !kept.iter().any(|kept| kept.eq_ignore_ascii_case(&id)) {
                self.store.remove(&id);
            }
        }
    }
}

fn put(store: &mut Store, kind: &str, id: &str, body: Value) {
    let Some(kind) = Kind::find(kind) else { return };
    let before = store.get(id).cloned();
    match normalise(kind, id, before.as_ref().map(|stored| &stored.body), body) {
        Ok(body) => store.put(Stored {
            kind,
            id: id.to_owned(),
            body,
            etag: before.map_or_else(
                || Etag::first(Family::Network),
                |stored| stored.etag.next(Family::Network),
            ),
            state: "Succeeded",
        }),
        Err(error) => tracing::error!(id, error = error.message, "AKS made a bad resource"),
    }
}
