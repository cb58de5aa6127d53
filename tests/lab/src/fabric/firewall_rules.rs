//! Network rules of Azure Firewalls, classic or from a policy.

use serde_json::Value;

use super::address_match::{AddressMatch, Addressing};
use super::read::{at, children, list, text, texts};
use super::security_rules::{PacketMatch, Rule, port_ranges};
use super::verdict::Protocol;
use crate::data_plane::ArmResources;
use crate::estate::Access;

/// Reads the network rules of a firewall in the order they are tried. What none of them allows
/// is dropped; rules that name hosts instead of addresses match nothing in the lab.
pub(super) fn read_firewall(
    resources: &ArmResources,
    firewall: &Value,
    addressing: &Addressing,
) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    match text(firewall, &["properties", "firewallPolicy", "id"]) {
        Some(policy) => read_policy(resources, policy, addressing, &mut rules, 0)?,
        None => {
            let path = ["properties", "networkRuleCollections"];
            let mut collections: Vec<&Value> = list(firewall, &path).iter().collect();
            collections.sort_by_key(|c| priority(c, &["properties", "priority"]));
            for collection in collections {
                let action = text(collection, &["properties", "action", "type"]);
                for rule in list(collection, &["properties", "rules"]) {
                    rules.push(read_rule(rule, "protocols", action, addressing)?);
                }
            }
        }
    }
    Ok(rules)
}

/// A policy may have a parent, whose rules come first; Azure allows one level.
fn read_policy(
    resources: &ArmResources,
    policy_id: &str,
    addressing: &Addressing,
    rules: &mut Vec<Rule>,
    depth: u8,
) -> Result<(), String> {
    let policy = resources
        .get(policy_id)
        .ok_or_else(|| format!("there is no firewall policy {policy_id}"))?;
    if let Some(parent) = text(policy, &["properties", "basePolicy", "id"]) {
        if depth > 1 {
            return Err(format!("firewall policy {policy_id} has too many parents"));
        }
        read_policy(resources, parent, addressing, rules, depth + 1)?;
    }
    let mut groups = children(
        resources,
        policy,
        "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
        "embeddedRuleCollectionGroups",
    );
    groups.sort_by_key(|group| priority(group, &["properties", "priority"]));
    for group in groups {
        let mut collections: Vec<&Value> = list(group, &["properties", "ruleCollections"])
            .iter()
            .collect();
        collections.sort_by_key(|collection| priority(collection, &["priority"]));
        for collection in collections {
            let action = text(collection, &["action", "type"]);
            for rule in list(collection, &["rules"]) {
                if text(rule, &["ruleType"]) == Some("NetworkRule") {
                    rules.push(read_rule(rule, "ipProtocols", action, addressing)?);
                }
            }
        }
    }
    Ok(())
}

fn priority(value: &Value, path: &[&str]) -> u64 {
    at(value, path).and_then(Value::as_u64).unwrap_or(u64::MAX)
}

fn read_rule(
    rule: &Value,
    protocols_field: &str,
    action: Option<&str>,
    addressing: &Addressing,
) -> Result<Rule, String> {
    let name = text(rule, &["name"]).unwrap_or("unnamed").to_owned();
    let say = |reason: String| format!("firewall rule {name}: {reason}");
    let access = match action.map(str::to_ascii_lowercase).as_deref() {
        Some("allow") => Access::Allow,
        Some("deny") => Access::Deny,
        other => return Err(say(format!("{other:?} is no action"))),
    };
    let mut protocols = Vec::new();
    for word in texts(rule, &[protocols_field]) {
        if word.eq_ignore_ascii_case("any") {
            protocols.clear();
            break;
        }
        let known = Protocol::from_name(word);
        protocols.push(known.ok_or_else(|| say(format!("{word} is no protocol")))?);
    }
    let side = |field: &str| {
        let words = texts(rule, &[field]);
        if words.contains(&"*") {
            return Ok(AddressMatch::Any);
        }
        addressing.words(&words).map_err(say)
    };
    Ok(Rule {
        packets: PacketMatch {
            protocols,
            source: side("sourceAddresses")?,
            source_ports: Vec::new(),
            destination: side("destinationAddresses")?,
            destination_ports: port_ranges(&texts(rule, &["destinationPorts"])).map_err(say)?,
        },
        priority: 0,
        access,
        name,
    })
}
