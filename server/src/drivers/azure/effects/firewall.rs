//! Network rules of Azure Firewalls: of classic ones, which are written whole,
//! and of rule collection groups of a policy, which are written whole too.

use naosu_engine::{
    error::{Code, Error},
    model::effect::{Access, FirewallRuleEffect},
};
use serde_json::{Value, json};

use super::{Edit, Planned, conflict, drift, malformed, read_only};
use crate::drivers::azure::resource_id::ResourceId;

/// The two places that network rules live in, which name everything differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    Classic,
    Policy,
}

impl Home {
    fn of(id: &ResourceId) -> Result<Self, Error> {
        match id.type_name().as_str() {
            "microsoft.network/azurefirewalls" => Ok(Self::Classic),
            "microsoft.network/firewallpolicies/rulecollectiongroups" => Ok(Self::Policy),
            other => Err(Error::new(
                Code::InvalidResourceId,
                format!("{id} is of type {other:?}, which holds no firewall rules"),
                "give a firewall or a rule collection group of a firewall policy",
            )),
        }
    }

    fn collections(self) -> &'static str {
        match self {
            Self::Classic => "networkRuleCollections",
            Self::Policy => "ruleCollections",
        }
    }

    fn read_only(self) -> &'static [&'static str] {
        match self {
            Self::Classic => &[
                "etag",
                "name",
                "type",
                "properties/provisioningState",
                "properties/ipGroups",
                "properties/ipConfigurations/*/etag",
                "properties/ipConfigurations/*/type",
                "properties/ipConfigurations/*/properties/provisioningState",
                "properties/ipConfigurations/*/properties/privateIPAddress",
                "properties/managementIpConfiguration/etag",
                "properties/managementIpConfiguration/type",
                "properties/managementIpConfiguration/properties/provisioningState",
                "properties/managementIpConfiguration/properties/privateIPAddress",
                "properties/networkRuleCollections/*/etag",
                "properties/networkRuleCollections/*/properties/provisioningState",
                "properties/applicationRuleCollections/*/etag",
                "properties/applicationRuleCollections/*/properties/provisioningState",
                "properties/natRuleCollections/*/etag",
                "properties/natRuleCollections/*/properties/provisioningState",
            ],
            Self::Policy => &[
                "etag",
                "type",
                "properties/provisioningState",
                "properties/size",
            ],
        }
    }

    /// Where a collection keeps its rules and the rest.
    fn inside(self, collection: &Value) -> Option<&Value> {
        match self {
            Self::Classic => collection.get("properties"),
            Self::Policy => Some(collection),
        }
    }

    fn inside_mut(self, collection: &mut Value) -> Option<&mut Value> {
        match self {
            Self::Classic => collection.get_mut("properties"),
            Self::Policy => Some(collection),
        }
    }

    fn rule(self, rule: &FirewallRuleEffect) -> Value {
        match self {
            Self::Classic => json!({
                "name": rule.name,
                "protocols": rule.protocols,
                "sourceAddresses": rule.source_addresses,
                "destinationAddresses": rule.destination_addresses,
                "destinationPorts": rule.destination_ports,
            }),
            Self::Policy => json!({
                "ruleType": "NetworkRule",
                "name": rule.name,
                "ipProtocols": rule.protocols,
                "sourceAddresses": rule.source_addresses,
                "destinationAddresses": rule.destination_addresses,
                "destinationPorts": rule.destination_ports,
            }),
        }
    }

    fn collection(self, rule: &FirewallRuleEffect) -> Value {
        let action = json!({ "type": action(rule.access) });
        let rules = [self.rule(rule)];
        match self {
            Self::Classic => json!({
                "name": rule.collection,
                "properties": {
                    "priority": rule.collection_priority,
                    "action": action,
                    "rules": rules,
                },
            }),
            Self::Policy => json!({
                "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
                "name": rule.collection,
                "priority": rule.collection_priority,
                "action": action,
                "rules": rules,
            }),
        }
    }

    /// Whether a rule that is there says what the effect says, and no more.
    fn is_same(self, there: &Value, rule: &FirewallRuleEffect) -> bool {
        let protocols = match self {
            Self::Classic => "protocols",
            Self::Policy => "ipProtocols",
        };
        let others = ["sourceIpGroups", "destinationIpGroups", "destinationFqdns"];
        sorted(there, protocols) == sorted_list(&rule.protocols)
            && sorted(there, "sourceAddresses") == sorted_list(&rule.source_addresses)
            && sorted(there, "destinationAddresses") == sorted_list(&rule.destination_addresses)
            && sorted(there, "destinationPorts") == sorted_list(&rule.destination_ports)
            && others.iter().all(|field| sorted(there, field).is_empty())
    }
}

