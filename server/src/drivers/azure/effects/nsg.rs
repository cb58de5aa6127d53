//! Security rules, written with their whole group (see [`super`]).

use naosu_engine::error::Error;
use naosu_flow::nsg::{Nsg, NsgRule};
use serde_json::{Value, json};

use super::{Edit, Planned, conflict, drift, malformed, read_only};
use crate::drivers::azure::resource_id::ResourceId;

const READ_ONLY: &[&str] = &[
    "etag",
    "name",
    "type",
    "properties/provisioningState",
    "properties/resourceGuid",
    "properties/defaultSecurityRules",
    "properties/networkInterfaces",
    "properties/subnets",
    "properties/flowLogs",
    "properties/securityRules/*/etag",
    "properties/securityRules/*/properties/provisioningState",
];

/// Adds a rule that is not there.
pub fn create(id: &str, rule: &NsgRule, group: &Value) -> Result<Planned, Error> {
    let typed = read(group)?;
    if let Some(there) = typed.rule(&rule.name) {
        return if same(there, rule) {
            Ok(Planned::InPlace)
        } else {
            Err(conflict(format!(
                "the group has another rule named {:?}",
                rule.name
            )))
        };
    }
    typed
        .with_rule(rule.clone())
        .map_err(|error| conflict(error.to_string()))?;
    let rendered = rule
        .to_arm()
        .map_err(|error| malformed(error.to_string()))?;
    edit(id, group, |rules| rules.push(rendered))
}

/// Removes a rule that is still exactly this.
pub fn delete(id: &str, rule: &NsgRule, group: &Value) -> Result<Planned, Error> {
    let typed = read(group)?;
    let Some(there) = typed.rule(&rule.name) else {
        return Ok(Planned::InPlace);
    };
    if !same(there, rule) {
        return Err(drift(format!(
            "the rule {:?} has been changed, so it is left alone",
            rule.name
        )));
    }
    edit(id, group, |rules| {
        rules.retain(|raw| !is_named(raw, &rule.name));
    })
}

/// Makes these all the custom rules.
pub fn replace(id: &str, wanted: &[NsgRule], group: &Value) -> Result<Planned, Error> {
    let typed = read(group)?;
    let target = Nsg::new(typed.name.clone(), wanted.to_vec())
        .map_err(|error| conflict(error.to_string()))?;
    let unchanged = typed.rules.len() == target.rules.len()
        && typed.rules.iter().all(|rule| {
            target
                .rule(&rule.name)
                .is_some_and(|other| same(rule, other))
        });
    if unchanged {
        return Ok(Planned::InPlace);
    }
    let mut rendered = Vec::new();
    for rule in wanted {
        // A rule that stays goes back as it came, fields unknown here included.
        let raw = raw_rules(group)
            .iter()
            .find(|raw| is_named(raw, &rule.name))
            .filter(|_| {
                typed
                    .rule(&rule.name)
                    .is_some_and(|there| same(there, rule))
            });
        rendered.push(match raw {
            Some(raw) => raw.clone(),
            None => rule
                .to_arm()
                .map_err(|error| malformed(error.to_string()))?,
        });
    }
    edit(id, group, |rules| *rules = rendered)
}

fn read(group: &Value) -> Result<Nsg, Error> {
    Nsg::from_arm(group).map_err(|error| malformed(error.to_string()))
}

