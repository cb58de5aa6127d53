//! Resources of Microsoft.Network.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::error::ArmError;
use super::child::adopt;
use super::{Kind, fill_in, security_group};

/// Fields that point to another resource; Azure keeps only the id.
const REFERENCES: [&str; 11] = [
    "applicationSecurityGroups",
    "backendAddressPool",
    "firewallPolicy",
    "frontendIPConfiguration",
    "natGateway",
    "networkSecurityGroup",
    "publicIPAddress",
    "publicIpAddresses",
    "remoteVirtualNetwork",
    "routeTable",
    "subnet",
];

/// Fields only Azure sets, which a write leaves as they are.
const KEPT: [&str; 3] = ["resourceGuid", "ipAddress", "privateIPAddress"];

pub(super) fn normalise(
    kind: &Kind,
    id: &str,
    existing: Option<&Value>,
    mut body: Value,
) -> Result<Value, ArmError> {
    let mut properties = body["properties"].take();
    if let Some(fields) = properties.as_object_mut() {
        fields.remove("provisioningState");
        for field in KEPT {
            if let Some(value) = existing.and_then(|body| body["properties"].get(field)) {
                fields.insert(field.to_owned(), value.clone());
            }
        }
    }
    keep_ids_only(&mut properties);
    fill_in(&mut properties, &default_properties(kind.name));
    if !kind.is_nested() && properties.get("resourceGuid").is_none() && has_guid(kind.name) {
        properties["resourceGuid"] = json!(Uuid::new_v4().to_string());
    }
    for array in children(kind.name) {
        adopt(id, kind.name, &mut properties, array)?;
    }
    match kind.name {
        "Microsoft.Network/networkSecurityGroups" => {
            security_group::normalise(id, &mut properties)?;
        }
        "Microsoft.Network/publicIPAddresses" => public_address(&mut body, &mut properties, id),
        "Microsoft.Network/loadBalancers" => {
            fill_in(
                &mut body,
                &json!({ "sku": { "name": "Basic", "tier": "Regional" } }),
            );
        }
        "Microsoft.Network/natGateways" => {
            fill_in(
                &mut body,
                &json!({ "sku": { "name": "Standard", "tier": "Regional" } }),
            );
        }
        "Microsoft.Network/networkInterfaces" => {
            fill_in(&mut body, &json!({ "kind": "Regular" }));
        }
        "Microsoft.Network/azureFirewalls" => {
            keep_private_addresses(&mut properties, existing);
            check_collections(&properties)?;
        }
        "Microsoft.Network/firewallPolicies/ruleCollectionGroups" => {
            check_collections(&properties)?;
        }
        _ => {}
    }
    body["properties"] = properties;
    Ok(body)
}

/// Only Azure sets the private addresses of a firewall, so a write neither has nor changes them.
fn keep_private_addresses(properties: &mut Value, existing: Option<&Value>) {
    let before = existing.map(|body| &body["properties"]["ipConfigurations"]);
    let before: &[Value] = before.and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let configurations = properties["ipConfigurations"].as_array_mut();
    for configuration in configurations.into_iter().flatten() {
        let same = before
            .iter()
            .find(|other| other["name"] == configuration["name"]);
        if let Some(address) = same.map(|other| &other["properties"]["privateIPAddress"])
            && !address.is_null()
        {
            configuration["properties"]["privateIPAddress"] = address.clone();
        }
    }
}

fn has_guid(kind: &str) -> bool {
    !matches!(
        kind,
        "Microsoft.Network/azureFirewalls"
            | "Microsoft.Network/firewallPolicies"
            | "Microsoft.Network/ipGroups"
    )
}

fn children(kind: &str) -> &'static [&'static str] {
    match kind {
        "Microsoft.Network/virtualNetworks" => &["subnets", "virtualNetworkPeerings"],
        "Microsoft.Network/routeTables" => &["routes"],
        "Microsoft.Network/loadBalancers" => &[
            "frontendIPConfigurations",
            "backendAddressPools",
            "loadBalancingRules",
            "probes",
            "inboundNatRules",
            "outboundRules",
            "inboundNatPools",
        ],
        "Microsoft.Network/azureFirewalls" => &[
            "ipConfigurations",
            "networkRuleCollections",
            "applicationRuleCollections",
            "natRuleCollections",
        ],
        "Microsoft.Network/networkInterfaces" => &["ipConfigurations"],
        _ => &[],
    }
}

