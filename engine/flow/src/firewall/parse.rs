//! Reading firewalls and firewall policies as ARM returns them.

use serde_json::{Map, Value};

use super::collection::{
    CollectionAction, Firewall, RuleCollection, RuleCollectionGroup, RuleKind,
};
use super::error::FirewallError;
use super::intrusion::IntrusionDetection;
use super::policy_order::{Level, in_order};
use super::read_rule::read_rule;
use crate::field::json::{invalid, missing, object, text, texts};
use crate::field::{AddressValue, FieldError, Place, excerpt, excerpt_of_id, parse_address};
use crate::set::AddressSet;

const PRIORITIES: (u32, u32) = (100, 65_000);

impl Firewall {
    /// Reads a classic firewall, whose rules are its own.
    ///
    /// # Errors
    /// [`FirewallError`] naming collection, rule and field; also when a policy
    /// governs the firewall, because its own collections are then not in force.
    pub fn from_classic(value: &Value) -> Result<Self, FirewallError> {
        let firewall = object("a firewall", "body", value)?;
        let (name, place) = named("a firewall", "firewall", firewall)?;
        let properties = properties(&place, firewall)?;
        if let Some(policy) = properties.get("firewallPolicy").and_then(|p| p.get("id")) {
            return Err(FirewallError::GovernedByPolicy {
                firewall: name,
                policy: excerpt_of_id(policy.as_str().unwrap_or_default()),
            });
        }
        let kinds = [
            ("natRuleCollections", RuleKind::Nat),
            ("networkRuleCollections", RuleKind::Network),
            ("applicationRuleCollections", RuleKind::Application),
        ];
        let mut groups = Vec::new();
        for ((field, kind), priority) in kinds.into_iter().zip(0..) {
            let mut collections = Vec::new();
            for collection in items(&place, field, properties)? {
                collections.push(classic_collection(&place, collection, kind)?);
            }
            groups.push(RuleCollectionGroup {
                name: field.to_owned(),
                priority,
                collections,
            });
        }
        Ok(Self {
            threat_intelligence_denies: threat_intelligence_denies(&place, properties)?,
            name,
            levels: vec![groups],
            intrusion_detection: Vec::new(),
            unread: Vec::new(),
        })
    }

    /// Reads the policy that governs a firewall: policies with their rule
    /// collection groups, in any order. Their ids say which is whose parent, and whose
    /// the groups are.
    ///
    /// # Errors
    /// [`FirewallError`] naming collection, rule and field; also when a parent or a group
    /// that a policy names is not among them, or one that is belongs to none.
    pub fn from_policies(policies: &[(&Value, &[Value])]) -> Result<Self, FirewallError> {
        Self::of_levels(in_order(policies)?)
    }

    /// Reads policies with their rule collection groups, the topmost parent first, the
    /// firewall's own last. Who reads them tells what is missing as
    /// [`Firewall::unread`].
    ///
    /// # Errors
    /// [`FirewallError`] naming collection, rule and field.
    pub fn from_policy_chain(policies: &[(&Value, &[Value])]) -> Result<Self, FirewallError> {
        let levels = policies.iter();
        let levels = levels.map(|(policy, groups)| (*policy, groups.iter().collect()));
        Self::of_levels(levels.collect())
    }

    fn of_levels(policies: Vec<Level<'_>>) -> Result<Self, FirewallError> {
        let mut firewall = Self {
            name: String::new(),
            levels: Vec::new(),
            threat_intelligence_denies: false,
            intrusion_detection: Vec::new(),
            unread: Vec::new(),
        };
        for (policy, groups) in policies {
            let policy = object("a firewall policy", "body", policy)?;
            let (name, place) = named("a firewall policy", "firewall policy", policy)?;
            let properties = properties(&place, policy)?;
            // A child may be stricter than its parent, never less.
            firewall.threat_intelligence_denies |= threat_intelligence_denies(&place, properties)?;
            let intrusion = IntrusionDetection::read(&place, properties)?;
            firewall.intrusion_detection.extend(intrusion);
            let groups: Result<Vec<RuleCollectionGroup>, FieldError> =
                groups.into_iter().map(policy_group).collect();
            firewall.levels.push(groups?);
            firewall.name = name;
        }
        if firewall.levels.is_empty() {
            return Err(missing("the policies of a firewall", "first policy").into());
        }
        Ok(firewall)
    }
}

/// The addresses of an IP group as ARM returns it.
///
/// # Errors
/// [`FieldError`] naming the group and the field.
pub fn ip_group_addresses(value: &Value) -> Result<AddressSet, FieldError> {
    let group = object("an IP group", "body", value)?;
    let (name, place) = named("an IP group", "IP group", group)?;
    let fields = properties(&place, group)?;
    let field = "properties.ipAddresses";
    if !fields.contains_key("ipAddresses") {
        return Err(missing(&place, field));
    }
    let mut all = AddressSet::empty();
    for text in texts(&place, "ipAddresses", fields)? {
        let at = Place { rule: &name, field };
        match parse_address(at, &text)? {
            AddressValue::Addresses(set) => all = all.union(&set),
            AddressValue::Any | AddressValue::Tag(_) => {
                let value = Value::from(text);
                return Err(invalid(
                    &place,
                    field,
                    &value,
                    "an address, prefix or range",
                ));
            }
        }
    }
    Ok(all)
}

