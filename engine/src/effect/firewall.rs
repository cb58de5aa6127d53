//! Network rules of Azure Firewall: in a classic firewall's own collections, or
//! in a rule collection group of a firewall policy.

use serde_json::{Value, json};

use super::{
    Semantics, Simulation, Standing, State,
    state::{arm, refused_effect},
    text,
};
use crate::{
    error::{Code, Error},
    model::{
        Effect, Inverse, Query,
        effect::{Access, FirewallRuleEffect},
    },
};

pub(super) struct RuleAdd<'a> {
    pub rule: &'a FirewallRuleEffect,
}

pub(super) struct RuleRemove<'a> {
    pub rule: &'a FirewallRuleEffect,
}

const FILTER: &str = "FirewallPolicyFilterRuleCollection";

fn is_group(resource: &str) -> bool {
    resource
        .to_ascii_lowercase()
        .contains("/rulecollectiongroups/")
}

fn action(access: Access) -> &'static str {
    match access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    }
}

fn name_of(value: &Value) -> &str {
    value
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Where a collection keeps its fields: below `properties` in a classic
/// firewall, itself in a group.
fn fields<'v>(resource: &str, collection: &'v Value) -> Option<&'v Value> {
    if is_group(resource) {
        Some(collection)
    } else {
        collection.get("properties")
    }
}

fn collections<'v>(resource: &str, body: &'v Value) -> &'v [Value] {
    let place = if is_group(resource) {
        "/properties/ruleCollections"
    } else {
        "/properties/networkRuleCollections"
    };
    body.pointer(place)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The rule as ARM has it.
fn to_arm(rule: &FirewallRuleEffect) -> Value {
    let mut value = json!({
        "name": rule.name,
        "sourceAddresses": rule.source_addresses,
        "destinationAddresses": rule.destination_addresses,
        "destinationPorts": rule.destination_ports,
    });
    if let Some(object) = value.as_object_mut() {
        if is_group(&rule.resource) {
            object.insert("ruleType".to_owned(), json!("NetworkRule"));
            object.insert("ipProtocols".to_owned(), json!(rule.protocols));
        } else {
            object.insert("protocols".to_owned(), json!(rule.protocols));
        }
    }
    value
}

/// What of a rule decides packets, lists in any order and any case.
fn normal(resource: &str, rule: &Value) -> Value {
    let list = |field: &str| {
        let items = rule.get(field).and_then(Value::as_array);
        let mut items: Vec<String> = items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_ascii_lowercase)
            .collect();
        items.sort_unstable();
        items
    };
    let protocols = if is_group(resource) {
        "ipProtocols"
    } else {
        "protocols"
    };
    json!([
        name_of(rule).to_ascii_lowercase(),
        list(protocols),
        list("sourceAddresses"),
        list("destinationAddresses"),
        list("destinationPorts"),
        list("sourceIpGroups"),
        list("destinationIpGroups"),
        list("destinationFqdns"),
    ])
}

struct Found<'v> {
    collection: &'v Value,
    rule: Option<&'v Value>,
}

fn find<'v>(effect: &FirewallRuleEffect, body: &'v Value) -> Option<Found<'v>> {
    let collection = collections(&effect.resource, body)
        .iter()
        .find(|c| name_of(c).eq_ignore_ascii_case(&effect.collection))?;
    let rules = fields(&effect.resource, collection)?
        .get("rules")?
        .as_array()?;
    let rule = rules
        .iter()
        .find(|r| name_of(r).eq_ignore_ascii_case(&effect.name));
    Some(Found { collection, rule })
}

fn field<'v>(
    effect: &FirewallRuleEffect,
    collection: &'v Value,
    pointer: &str,
) -> Option<&'v Value> {
    fields(&effect.resource, collection)?.pointer(pointer)
}

