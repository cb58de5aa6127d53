//! Security admin rules of Azure Virtual Network Manager, which come before
//! every security group.

use serde_json::Value;

use super::rule::Direction;
use super::tags::{Resolved, Side, TagContext};
use crate::field::{
    AddressValue, FieldError, Place, excerpt, parse_address, parse_ports, parse_protocol,
};
use crate::policy::{Rule, RuleMatch, UnknownAddresses, Verdict};
use crate::set::{AddressSet, ConnectionState, FlowBox, PortSet};

/// What a security admin rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminAccess {
    /// Shields from later admin rules; the security groups decide.
    Allow,
    /// Lets pass, whatever the security groups say.
    AlwaysAllow,
    /// Stops, whatever the security groups say.
    Deny,
}

impl AdminAccess {
    /// As ARM writes it.
    pub fn arm(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::AlwaysAllow => "AlwaysAllow",
            Self::Deny => "Deny",
        }
    }
}

/// One security admin rule in force for a virtual network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdminRule {
    /// Its name after that of its collection, as in `baseline/deny-kubelet`:
    /// rules of several collections may share a name. Where no id tells the
    /// collection, the name alone.
    pub name: String,
    /// The network manager that it belongs to, by name; empty where no id tells.
    pub manager: String,
    /// Smaller comes first.
    pub priority: u16,
    /// Inbound or outbound.
    pub direction: Direction,
    /// What it does.
    pub access: AdminAccess,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah`, `Any`.
    pub protocol: String,
    /// Prefixes, service tags and ids of network groups; empty for any.
    pub sources: Vec<String>,
    /// Port ranges; empty for any.
    pub source_ports: Vec<String>,
    /// Prefixes, service tags and ids of network groups; empty for any.
    pub destinations: Vec<String>,
    /// Port ranges; empty for any.
    pub destination_ports: Vec<String>,
}

impl AdminRule {
    /// Reads one admin rule from its ARM resource.
    ///
    /// # Errors
    /// [`FieldError`] naming the rule and the field.
    pub fn from_arm(rule: &Value) -> Result<Self, FieldError> {
        let missing = |place: &str, field: &str| FieldError::Missing {
            place: place.to_owned(),
            field: field.to_owned(),
        };
        let name = name(rule).ok_or_else(|| missing("an admin rule", "id"))?;
        let place = format!("admin rule {}", excerpt(&name));
        let properties = rule
            .get("properties")
            .and_then(Value::as_object)
            .ok_or_else(|| missing(&place, "properties"))?;
        let required = |field: &str| {
            let text = properties.get(field).and_then(Value::as_str);
            text.ok_or_else(|| missing(&place, field))
        };
        let invalid = |field: &str, value: &str, expected| FieldError::Invalid {
            place: place.clone(),
            field: field.to_owned(),
            value: format!("\"{}\"", excerpt(value)),
            expected,
        };
        let list = |field: &str, item: Option<&str>| -> Result<Vec<String>, FieldError> {
            let values = match properties.get(field) {
                None | Some(Value::Null) => return Ok(Vec::new()),
                Some(Value::Array(values)) => values,
                Some(other) => return Err(invalid(field, &other.to_string(), "a list")),
            };
            let text = |value: &Value| {
                let value = match item {
                    Some(item) => value.get(item).unwrap_or(&Value::Null),
                    None => value,
                };
                let text = value.as_str().map(str::to_owned);
                text.ok_or_else(|| invalid(field, &value.to_string(), "a list of texts"))
            };
            values.iter().map(text).collect()
        };
        let priority = properties
            .get("priority")
            .ok_or_else(|| missing(&place, "priority"))?;
        let access = required("access")?;
        let direction = required("direction")?;
        Ok(Self {
            priority: priority
                .as_u64()
                .and_then(|number| u16::try_from(number).ok())
                .filter(|number| (1..=4096).contains(number))
                .ok_or_else(|| FieldError::OutOfRange {
                    place: place.clone(),
                    field: "priority".to_owned(),
                    value: excerpt(&priority.to_string()),
                    minimum: 1,
                    maximum: 4096,
                })?,
            direction: match direction.to_ascii_lowercase().as_str() {
                "inbound" => Direction::Inbound,
                "outbound" => Direction::Outbound,
                _ => return Err(invalid("direction", direction, "Inbound or Outbound")),
            },
            access: match access.to_ascii_lowercase().as_str() {
                "allow" => AdminAccess::Allow,
                "alwaysallow" => AdminAccess::AlwaysAllow,
                "deny" => AdminAccess::Deny,
                _ => return Err(invalid("access", access, "Allow, AlwaysAllow or Deny")),
            },
            protocol: required("protocol")?.to_owned(),
            sources: list("sources", Some("addressPrefix"))?,
            source_ports: list("sourcePortRanges", None)?,
            destinations: list("destinations", Some("addressPrefix"))?,
            destination_ports: list("destinationPortRanges", None)?,
            manager: manager(rule),
            name,
        })
    }

    /// The rule of an ordered policy.
    pub(super) fn compile(&self, tags: &TagContext) -> Result<Rule, FieldError> {
        let place = format!("admin rule {}", excerpt(&self.name));
        let at = |field| Place {
            rule: &place,
            field,
        };
        let ports = |field, values: &[String]| -> Result<PortSet, FieldError> {
            if values.is_empty() {
                return Ok(PortSet::full());
            }
            values.iter().try_fold(PortSet::empty(), |set, value| {
                Ok(set.union(&parse_ports(at(field), value)?))
            })
        };
        let (sources, unknown_sources) =
            addresses(at("sources"), &self.sources, tags, Side::Source)?;
        let (destinations, unknown_destinations) = addresses(
            at("destinations"),
            &self.destinations,
            tags,
            Side::Destination,
        )?;
        let flow = FlowBox::any()
            .with_direction(self.direction.into())
            .with_state(ConnectionState::New)
            .with_protocols(parse_protocol(at("protocol"), &self.protocol)?)
            .with_sources(sources)
            .with_source_ports(ports("sourcePortRanges", &self.source_ports)?)
            .with_destinations(destinations)
            .with_destination_ports(ports("destinationPortRanges", &self.destination_ports)?);
        Ok(Rule {
            name: self.name.clone(),
            matches: RuleMatch {
                flow,
                unknown_sources,
                unknown_destinations,
                conditions: Vec::new(),
            },
            verdict: match self.access {
                AdminAccess::Deny => Verdict::Deny,
                AdminAccess::Allow | AdminAccess::AlwaysAllow => Verdict::Allow,
            },
        })
    }
}

/// "…/ruleCollections/c/rules/r" as `c/r`. Lists of what is in force give the id
/// only.
fn name(rule: &Value) -> Option<String> {
    let text = |field| rule.get(field).and_then(Value::as_str);
    let Some(id) = text("id") else {
        return text("name").map(str::to_owned);
    };
    let parts: Vec<&str> = id.rsplit('/').take(4).collect();
    Some(match parts.as_slice() {
        [rule, rules, collection, collections]
            if rules.eq_ignore_ascii_case("rules")
                && collections.eq_ignore_ascii_case("ruleCollections") =>
        {
            format!("{collection}/{rule}")
        }
        _ => text("name").unwrap_or(id).to_owned(),
    })
}

/// The name after `/networkManagers/` in the id.
fn manager(rule: &Value) -> String {
    let id = rule.get("id").and_then(Value::as_str).unwrap_or_default();
    let mut parts = id.split('/');
    let found = parts.find(|part| part.eq_ignore_ascii_case("networkManagers"));
    let name = found.and_then(|_| parts.next());
    name.unwrap_or_default().to_owned()
}

fn addresses(
    place: Place<'_>,
    values: &[String],
    tags: &TagContext,
    side: Side,
) -> Result<(AddressSet, Vec<UnknownAddresses>), FieldError> {
    if values.is_empty() {
        return Ok((AddressSet::any(), Vec::new()));
    }
    let (mut known, mut unknown) = (AddressSet::empty(), Vec::new());
    for value in values {
        // An address of the type NetworkGroup is the id of one.
        let resolved = if value.starts_with('/') {
            tags.network_group(value, side)
        } else {
            match parse_address(place, value)? {
                AddressValue::Any => Resolved::Known(AddressSet::any()),
                AddressValue::Addresses(set) => Resolved::Known(set),
                AddressValue::Tag(name) => tags.tag(&name, side),
            }
        };
        let (set, addresses) = resolved.parts();
        known = known.union(&set);
        unknown.extend(addresses);
    }
    Ok((known, unknown))
}
