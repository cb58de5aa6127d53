//! Firewall policies and their parents: which comes first, and whose groups are whose.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::FirewallError;
use super::parse::{items, named, properties};
use crate::field::json::{missing, object, text};
use crate::field::{FieldError, excerpt, excerpt_of_id};

/// A policy with its rule collection groups.
pub(super) type Level<'a> = (&'a Value, Vec<&'a Value>);

/// A policy among those that were given.
struct Given<'a> {
    value: &'a Value,
    name: String,
    /// Its ARM id; empty where the file has none.
    id: String,
    parent: Option<String>,
    /// The groups that it says it has, by their ids.
    listed: Vec<String>,
    groups: Vec<&'a Value>,
}

impl Given<'_> {
    /// Whether an ARM id names it; one without an id is known by its name.
    fn is(&self, id: &str) -> bool {
        match self.id.is_empty() {
            false => self.id.eq_ignore_ascii_case(id),
            true => last_part(id).eq_ignore_ascii_case(&self.name),
        }
    }
}

/// The policies that govern one firewall, the topmost parent first, whatever the order
/// they are given in. A group belongs to the policy that its id names; one without an id
/// to that which it is given with.
pub(super) fn in_order<'a>(
    policies: &[(&'a Value, &'a [Value])],
) -> Result<Vec<Level<'a>>, FirewallError> {
    let mut given = Vec::with_capacity(policies.len());
    for (policy, _) in policies {
        given.push(read(policy)?);
    }
    refuse_repeated(&given)?;
    for (index, (_, groups)) in policies.iter().enumerate() {
        for group in *groups {
            let owner = owner(&given, group)?.unwrap_or(index);
            if let Some(policy) = given.get_mut(owner) {
                policy.groups.push(group);
            }
        }
    }
    for policy in &given {
        refuse_absent_groups(policy)?;
    }
    let order = from_topmost(&given)?;
    let levels = order.into_iter().filter_map(|index| given.get(index));
    Ok(levels
        .map(|policy| (policy.value, policy.groups.clone()))
        .collect())
}

fn read(value: &Value) -> Result<Given<'_>, FieldError> {
    let policy = object("a firewall policy", "body", value)?;
    let (name, place) = named("a firewall policy", "firewall policy", policy)?;
    let properties = properties(&place, policy)?;
    let parent = match properties.get("basePolicy") {
        None | Some(Value::Null) => None,
        Some(parent) => {
            let parent = id_of(&place, object(&place, "basePolicy", parent)?)?;
            Some(parent.ok_or_else(|| missing(&place, "properties.basePolicy.id"))?)
        }
    };
    let mut listed = Vec::new();
    for group in items(&place, "ruleCollectionGroups", properties)? {
        listed.extend(id_of(
            &place,
            object(&place, "ruleCollectionGroups", group)?,
        )?);
    }
    Ok(Given {
        value,
        id: id_of(&place, policy)?.unwrap_or_default(),
        name,
        parent,
        listed,
        groups: Vec::new(),
    })
}

