//! What AKS changes in the node resource group when a cluster's profile
//! changes: the outbound rule of its load balancer and its public addresses.

use serde_json::{Value, json};

use super::etag::Etag;
use super::id::name_of;
use super::reply::Family;
use super::shape::{Kind, normalise};
use super::store::{Store, Stored};

/// Brings the node resource group in line with a cluster.
pub(super) fn apply(store: &mut Store, cluster: &Stored) {
    let properties = cluster.body["properties"].clone();
    let location = cluster.body["location"].clone();
    let network = &properties["networkProfile"];
    let profile = &network["loadBalancerProfile"];
    if network["outboundType"] != "loadBalancer" {
        return;
    }
    let addresses: Vec<String> = profile["effectiveOutboundIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|address| address["id"].as_str().map(str::to_owned))
        .collect();
    for id in &addresses {
        if store.get(id).is_none() {
            let body = json!({
                "location": location,
                "sku": { "name": "Standard", "tier": "Regional" },
                "properties": { "publicIPAllocationMethod": "Static" },
            });
            put(store, "Microsoft.Network/publicIPAddresses", id, body);
        }
    }
    let subscription = cluster.id.split('/').nth(2).unwrap_or_default();
    let group = properties["nodeResourceGroup"].as_str().unwrap_or_default();
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/loadBalancers/kubernetes"
    );
    let Some(balancer) = store.get(&id) else {
        return;
    };
    let mut body = balancer.body.clone();
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
    put(store, "Microsoft.Network/loadBalancers", &id, body);
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