fn classic_collection(
    place: &str,
    value: &Value,
    kind: RuleKind,
) -> Result<RuleCollection, FieldError> {
    let collection = object(place, "rule collection", value)?;
    let (name, place) = named(place, "rule collection", collection)?;
    let fields = properties(&place, collection)?;
    // Azure refuses a collection of a classic firewall without rules, so that what has
    // none was not read whole. One of a policy may be empty, and decides nothing.
    if items(&place, "rules", fields)?.is_empty() {
        return Err(match fields.get("rules") {
            Some(Value::Array(_)) => FieldError::Empty {
                place,
                field: "rules".to_owned(),
            },
            _ => missing(&place, "properties.rules"),
        });
    }
    let mut rules = Vec::new();
    for rule in items(&place, "rules", fields)? {
        rules.push(read_rule(&place, rule, kind, "protocols")?);
    }
    Ok(RuleCollection {
        priority: priority(&place, fields)?,
        action: action(&place, fields)?,
        name,
        rules,
    })
}

fn policy_group(value: &Value) -> Result<RuleCollectionGroup, FieldError> {
    let group = object("a rule collection group", "body", value)?;
    let (name, place) = named("a rule collection group", "rule collection group", group)?;
    let fields = properties(&place, group)?;
    let mut collections = Vec::new();
    for collection in items(&place, "ruleCollections", fields)? {
        let collection = object(&place, "ruleCollections", collection)?;
        let (name, place) = named(&place, "rule collection", collection)?;
        let mut rules = Vec::new();
        for rule in items(&place, "rules", collection)? {
            let kind = match rule.get("ruleType").and_then(Value::as_str) {
                Some(kind) if kind.eq_ignore_ascii_case("NatRule") => RuleKind::Nat,
                Some(kind) if kind.eq_ignore_ascii_case("NetworkRule") => RuleKind::Network,
                Some(kind) if kind.eq_ignore_ascii_case("ApplicationRule") => RuleKind::Application,
                Some(other) => {
                    return Err(invalid(
                        &place,
                        "ruleType",
                        &Value::from(other),
                        "NatRule, NetworkRule or ApplicationRule",
                    ));
                }
                None => return Err(missing(&place, "ruleType")),
            };
            rules.push(read_rule(&place, rule, kind, "ipProtocols")?);
        }
        collections.push(RuleCollection {
            priority: priority(&place, collection)?,
            action: action(&place, collection)?,
            name,
            rules,
        });
    }
    Ok(RuleCollectionGroup {
        priority: priority(&place, fields)?,
        name,
        collections,
    })
}

/// The name of a resource, and how messages call it.
pub(super) fn named(
    parent: &str,
    what: &str,
    fields: &Map<String, Value>,
) -> Result<(String, String), FieldError> {
    let name = text(parent, "name", fields)?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| missing(parent, "name"))?;
    let place = format!("{what} {}", excerpt(&name));
    Ok((name, place))
}

pub(super) fn properties<'a>(
    place: &str,
    fields: &'a Map<String, Value>,
) -> Result<&'a Map<String, Value>, FieldError> {
    match fields.get("properties") {
        Some(properties) => object(place, "properties", properties),
        None => Err(missing(place, "properties")),
    }
}

/// The items of a list that may be absent.
pub(super) fn items<'a>(
    place: &str,
    field: &str,
    fields: &'a Map<String, Value>,
) -> Result<&'a [Value], FieldError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(invalid(place, field, other, "a list")),
    }
}

fn priority(place: &str, fields: &Map<String, Value>) -> Result<u32, FieldError> {
    let value = fields
        .get("priority")
        .ok_or_else(|| missing(place, "priority"))?;
    let (minimum, maximum) = PRIORITIES;
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (minimum..=maximum).contains(number))
        .ok_or_else(|| FieldError::OutOfRange {
            place: place.to_owned(),
            field: "priority".to_owned(),
            value: excerpt(&value.to_string()),
            minimum,
            maximum,
        })
}

fn action(place: &str, fields: &Map<String, Value>) -> Result<CollectionAction, FieldError> {
    let action = fields.get("action").and_then(|action| action.get("type"));
    let Some(action) = action else {
        return Err(missing(place, "action.type"));
    };
    match action.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("allow") => Ok(CollectionAction::Allow),
        Some("deny") => Ok(CollectionAction::Deny),
        Some("dnat" | "snat") => Ok(CollectionAction::Dnat),
        _ => Err(invalid(place, "action.type", action, "Allow, Deny or Dnat")),
    }
}

fn threat_intelligence_denies(
    place: &str,
    fields: &Map<String, Value>,
) -> Result<bool, FieldError> {
    Ok(text(place, "threatIntelMode", fields)?
        .is_some_and(|mode| mode.eq_ignore_ascii_case("Deny")))
}