fn id_of(place: &str, fields: &Map<String, Value>) -> Result<Option<String>, FieldError> {
    Ok(text(place, "id", fields)?.filter(|id| !id.is_empty()))
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn refuse_repeated(given: &[Given<'_>]) -> Result<(), FirewallError> {
    let mut seen = BTreeSet::new();
    let repeated = given
        .iter()
        .find(|policy| !policy.id.is_empty() && !seen.insert(policy.id.to_ascii_lowercase()));
    match repeated {
        None => Ok(()),
        Some(policy) => Err(FirewallError::PolicyRepeated {
            policy: excerpt(&policy.name),
        }),
    }
}

/// Whose group it is by its id; nothing where that does not say.
fn owner(given: &[Given<'_>], group: &Value) -> Result<Option<usize>, FirewallError> {
    let Some(id) = group.get("id").and_then(Value::as_str) else {
        return Ok(None);
    };
    let at = id.to_ascii_lowercase().find("/rulecollectiongroups/");
    let Some(policy) = at.and_then(|at| id.get(..at)) else {
        return Ok(None);
    };
    let found = given.iter().position(|one| one.is(policy));
    found.map(Some).ok_or_else(|| FirewallError::ForeignGroup {
        group: excerpt(last_part(id)),
        policy: excerpt_of_id(policy),
    })
}

fn refuse_absent_groups(policy: &Given<'_>) -> Result<(), FirewallError> {
    let is_given = |id: &String| {
        policy.groups.iter().any(|group| {
            let field = |name| group.get(name).and_then(Value::as_str);
            match field("id") {
                Some(own) => own.eq_ignore_ascii_case(id),
                None => field("name").is_some_and(|own| own.eq_ignore_ascii_case(last_part(id))),
            }
        })
    };
    match policy.listed.iter().find(|id| !is_given(id)) {
        None => Ok(()),
        Some(absent) => Err(FirewallError::GroupMissing {
            policy: excerpt(&policy.name),
            group: excerpt(last_part(absent)),
        }),
    }
}

/// The places of the policies, the topmost parent first.
fn from_topmost(given: &[Given<'_>]) -> Result<Vec<usize>, FirewallError> {
    let mut parents = Vec::with_capacity(given.len());
    for policy in given {
        parents.push(match &policy.parent {
            None => None,
            Some(id) => {
                let found = given.iter().position(|one| one.is(id));
                Some(found.ok_or_else(|| FirewallError::ParentMissing {
                    policy: excerpt(&policy.name),
                    parent: excerpt_of_id(id),
                })?)
            }
        });
    }
    let name = |index: usize| given.get(index).map(|one| excerpt(&one.name));
    let is_a_parent = |index: &usize| parents.contains(&Some(*index));
    let mut own = (0..given.len()).filter(|index| !is_a_parent(index));
    let (mut next, other) = (own.next(), own.next());
    if let (Some(first), Some(second)) = (next, other) {
        return Err(FirewallError::PoliciesUnrelated {
            first: name(first).unwrap_or_default(),
            second: name(second).unwrap_or_default(),
        });
    }
    let mut order = Vec::with_capacity(given.len());
    while let Some(index) = next.filter(|index| !order.contains(index)) {
        order.push(index);
        next = parents.get(index).copied().flatten();
    }
    // One that is its own ancestor, or beside the others and no one's child.
    if next.is_some() || order.len() < given.len() {
        let in_circle = (0..given.len()).filter(is_a_parent).filter_map(name);
        return Err(FirewallError::PolicyCircle {
            policies: in_circle.collect::<Vec<_>>().join(", "),
        });
    }
    order.reverse();
    Ok(order)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::firewall::Firewall;

    const POLICIES: &str =
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/firewallPolicies";

    fn policy(name: &str, parent: Option<&str>) -> Value {
        let mut policy = json!({ "id": format!("{POLICIES}/{name}"), "name": name,
            "properties": {} });
        if let Some(parent) = parent {
            // Ids are compared case aside.
            let id = format!("{POLICIES}/{parent}").to_uppercase();
            policy["properties"]["basePolicy"] = json!({ "id": id });
        }
        policy
    }

    fn group(policy: &str, name: &str) -> Value {
        json!({ "id": format!("{POLICIES}/{policy}/ruleCollectionGroups/{name}"), "name": name,
            "properties": { "priority": 100, "ruleCollections": [] } })
    }

    fn read(policies: &[(Value, Vec<Value>)]) -> Result<Vec<Vec<String>>, FirewallError> {
        let policies: Vec<(&Value, &[Value])> = policies
            .iter()
            .map(|(policy, groups)| (policy, groups.as_slice()))
            .collect();
        let firewall = Firewall::from_policies(&policies)?;
        let names = |groups: Vec<crate::firewall::RuleCollectionGroup>| {
            groups.into_iter().map(|group| group.name).collect()
        };
        Ok(firewall.levels.into_iter().map(names).collect())
    }

    #[test]
    fn parents_come_first_in_whatever_order_they_and_their_groups_are_given() {
        let (top, middle, own) = (
            policy("top", None),
            policy("middle", Some("top")),
            policy("own", Some("middle")),
        );
        let groups = ["top", "middle", "own"].map(|name| vec![group(name, &format!("of-{name}"))]);
        let [of_top, of_middle, of_own] = groups;
        let expected = [["of-top"], ["of-middle"], ["of-own"]];
        for policies in [
            [
                (top.clone(), of_top.clone()),
                (middle.clone(), of_middle.clone()),
                (own.clone(), of_own.clone()),
            ],
            [
                (own.clone(), of_own.clone()),
                (top.clone(), of_top.clone()),
                (middle.clone(), of_middle.clone()),
            ],
            // The lists are given in another order than the policies.
            [(middle, of_own), (own, of_top), (top, of_middle)],
        ] {
            assert_eq!(read(&policies).unwrap(), expected);
        }
    }

    #[test]
    fn what_does_not_govern_one_firewall_is_refused_by_name() {
        let without_groups = |policies: Vec<Value>| {
            let policies: Vec<_> = policies.into_iter().map(|one| (one, Vec::new())).collect();
            read(&policies).unwrap_err()
        };
        let mut listing = policy("own", None);
        listing["properties"]["ruleCollectionGroups"] =
            json!([{ "id": format!("{POLICIES}/own/ruleCollectionGroups/absent") }]);
        let parent_id = format!("{POLICIES}/top").to_uppercase();
        let foreign = read(&[(policy("own", None), vec![group("elsewhere", "g")])]);
        for (error, code, parts) in [
            (
                without_groups(vec![policy("own", Some("top"))]),
                "firewall_parent_missing",
                vec!["own", parent_id.as_str()],
            ),
            (
                without_groups(vec![policy("a", Some("b")), policy("b", Some("a"))]),
                "firewall_policy_circle",
                vec!["a, b"],
            ),
            (
                without_groups(vec![policy("a", Some("a"))]),
                "firewall_policy_circle",
                vec!["parents: a"],
            ),
            (
                without_groups(vec![
                    policy("own", Some("a")),
                    policy("a", Some("b")),
                    policy("b", Some("a")),
                ]),
                "firewall_policy_circle",
                vec!["a, b"],
            ),
            (
                without_groups(vec![
                    policy("own", None),
                    policy("a", Some("b")),
                    policy("b", Some("a")),
                ]),
                "firewall_policy_circle",
                vec!["a, b"],
            ),
            (
                without_groups(vec![policy("one", None), policy("two", None)]),
                "firewall_policies_unrelated",
                vec!["one", "two"],
            ),
            (
                without_groups(vec![policy("one", None), policy("one", None)]),
                "firewall_policy_repeated",
                vec!["one"],
            ),
            (
                foreign.unwrap_err(),
                "firewall_group_foreign",
                vec!["group g", "firewallPolicies/elsewhere"],
            ),
            (
                without_groups(vec![listing]),
                "firewall_group_missing",
                vec!["own", "absent"],
            ),
        ] {
            assert_eq!(error.code(), code, "{error}");
            for part in parts {
                assert!(error.to_string().contains(part), "{error}");
            }
        }
    }
}
