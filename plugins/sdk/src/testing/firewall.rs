//! An Azure Firewall in the shapes that Azure gives.

use serde_json::{Value, json};

use super::{Estate, Recorded};
use crate::Query;

/// What rules a firewall has.
#[derive(Clone, Debug)]
pub enum TestFirewall {
    /// Network rule collections of its own, as ARM has them.
    Classic(Vec<Value>),
    /// Policies, the topmost parent first: each with a name and its rule
    /// collection groups.
    Policies(Vec<(&'static str, Vec<Value>)>),
}

impl TestFirewall {
    /// Name of the firewall.
    pub const NAME: &str = "fw";

    /// A network rule, in the shape of a policy and of a classic firewall at once.
    pub fn rule(name: &str, protocol: &str, to: &str, port: &str) -> Value {
        json!({ "name": name, "ruleType": "NetworkRule",
            "protocols": [protocol], "ipProtocols": [protocol],
            "sourceAddresses": ["10.224.0.0/12"], "destinationAddresses": [to],
            "destinationPorts": [port] })
    }

    /// A collection of a classic firewall.
    pub fn classic(name: &str, priority: u32, action: &str, rules: &[Value]) -> Value {
        json!({ "name": name, "properties": {
            "priority": priority, "action": { "type": action }, "rules": rules } })
    }

    /// A collection of a policy.
    pub fn collection(name: &str, priority: u32, action: &str, rules: &[Value]) -> Value {
        json!({ "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
            "name": name, "priority": priority, "action": { "type": action }, "rules": rules })
    }

    /// A rule collection group of a policy.
    pub fn group(name: &str, priority: u32, collections: &[Value]) -> Value {
        json!({ "name": name, "properties": {
            "priority": priority, "ruleCollections": collections } })
    }

    pub(super) fn record(&self, estate: &Estate, recorded: &mut Recorded, list: &str) {
        let mut properties = json!({ "ipConfigurations": [{ "name": "ip", "properties": {
            "privateIPAddress": Estate::FIREWALL } }] });
        let policy_id = |name: &str| estate.network_id(&format!("firewallPolicies/{name}"));
        match self {
            Self::Classic(collections) => {
                properties["networkRuleCollections"] = json!(collections);
            }
            Self::Policies(policies) => {
                let mut parent: Option<String> = None;
                for (name, groups) in policies {
                    let id = policy_id(name);
                    let mut own = json!({});
                    if let Some(parent) = &parent {
                        own["basePolicy"] = json!({ "id": parent });
                    }
                    let body = json!({ "id": id, "name": name, "properties": own });
                    recorded.put(Query::AzureGet(id.clone()), body);
                    let groups_of = Query::AzureList(format!("{id}/ruleCollectionGroups"));
                    recorded.put(groups_of, json!(groups));
                    parent = Some(id);
                }
                properties["firewallPolicy"] = json!({ "id": parent });
            }
        }
        let name = Self::NAME;
        recorded.put(
            Query::AzureList(list.to_owned()),
            json!([{ "id": format!("{list}/{name}"), "name": name, "etag": "W/\"1\"",
                "location": "westeurope", "properties": properties }]),
        );
    }
}