/// Adds a rule, and its collection where that is not there yet.
pub fn add(rule: &FirewallRuleEffect, resource: &Value) -> Result<Planned, Error> {
    let (id, home) = target(rule, resource)?;
    let Some(collection) = find(home, rule, resource) else {
        if !(100..=65_000).contains(&rule.collection_priority) {
            return Err(conflict(format!(
                "priority {} of collection {:?} is not within 100 to 65000",
                rule.collection_priority, rule.collection
            )));
        }
        return edit(id, home, resource, |collections| {
            collections.push(home.collection(rule));
        });
    };
    check_action(home, rule, collection)?;
    if let Some(there) = find_rule(home, rule, collection) {
        return if home.is_same(there, rule) {
            Ok(Planned::InPlace)
        } else {
            Err(conflict(format!(
                "collection {:?} has another rule named {:?}",
                rule.collection, rule.name
            )))
        };
    }
    edit(id, home, resource, |collections| {
        for collection in collections
            .iter_mut()
            .filter(|c| is_named(c, &rule.collection))
        {
            if let Some(rules) = rules_mut(home, collection) {
                rules.push(home.rule(rule));
            }
        }
    })
}

/// Removes a rule that is still exactly this, and its collection where nothing
/// is left in it: Azure keeps no empty ones.
pub fn remove(rule: &FirewallRuleEffect, resource: &Value) -> Result<Planned, Error> {
    let (id, home) = target(rule, resource)?;
    let there = find(home, rule, resource)
        .and_then(|collection| Some((collection, find_rule(home, rule, collection)?)));
    let Some((collection, there)) = there else {
        return Ok(Planned::InPlace);
    };
    check_action(home, rule, collection)?;
    if !home.is_same(there, rule) {
        return Err(drift(format!(
            "the rule {:?} of collection {:?} has been changed, so it is left alone",
            rule.name, rule.collection
        )));
    }
    edit(id, home, resource, |collections| {
        for collection in collections
            .iter_mut()
            .filter(|c| is_named(c, &rule.collection))
        {
            if let Some(rules) = rules_mut(home, collection) {
                rules.retain(|there| !is_named(there, &rule.name));
            }
        }
        collections.retain(|collection| {
            !is_named(collection, &rule.collection) || !rules(home, collection).is_empty()
        });
    })
}

fn target(rule: &FirewallRuleEffect, resource: &Value) -> Result<(ResourceId, Home), Error> {
    let id = ResourceId::parse(&rule.resource)?;
    let home = Home::of(&id)?;
    let policy = resource
        .pointer("/properties/firewallPolicy/id")
        .and_then(Value::as_str);
    match policy {
        Some(policy) if home == Home::Classic => Err(conflict(format!(
            "{id} takes its rules from the policy {policy}"
        ))),
        _ => Ok((id, home)),
    }
}

fn check_action(home: Home, rule: &FirewallRuleEffect, collection: &Value) -> Result<(), Error> {
    let there = home
        .inside(collection)
        .and_then(|inside| inside.pointer("/action/type"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if there.eq_ignore_ascii_case(action(rule.access)) {
        Ok(())
    } else {
        Err(conflict(format!(
            "the action of collection {:?} is {there:?}, not {:?}",
            rule.collection,
            action(rule.access)
        )))
    }
}

fn action(access: Access) -> &'static str {
    match access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    }
}

fn collections(home: Home, resource: &Value) -> &[Value] {
    resource
        .get("properties")
        .and_then(|properties| properties.get(home.collections()))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn find<'a>(home: Home, rule: &FirewallRuleEffect, resource: &'a Value) -> Option<&'a Value> {
    collections(home, resource)
        .iter()
        .find(|collection| is_named(collection, &rule.collection))
}

fn rules(home: Home, collection: &Value) -> &[Value] {
    home.inside(collection)
        .and_then(|inside| inside.get("rules"))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn rules_mut(home: Home, collection: &mut Value) -> Option<&mut Vec<Value>> {
    home.inside_mut(collection)?
        .get_mut("rules")?
        .as_array_mut()
}

fn find_rule<'a>(
    home: Home,
    rule: &FirewallRuleEffect,
    collection: &'a Value,
) -> Option<&'a Value> {
    rules(home, collection)
        .iter()
        .find(|there| is_named(there, &rule.name))
}