fn projection(effect: &FirewallRuleEffect, state: &State) -> Result<Value, Error> {
    let body: Value = state.json()?;
    let of = |c: &Value| {
        let mut c = c.clone();
        if let Some(object) = c.as_object_mut() {
            object.remove("etag");
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.remove("provisioningState");
            }
        }
        c
    };
    let all: Vec<Value> = collections(&effect.resource, &body)
        .iter()
        .map(of)
        .collect();
    Ok(json!(all))
}

/// One line a rule, in the order of priorities.
fn listing(effect: &FirewallRuleEffect, body: &Value) -> String {
    let number = |c: &Value| {
        field(effect, c, "/priority")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let mut all: Vec<&Value> = collections(&effect.resource, body).iter().collect();
    all.sort_by_key(|c| number(c));
    let mut lines = Vec::new();
    for collection in all {
        let action = field(effect, collection, "/action/type").and_then(Value::as_str);
        lines.push(format!(
            "{:>5} {} {}",
            number(collection),
            action.unwrap_or("?"),
            name_of(collection)
        ));
        let rules = field(effect, collection, "/rules").and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            let list = |field: &str| {
                let items = rule.get(field).and_then(Value::as_array);
                let items: Vec<&str> = items
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                items.join(",")
            };
            lines.push(format!(
                "        {}: {}{} from {} to {}{} port {}",
                name_of(rule),
                list("protocols"),
                list("ipProtocols"),
                list("sourceAddresses"),
                list("destinationAddresses"),
                list("destinationFqdns"),
                list("destinationPorts"),
            ));
        }
    }
    text::lines(lines.iter().map(String::as_str))
}

/// The resource with its collections edited.
fn edited(
    effect: &FirewallRuleEffect,
    state: &State,
    edit: impl FnOnce(&mut Vec<Value>),
) -> Result<Simulation, Error> {
    let before: Value = state.json()?;
    let mut after = before.clone();
    let key = if is_group(&effect.resource) {
        "ruleCollections"
    } else {
        "networkRuleCollections"
    };
    let properties = after
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| state.malformed(&"there are no properties"))?;
    let all = properties
        .entry(key)
        .or_insert_with(|| json!([]))
        .as_array_mut()
        .ok_or_else(|| state.malformed(&format!("properties.{key} is no list")))?;
    edit(all);
    Ok(Simulation {
        request: format!("PUT {}", effect.resource),
        body: Some(after.clone()),
        before: listing(effect, &before),
        after: listing(effect, &after),
        state: state.with_json(&after),
    })
}

fn rules_of<'v>(
    effect: &FirewallRuleEffect,
    collection: &'v mut Value,
) -> Option<&'v mut Vec<Value>> {
    let pointer = if is_group(&effect.resource) {
        "/rules"
    } else {
        "/properties/rules"
    };
    collection.pointer_mut(pointer)?.as_array_mut()
}

fn holds(effect: &FirewallRuleEffect) -> String {
    let name = effect.resource.rsplit('/').next().unwrap_or_default();
    format!("{name} has the same version and the same network rules")
}

/// A firewall with a policy ignores its own collections.
fn refuse_policy(effect: &FirewallRuleEffect, body: &Value) -> Result<(), Error> {
    let policy = body
        .pointer("/properties/firewallPolicy/id")
        .and_then(Value::as_str);
    match policy {
        Some(policy) if !is_group(&effect.resource) => Err(Error::new(
            Code::InfeasibleHere,
            format!(
                "{} is ruled by policy {policy}, not by its own rules",
                effect.resource
            ),
            "add the rule to a rule collection group of that policy",
        )),
        _ => Ok(()),
    }
}