fn default_properties(kind: &str) -> Value {
    match kind {
        "Microsoft.Network/virtualNetworks" => json!({
            "addressSpace": { "addressPrefixes": [] },
            "privateEndpointVNetPolicies": "Disabled",
            "subnets": [{ "properties": {
                "delegations": [],
                "privateEndpointNetworkPolicies": "Disabled",
                "privateLinkServiceNetworkPolicies": "Enabled",
            }}],
            "virtualNetworkPeerings": [],
            "enableDdosProtection": false,
        }),
        "Microsoft.Network/publicIPAddresses" => json!({
            "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": "Dynamic",
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
        }),
        "Microsoft.Network/loadBalancers" => json!({
            "frontendIPConfigurations": [{ "properties": { "privateIPAllocationMethod": "Dynamic" } }],
            "backendAddressPools": [{ "properties": { "loadBalancerBackendAddresses": [] } }],
            "loadBalancingRules": [],
            "probes": [],
            "inboundNatRules": [],
            "outboundRules": [],
            "inboundNatPools": [],
        }),
        "Microsoft.Network/routeTables" => json!({
            "disableBgpRoutePropagation": false,
            "routes": [{ "properties": { "hasBgpOverride": false } }],
        }),
        "Microsoft.Network/natGateways" => json!({ "idleTimeoutInMinutes": 4, "type": "Public" }),
        "Microsoft.Network/azureFirewalls" => json!({
            "sku": { "name": "AZFW_VNet", "tier": "Standard" },
            "threatIntelMode": "Alert",
            "additionalProperties": {},
            "ipConfigurations": [],
            "networkRuleCollections": [{ "properties": { "rules": [] } }],
            "applicationRuleCollections": [],
            "natRuleCollections": [],
        }),
        "Microsoft.Network/firewallPolicies" => json!({
            "sku": { "tier": "Standard" },
            "threatIntelMode": "Alert",
            "childPolicies": [],
            "ruleCollectionGroups": [],
            "firewalls": [],
        }),
        "Microsoft.Network/firewallPolicies/ruleCollectionGroups" => json!({
            "ruleCollections": [{ "rules": [] }],
        }),
        "Microsoft.Network/ipGroups" => json!({
            "ipAddresses": [], "firewalls": [], "firewallPolicies": [],
        }),
        "Microsoft.Network/networkInterfaces" => json!({
            "ipConfigurations": [{ "properties": {
                "privateIPAddress": "10.0.0.4",
                "privateIPAllocationMethod": "Dynamic",
                "primary": true,
                "privateIPAddressVersion": "IPv4",
            }}],
            "dnsSettings": {
                "dnsServers": [],
                "appliedDnsServers": [],
                "internalDomainNameSuffix": "lab.bx.internal.cloudapp.net",
            },
            "enableAcceleratedNetworking": false,
            "vnetEncryptionSupported": false,
            "enableIPForwarding": false,
            "disableTcpStateTracking": false,
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": "Standard",
            "allowPort25Out": true,
            "defaultOutboundConnectivityEnabled": false,
            "auxiliaryMode": "None",
            "auxiliarySku": "None",
        }),
        _ => json!({}),
    }
}

fn public_address(body: &mut Value, properties: &mut Value, id: &str) {
    fill_in(
        body,
        &json!({ "sku": { "name": "Basic", "tier": "Regional" } }),
    );
    if body["sku"]["name"] == "Standard" {
        fill_in(
            properties,
            &json!({ "ddosSettings": { "protectionMode": "VirtualNetworkInherited" } }),
        );
    }
    if properties["publicIPAllocationMethod"] == "Static" && properties.get("ipAddress").is_none() {
        // Any address of TEST-NET-3 will do; the same name gets the same one.
        let last = id
            .bytes()
            .fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        properties["ipAddress"] = json!(format!("203.0.113.{}", last.clamp(20, 250)));
    }
}

fn keep_ids_only(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if REFERENCES.contains(&name.as_str()) && reduce(field) {
                    continue;
                }
                keep_ids_only(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(keep_ids_only),
        _ => {}
    }
}

/// Reduces a reference to its id; `false` when it has none.
fn reduce(reference: &mut Value) -> bool {
    match reference {
        Value::Array(items) => !items.is_empty() && items.iter_mut().all(reduce),
        Value::Object(fields) => match fields.get("id").cloned() {
            Some(id) => {
                *reference = json!({ "id": id });
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// Priorities of rule collections: 100–65000, each once. Azure's own code for
/// this could not be found quoted anywhere; the status is certain.
fn check_collections(properties: &Value) -> Result<(), ArmError> {
    let policy = properties["ruleCollections"].as_array();
    let classic = properties["networkRuleCollections"].as_array();
    let mut seen = Vec::new();
    let priorities = policy
        .into_iter()
        .flatten()
        .map(|collection| (&collection["name"], &collection["priority"]))
        .chain(
            classic
                .into_iter()
                .flatten()
                .map(|collection| (&collection["name"], &collection["properties"]["priority"])),
        );
    for (name, priority) in priorities.filter(|(_, priority)| !priority.is_null()) {
        let valid = priority
            .as_i64()
            .filter(|priority| (100..=65_000).contains(priority));
        let Some(priority) = valid else {
            return Err(ArmError::invalid(
                "InvalidParameter",
                format!(
                    "Rule collection {name} has invalid priority {priority}. Allowed range 100-65000."
                ),
            ));
        };
        if seen.contains(&priority) {
            return Err(ArmError::invalid(
                "InvalidParameter",
                format!(
                    "Rule collection {name} has priority {priority}, which another collection has."
                ),
            ));
        }
        seen.push(priority);
    }
    Ok(())
}
