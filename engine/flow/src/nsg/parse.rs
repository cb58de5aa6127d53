//! Reading a network security group as ARM returns it.

use serde_json::{Map, Value};

use super::error::NsgError;
use super::group::{Nsg, default_rules};
use super::rule::{Access, Direction, MAX_PRIORITY, MIN_PRIORITY, NsgRule};
use crate::field::json::{invalid, missing, object, text, texts};
use crate::field::{
    FieldError, Place, canonical_protocol, excerpt, parse_address, parse_json, parse_ports,
};

const DEFAULT_PRIORITIES: (u16, u16) = (65_000, 65_500);

impl Nsg {
    /// Reads the JSON of a security group.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn from_arm_json(text: &str) -> Result<Self, NsgError> {
        Self::from_arm(&parse_json(text)?)
    }

    /// Reads a security group from its JSON value.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn from_arm(value: &Value) -> Result<Self, NsgError> {
        let place = "the security group";
        let group = object(place, "body", value)?;
        let name = text(place, "name", group)?.unwrap_or_default();
        let place = if name.is_empty() {
            place.to_owned()
        } else {
            format!("security group {}", excerpt(&name))
        };
        let properties = match group.get("properties") {
            Some(properties) => object(&place, "properties", properties)?,
            None => return Err(missing(&place, "properties").into()),
        };
        let rules = match properties.get("securityRules") {
            Some(rules) => {
                read_rules(&place, "securityRules", rules, (MIN_PRIORITY, MAX_PRIORITY))?
            }
            None => return Err(missing(&place, "properties.securityRules").into()),
        };
        let default_rules = match properties.get("defaultSecurityRules") {
            None | Some(Value::Null) => default_rules(),
            Some(rules) => {
                let read = read_rules(&place, "defaultSecurityRules", rules, DEFAULT_PRIORITIES)?;
                if read.is_empty() {
                    default_rules()
                } else {
                    complete(&place, read)?
                }
            }
        };
        let flush_connection = match properties.get("flushConnection") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flushes)) => *flushes,
            Some(other) => {
                return Err(invalid(&place, "flushConnection", other, "true or false").into());
            }
        };
        let id = text(&place, "id", group)?.unwrap_or_default();
        let etag = text(&place, "etag", group)?.unwrap_or_default();
        Self {
            name,
            id,
            etag,
            flush_connection,
            rules,
            default_rules,
        }
        .in_order()
    }
}

/// Default rules of which none of Azure's is missing: a part of them decides some
/// packets by nothing.
fn complete(place: &str, read: Vec<NsgRule>) -> Result<Vec<NsgRule>, FieldError> {
    let is_there = |name: &str| read.iter().any(|rule| rule.name.eq_ignore_ascii_case(name));
    let missing_rule = default_rules()
        .into_iter()
        .find(|rule| !is_there(&rule.name));
    match missing_rule {
        None => Ok(read),
        Some(rule) => {
            let field = format!("properties.defaultSecurityRules[{}]", rule.name);
            Err(missing(place, &field))
        }
    }
}

fn read_rules(
    place: &str,
    field: &str,
    rules: &Value,
    priorities: (u16, u16),
) -> Result<Vec<NsgRule>, FieldError> {
    let rules = rules
        .as_array()
        .ok_or_else(|| invalid(place, field, rules, "a list of rules"))?;
    rules
        .iter()
        .map(|rule| NsgRule::read(rule, priorities))
        .collect()
}

impl NsgRule {
    /// Reads one custom rule from its ARM resource.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn from_arm(value: &Value) -> Result<Self, NsgError> {
        Ok(Self::read(value, (MIN_PRIORITY, MAX_PRIORITY))?)
    }

    fn read(value: &Value, priorities: (u16, u16)) -> Result<Self, FieldError> {
        let rule = object("a rule", "body", value)?;
        let name = text("a rule", "name", rule)?
            .filter(|name| !name.is_empty())
            .ok_or_else(|| missing("a rule", "name"))?;
        let place = format!("rule {}", excerpt(&name));
        let fields = match rule.get("properties") {
            Some(properties) => object(&place, "properties", properties)?,
            None => return Err(missing(&place, "properties")),
        };
        let required = |field: &str| -> Result<String, FieldError> {
            text(&place, field, fields)?
                .filter(|value| !value.is_empty())
                .ok_or_else(|| missing(&place, field))
        };
        let protocol = required("protocol")?;
        let protocol = canonical_protocol(
            Place {
                rule: &place,
                field: "protocol",
            },
            &protocol,
        )?;
        let source = side(&place, fields, &SOURCE)?;
        let destination = side(&place, fields, &DESTINATION)?;
        Ok(Self {
            priority: priority(&place, fields, priorities)?,
            direction: choice(
                &place,
                "direction",
                &required("direction")?,
                &[
                    ("Inbound", Direction::Inbound),
                    ("Outbound", Direction::Outbound),
                ],
                "Inbound or Outbound",
            )?,
            access: choice(
                &place,
                "access",
                &required("access")?,
                &[("Allow", Access::Allow), ("Deny", Access::Deny)],
                "Allow or Deny",
            )?,
            protocol: protocol.to_owned(),
            source_prefixes: source.prefixes,
            source_ports: source.ports,
            source_groups: source.groups,
            destination_prefixes: destination.prefixes,
            destination_ports: destination.ports,
            destination_groups: destination.groups,
            description: text(&place, "description", fields)?.unwrap_or_default(),
            name,
        })
    }
}