fn is_named(value: &Value, name: &str) -> bool {
    value
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(|there| there.eq_ignore_ascii_case(name))
}

fn sorted(rule: &Value, field: &str) -> Vec<String> {
    let items = rule.get(field).and_then(Value::as_array);
    let texts = items.into_iter().flatten().filter_map(Value::as_str);
    let mut items: Vec<String> = texts.map(str::to_lowercase).collect();
    items.sort_unstable();
    items
}

fn sorted_list(items: &[String]) -> Vec<String> {
    let mut items: Vec<String> = items.iter().map(|item| item.to_lowercase()).collect();
    items.sort_unstable();
    items
}

fn edit(
    id: ResourceId,
    home: Home,
    resource: &Value,
    change: impl FnOnce(&mut Vec<Value>),
) -> Result<Planned, Error> {
    let mut body = resource.clone();
    read_only::remove(&mut body, home.read_only());
    let before = json!(collections(home, &body));
    let properties = body
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| malformed(format!("{id} has no properties")))?;
    let list = properties
        .entry(home.collections())
        .or_insert_with(|| json!([]))
        .as_array_mut()
        .ok_or_else(|| malformed(format!("{} of {id} is no list", home.collections())))?;
    change(list);
    let after = json!(list);
    Ok(Planned::Write(Box::new(Edit {
        id,
        body,
        before,
        after,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network";

    fn rule(tail: &str) -> FirewallRuleEffect {
        FirewallRuleEffect {
            resource: format!("{NETWORK}/{tail}"),
            collection: "naosu".into(),
            collection_priority: 200,
            access: Access::Allow,
            name: "tunnel".into(),
            protocols: vec!["TCP".into()],
            source_addresses: vec!["10.0.0.0/16".into()],
            destination_addresses: vec!["AzureCloud.eastus".into()],
            destination_ports: vec!["9000".into()],
        }
    }

    fn classic() -> FirewallRuleEffect {
        rule("azureFirewalls/fw")
    }

    fn policy() -> FirewallRuleEffect {
        rule("firewallPolicies/p/ruleCollectionGroups/g")
    }

    fn body(planned: Planned) -> Value {
        match planned {
            Planned::Write(edit) => edit.body,
            Planned::InPlace => panic!("nothing is written"),
        }
    }

    #[test]
    fn adding_and_removing_leaves_the_firewall_as_it_was() {
        for rule in [classic(), policy()] {
            let home = Home::of(&ResourceId::parse(&rule.resource).unwrap()).unwrap();
            let empty = json!({"location": "eastus", "properties": { home.collections(): [] }});
            let added = body(add(&rule, &empty).unwrap());
            assert_eq!(collections(home, &added).len(), 1);
            assert_eq!(add(&rule, &added).unwrap(), Planned::InPlace);
            assert_eq!(body(remove(&rule, &added).unwrap()), empty);
            assert_eq!(remove(&rule, &empty).unwrap(), Planned::InPlace);
        }
    }

    #[test]
    fn a_neighbour_in_the_collection_stays() {
        let rule = policy();
        let mut other = rule.clone();
        other.name = "theirs".into();
        let empty = json!({"properties": {}});
        let one = body(add(&other, &empty).unwrap());
        let two = body(add(&rule, &one).unwrap());
        assert_eq!(body(remove(&rule, &two).unwrap()), one);
    }

    #[test]
    fn a_changed_rule_and_a_foreign_action_are_left_alone() {
        let rule = classic();
        let mut added = body(add(&rule, &json!({"properties": {}})).unwrap());
        added["properties"]["networkRuleCollections"][0]["properties"]["rules"][0]["destinationFqdns"] =
            json!(["example.com"]);
        assert_eq!(remove(&rule, &added).unwrap_err().code, Code::Drift);
        added["properties"]["networkRuleCollections"][0]["properties"]["action"]["type"] =
            json!("Deny");
        assert_eq!(remove(&rule, &added).unwrap_err().code, Code::AzureConflict);
    }

    #[test]
    fn a_firewall_ruled_by_a_policy_is_not_given_classic_rules() {
        let ruled = json!({"properties": {"firewallPolicy": {"id": "/x"}}});
        assert_eq!(
            add(&classic(), &ruled).unwrap_err().code,
            Code::AzureConflict
        );
    }
}