impl Semantics for RuleAdd<'_> {
    fn target(&self) -> Query {
        arm(&self.rule.resource)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(self.rule, state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let body: Value = state.json()?;
        refuse_policy(self.rule, &body)?;
        let Some(found) = find(self.rule, &body) else {
            let priority = u64::from(self.rule.collection_priority);
            let taken = collections(&self.rule.resource, &body).iter().find(|c| {
                field(self.rule, c, "/priority").and_then(Value::as_u64) == Some(priority)
            });
            return Ok(match taken {
                Some(other) => Standing::Conflict(format!(
                    "priority {priority} is taken by collection {}",
                    name_of(other)
                )),
                None => Standing::Ready,
            });
        };
        let there = field(self.rule, found.collection, "/action/type").and_then(Value::as_str);
        let wanted = action(self.rule.access);
        if !there.is_some_and(|a| a.eq_ignore_ascii_case(wanted)) {
            return Ok(Standing::Conflict(format!(
                "collection {} has action {}, not {wanted}",
                self.rule.collection,
                there.unwrap_or("none")
            )));
        }
        let resource = &self.rule.resource;
        Ok(match found.rule {
            None => Standing::Ready,
            Some(r) if normal(resource, r) == normal(resource, &to_arm(self.rule)) => {
                Standing::InPlace
            }
            Some(_) => Standing::Conflict(format!("another rule is named {}", self.rule.name)),
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Effect {
            effect: Effect::FirewallRuleRemove(self.rule.clone()),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let rule = self.rule;
        if !(100..=65_000).contains(&rule.collection_priority) {
            return Err(refused_effect(&format!(
                "collection priority {} is not from 100 to 65000",
                rule.collection_priority
            )));
        }
        edited(rule, before, |all| {
            let there = all
                .iter_mut()
                .find(|c| name_of(c).eq_ignore_ascii_case(&rule.collection));
            if let Some(collection) = there {
                if let Some(rules) = rules_of(rule, collection) {
                    rules.push(to_arm(rule));
                }
                return;
            }
            let mut fields = json!({
                "priority": rule.collection_priority,
                "action": { "type": action(rule.access) },
                "rules": [to_arm(rule)],
            });
            all.push(if is_group(&rule.resource) {
                if let Some(object) = fields.as_object_mut() {
                    object.insert("name".to_owned(), json!(rule.collection));
                    object.insert("ruleCollectionType".to_owned(), json!(FILTER));
                }
                fields
            } else {
                json!({ "name": rule.collection, "properties": fields })
            });
        })
    }

    fn holds(&self) -> String {
        holds(self.rule)
    }
}

impl Semantics for RuleRemove<'_> {
    fn target(&self) -> Query {
        arm(&self.rule.resource)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(self.rule, state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let body: Value = state.json()?;
        let resource = &self.rule.resource;
        Ok(match find(self.rule, &body).and_then(|f| f.rule) {
            None => Standing::InPlace,
            Some(r) if normal(resource, r) == normal(resource, &to_arm(self.rule)) => {
                Standing::Ready
            }
            Some(_) => Standing::Conflict(format!(
                "rule {} is not what it was: someone changed it",
                self.rule.name
            )),
        })
    }

    fn inverse(&self, before: &State) -> Result<Inverse, Error> {
        let body: Value = before.json()?;
        let mut rule = self.rule.clone();
        let priority = find(self.rule, &body)
            .and_then(|f| field(self.rule, f.collection, "/priority").and_then(Value::as_u64));
        if let Some(priority) = priority.and_then(|p| u16::try_from(p).ok()) {
            rule.collection_priority = priority;
        }
        Ok(Inverse::Effect {
            effect: Effect::FirewallRuleAdd(rule),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let rule = self.rule;
        edited(rule, before, |all| {
            all.retain_mut(|collection| {
                if !name_of(collection).eq_ignore_ascii_case(&rule.collection) {
                    return true;
                }
                let Some(rules) = rules_of(rule, collection) else {
                    return true;
                };
                let had = rules.len();
                rules.retain(|r| !name_of(r).eq_ignore_ascii_case(&rule.name));
                // Azure keeps no empty collection.
                !rules.is_empty() || had == 0
            });
        })
    }

    fn holds(&self) -> String {
        holds(self.rule)
    }
}