/// The names of one side's fields.
struct SideFields {
    prefix: &'static str,
    prefixes: &'static str,
    port: &'static str,
    ports: &'static str,
    groups: &'static str,
}

const SOURCE: SideFields = SideFields {
    prefix: "sourceAddressPrefix",
    prefixes: "sourceAddressPrefixes",
    port: "sourcePortRange",
    ports: "sourcePortRanges",
    groups: "sourceApplicationSecurityGroups",
};
const DESTINATION: SideFields = SideFields {
    prefix: "destinationAddressPrefix",
    prefixes: "destinationAddressPrefixes",
    port: "destinationPortRange",
    ports: "destinationPortRanges",
    groups: "destinationApplicationSecurityGroups",
};

struct Side {
    prefixes: Vec<String>,
    ports: Vec<String>,
    groups: Vec<String>,
}

fn side(place: &str, fields: &Map<String, Value>, names: &SideFields) -> Result<Side, FieldError> {
    let (prefix_field, prefixes) = one_or_many(place, fields, names.prefix, names.prefixes)?;
    let groups = groups(place, names.groups, fields)?;
    match (prefixes.is_empty(), groups.is_empty()) {
        (true, true) => return Err(nothing_given(place, fields, names.prefix, names.prefixes)),
        (false, false) => {
            return Err(FieldError::Contradictory {
                place: place.to_owned(),
                field: prefix_field.to_owned(),
                other: names.groups.to_owned(),
            });
        }
        _ => {}
    }
    for value in &prefixes {
        let field = prefix_field;
        parse_address(Place { rule: place, field }, value)?;
    }
    let (field, ports) = one_or_many(place, fields, names.port, names.ports)?;
    if ports.is_empty() {
        return Err(nothing_given(place, fields, names.port, names.ports));
    }
    for value in &ports {
        parse_ports(Place { rule: place, field }, value)?;
    }
    Ok(Side {
        prefixes,
        ports,
        groups,
    })
}

/// The values of a field that exists once and in plural. ARM returns an empty
/// plural beside a singular, and an empty singular beside a plural.
fn one_or_many<'a>(
    place: &str,
    fields: &Map<String, Value>,
    one: &'a str,
    many: &'a str,
) -> Result<(&'a str, Vec<String>), FieldError> {
    let single = text(place, one, fields)?.filter(|value| !value.is_empty());
    let list = texts(place, many, fields)?;
    match (single, list.is_empty()) {
        (Some(single), true) => Ok((one, vec![single])),
        // Some API versions repeat a plural of one in the singular.
        (Some(single), false) if list.as_slice() != std::slice::from_ref(&single) => {
            Err(FieldError::Contradictory {
                place: place.to_owned(),
                field: one.to_owned(),
                other: many.to_owned(),
            })
        }
        _ => Ok((many, list)),
    }
}

/// Why neither form of a field has a value: an empty list, or no field at all.
fn nothing_given(place: &str, fields: &Map<String, Value>, one: &str, many: &str) -> FieldError {
    if fields.get(many).is_some_and(Value::is_array) {
        FieldError::Empty {
            place: place.to_owned(),
            field: many.to_owned(),
        }
    } else {
        missing(place, one)
    }
}

fn groups(
    place: &str,
    field: &str,
    fields: &Map<String, Value>,
) -> Result<Vec<String>, FieldError> {
    let list = match fields.get(field) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(invalid(place, field, other, "a list of resources")),
    };
    let nameless = |group| invalid(place, field, group, "a resource with an id");
    list.iter()
        .map(|group| match group.as_object() {
            Some(resource) => text(place, "id", resource)?
                .filter(|id| !id.is_empty())
                .ok_or_else(|| nameless(group)),
            None => Err(nameless(group)),
        })
        .collect()
}

fn priority(
    place: &str,
    fields: &Map<String, Value>,
    (minimum, maximum): (u16, u16),
) -> Result<u16, FieldError> {
    let value = match fields.get("priority") {
        None | Some(Value::Null) => return Err(missing(place, "priority")),
        Some(value) => value,
    };
    if !value.is_number() {
        return Err(invalid(place, "priority", value, "a number"));
    }
    value
        .as_u64()
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| (minimum..=maximum).contains(number))
        .ok_or_else(|| FieldError::OutOfRange {
            place: place.to_owned(),
            field: "priority".to_owned(),
            value: excerpt(&value.to_string()),
            minimum: minimum.into(),
            maximum: maximum.into(),
        })
}

fn choice<T: Copy>(
    place: &str,
    field: &str,
    value: &str,
    known: &[(&str, T)],
    expected: &'static str,
) -> Result<T, FieldError> {
    known
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(value))
        .map(|(_, choice)| *choice)
        .ok_or_else(|| invalid(place, field, &Value::from(value), expected))
}