fn raw_rules(group: &Value) -> &[Value] {
    group
        .pointer("/properties/securityRules")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn is_named(raw: &Value, name: &str) -> bool {
    raw.get("name")
        .and_then(Value::as_str)
        .is_some_and(|there| there.eq_ignore_ascii_case(name))
}

fn edit(id: &str, group: &Value, change: impl FnOnce(&mut Vec<Value>)) -> Result<Planned, Error> {
    let id = ResourceId::parse(id)?;
    let mut body = group.clone();
    read_only::remove(&mut body, READ_ONLY);
    let before = json!(raw_rules(&body));
    let rules = body
        .pointer_mut("/properties/securityRules")
        .and_then(Value::as_array_mut)
        .ok_or_else(|| malformed(format!("{id} has no properties.securityRules")))?;
    change(rules);
    let after = json!(rules);
    Ok(Planned::Write(Box::new(Edit {
        id,
        body,
        before,
        after,
    })))
}

/// Whether two rules say the same: Azure heeds neither case nor the order of
/// lists.
fn same(a: &NsgRule, b: &NsgRule) -> bool {
    let list = |items: &[String]| {
        let mut items: Vec<String> = items.iter().map(|item| item.to_lowercase()).collect();
        items.sort_unstable();
        items
    };
    let lists = |rule: &NsgRule| {
        [
            list(&rule.source_prefixes),
            list(&rule.source_ports),
            list(&rule.source_groups),
            list(&rule.destination_prefixes),
            list(&rule.destination_ports),
            list(&rule.destination_groups),
        ]
    };
    a.name.eq_ignore_ascii_case(&b.name)
        && (a.priority, a.direction, a.access) == (b.priority, b.direction, b.access)
        && a.protocol.eq_ignore_ascii_case(&b.protocol)
        && a.description == b.description
        && lists(a) == lists(b)
}

#[cfg(test)]
mod tests {
    use naosu_engine::error::Code;
    use naosu_flow::nsg::{Access, Direction};

    use super::*;

    const ID: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg";

    fn rule(name: &str, priority: u16) -> NsgRule {
        NsgRule {
            name: name.into(),
            priority,
            direction: Direction::Inbound,
            access: Access::Allow,
            protocol: "Tcp".into(),
            source_prefixes: vec!["10.0.0.0/16".into()],
            source_ports: vec!["*".into()],
            source_groups: vec![],
            destination_prefixes: vec!["10.0.0.0/16".into()],
            destination_ports: vec!["10250".into()],
            destination_groups: vec![],
            description: String::new(),
        }
    }

    fn group(rules: &[NsgRule]) -> Value {
        let rules: Vec<Value> = rules
            .iter()
            .map(|rule| {
                let mut raw = rule.to_arm().unwrap();
                raw["etag"] = json!("W/\"1\"");
                raw["properties"]["provisioningState"] = json!("Succeeded");
                raw["properties"]["newerField"] = json!("kept");
                raw
            })
            .collect();
        json!({
            "id": ID, "name": "nsg", "etag": "W/\"1\"", "location": "eastus",
            "tags": {"owner": "someone"},
            "properties": {"provisioningState": "Succeeded", "flushConnection": false,
                           "securityRules": rules, "defaultSecurityRules": []}
        })
    }

    fn written(planned: Planned) -> Value {
        match planned {
            Planned::Write(edit) => edit.body,
            Planned::InPlace => panic!("nothing is written"),
        }
    }

    #[test]
    fn a_rule_is_added_and_everything_else_goes_back_as_it_came() {
        let body = written(create(ID, &rule("new", 200), &group(&[rule("old", 100)])).unwrap());
        let rules = body["properties"]["securityRules"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[0]["properties"]["newerField"], "kept");
        assert_eq!(body["tags"]["owner"], "someone");
        assert_eq!(body["properties"]["flushConnection"], false);
        assert!(!body.to_string().contains("provisioningState"));
        assert!(!body.to_string().contains("etag"));
    }

    #[test]
    fn each_effect_twice_changes_nothing_the_second_time() {
        let new = rule("new", 200);
        assert_eq!(
            create(ID, &new, &group(std::slice::from_ref(&new))).unwrap(),
            Planned::InPlace
        );
        assert_eq!(delete(ID, &new, &group(&[])).unwrap(), Planned::InPlace);
        let both = [rule("b", 300), rule("a", 200)];
        assert_eq!(
            replace(ID, &both, &group(&[rule("a", 200), rule("b", 300)])).unwrap(),
            Planned::InPlace
        );
    }

    #[test]
    fn a_rule_changed_by_someone_else_is_not_deleted() {
        let mut theirs = rule("new", 200);
        theirs.destination_ports.push("443".into());
        let error = delete(ID, &rule("new", 200), &group(&[theirs])).unwrap_err();
        assert_eq!(error.code, Code::Drift);
    }

    #[test]
    fn a_taken_name_or_priority_is_a_conflict() {
        let taken = group(&[rule("other", 200)]);
        assert_eq!(
            create(ID, &rule("new", 200), &taken).unwrap_err().code,
            Code::AzureConflict
        );
        assert_eq!(
            create(ID, &rule("OTHER", 300), &taken).unwrap_err().code,
            Code::AzureConflict
        );
    }

    #[test]
    fn replacing_keeps_unknown_fields_of_rules_that_stay() {
        let body = written(
            replace(
                ID,
                &[rule("a", 200), rule("b", 250)],
                &group(&[rule("a", 200), rule("b", 300)]),
            )
            .unwrap(),
        );
        let rules = body["properties"]["securityRules"].as_array().unwrap();
        assert_eq!(rules[0]["properties"]["newerField"], "kept");
        assert_eq!(rules[1]["properties"]["priority"], 250);
    }
}
