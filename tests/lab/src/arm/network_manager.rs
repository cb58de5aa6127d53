//! The network manager that governs the estate's network, with the security admin rules that it
//! has deployed there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::id::ArmPath;
use crate::estate::{Estate, SecurityAdminRule};

const MANAGER: &str = "Microsoft.Network/networkManagers";
const GROUP: &str = "Microsoft.Network/networkManagers/networkGroups";
const MEMBER: &str = "Microsoft.Network/networkManagers/networkGroups/staticMembers";
const CONFIGURATION: &str = "Microsoft.Network/networkManagers/securityAdminConfigurations";
const COLLECTION: &str =
    "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections";
const RULE: &str =
    "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections/rules";

/// Where those who govern the networks keep their network manager.
pub(super) const RESOURCE_GROUP: &str = "rg-network-governance";

/// Whether a path lies in a network manager. Who mends clusters may read there and no more.
pub(super) fn governs(path: &ArmPath) -> bool {
    let kind = path.kind();
    let below = kind.strip_prefix("microsoft.network/networkmanagers");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A resource as it is seeded: its type, id and body.
pub(super) type Seeded = (&'static str, String, Value);

/// The resources of the network manager, parents first; none where the estate has no rule.
/// All of it is deployed: there are no commits.
pub(super) fn resources(estate: &Estate) -> Vec<Seeded> {
    let network = &estate.network;
    if network.security_admin_rules.is_empty() {
        return Vec::new();
    }
    let manager = estate.network_provider_id(RESOURCE_GROUP, "networkManagers", "avnm-governance");
    let group = format!("{manager}/networkGroups/all-networks");
    let configuration = format!("{manager}/securityAdminConfigurations/security-baseline");
    let scope = format!("/subscriptions/{}", estate.cluster.subscription);
    let mut resources = vec![
        (
            MANAGER,
            manager,
            json!({ "properties": {
                "description": "Governs every network of the subscription",
                "networkManagerScopeAccesses": ["SecurityAdmin"],
                "networkManagerScopes": { "subscriptions": [scope], "managementGroups": [] },
            }}),
        ),
        (
            GROUP,
            group.clone(),
            json!({ "properties": {
                "description": "Every network",
                "memberType": "VirtualNetwork",
            }}),
        ),
        (
            MEMBER,
            format!("{group}/staticMembers/{}", network.name),
            json!({ "properties": {
                "resourceId": estate.network_id(),
                "region": estate.cluster.location,
            }}),
        ),
        (
            CONFIGURATION,
            configuration.clone(),
            json!({ "properties": {
                "description": "What every network keeps to",
                "applyOnNetworkIntentPolicyBasedServices": ["None"],
            }}),
        ),
    ];
    let names: BTreeSet<&str> = network
        .security_admin_rules
        .iter()
        .map(|rule| rule.collection.as_str())
        .collect();
    for name in names {
        let id = format!("{configuration}/ruleCollections/{name}");
        let body = json!({ "properties": {
            "description": format!("The rules of {name}"),
            "appliesToGroups": [{ "networkGroupId": group }],
        }});
        resources.push((COLLECTION, id, body));
    }
    let rules = network.security_admin_rules.iter();
    resources.extend(rules.map(|rule| seeded_rule(&configuration, rule)));
    resources
}

fn seeded_rule(configuration: &str, rule: &SecurityAdminRule) -> Seeded {
    let SecurityAdminRule {
        collection, name, ..
    } = rule;
    let mut properties = rule.properties();
    properties["resourceGuid"] = json!(uuid::Uuid::new_v4());
    (
        RULE,
        format!("{configuration}/ruleCollections/{collection}/rules/{name}"),
        json!({ "kind": "Custom", "properties": properties }),
    )
}
