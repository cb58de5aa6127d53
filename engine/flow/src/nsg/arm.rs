//! Writing a rule as ARM takes it.

use serde_json::{Map, Value, json};

use super::error::NsgError;
use super::group::Nsg;
use super::rule::{MAX_PRIORITY, MIN_PRIORITY, NsgRule};
use crate::field::{
    AddressValue, FieldError, Place, canonical_protocol, excerpt, parse_address, parse_ports,
};

const MAX_NAME: usize = 80;
const MAX_DESCRIPTION: usize = 140;
const MAX_GROUPS: usize = 10;
const MAX_PREFIXES: usize = 4000;

/// Whether ARM takes a text as the name of a rule.
pub fn is_rule_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

impl NsgRule {
    /// The rule as the body of an ARM request: one value in the singular
    /// field, several in the plural.
    ///
    /// # Errors
    /// [`NsgError`] for what ARM would refuse: a tag or `*` among several
    /// prefixes, host bits, values out of range, text too long.
    pub fn to_arm(&self) -> Result<Value, NsgError> {
        Ok(self.write()?)
    }

    fn write(&self) -> Result<Value, FieldError> {
        let place = format!("rule {}", excerpt(&self.name));
        self.check_texts(&place)?;
        if !(MIN_PRIORITY..=MAX_PRIORITY).contains(&self.priority) {
            return Err(FieldError::OutOfRange {
                place,
                field: "priority".to_owned(),
                value: self.priority.to_string(),
                minimum: MIN_PRIORITY.into(),
                maximum: MAX_PRIORITY.into(),
            });
        }
        let field = "protocol";
        let protocol = canonical_protocol(
            Place {
                rule: &place,
                field,
            },
            &self.protocol,
        )?;
        let mut fields = Map::new();
        fields.insert("access".to_owned(), json!(self.access.arm()));
        if !self.description.is_empty() {
            fields.insert("description".to_owned(), json!(self.description));
        }
        fields.insert("direction".to_owned(), json!(self.direction.arm()));
        fields.insert("priority".to_owned(), json!(self.priority));
        fields.insert("protocol".to_owned(), json!(protocol));
        let sides = [
            (
                "source",
                &self.source_prefixes,
                &self.source_ports,
                &self.source_groups,
            ),
            (
                "destination",
                &self.destination_prefixes,
                &self.destination_ports,
                &self.destination_groups,
            ),
        ];
        for (side, prefixes, ports, groups) in sides {
            write_addresses(&place, side, prefixes, groups, &mut fields)?;
            write_ports(&place, side, ports, &mut fields)?;
        }
        Ok(json!({ "name": self.name, "properties": fields }))
    }

    fn check_texts(&self, place: &str) -> Result<(), FieldError> {
        if !is_rule_name(&self.name) {
            return Err(FieldError::Invalid {
                place: place.to_owned(),
                field: "name".to_owned(),
                value: format!("\"{}\"", excerpt(&self.name)),
                expected: "1 to 80 letters, digits, '.', '_' or '-', \
                           starting with a letter or digit and not ending with '.' or '-'",
            });
        }
        if self.description.chars().count() > MAX_DESCRIPTION {
            return Err(FieldError::OutOfRange {
                place: place.to_owned(),
                field: "length of description".to_owned(),
                value: self.description.chars().count().to_string(),
                minimum: 0,
                maximum: MAX_DESCRIPTION as u32,
            });
        }
        Ok(())
    }
}

impl Nsg {
    /// The custom rules as the `securityRules` of an ARM request that writes
    /// the whole group.
    ///
    /// # Errors
    /// [`NsgError`] as [`NsgRule::to_arm`].
    pub fn rules_to_arm(&self) -> Result<Value, NsgError> {
        let rules: Result<Vec<Value>, NsgError> = self.rules.iter().map(NsgRule::to_arm).collect();
        Ok(Value::Array(rules?))
    }
}

fn write_addresses(
    place: &str,
    side: &str,
    prefixes: &[String],
    groups: &[String],
    fields: &mut Map<String, Value>,
) -> Result<(), FieldError> {
    let one = format!("{side}AddressPrefix");
    let many = format!("{side}AddressPrefixes");
    let group_field = format!("{side}ApplicationSecurityGroups");
    if !prefixes.is_empty() && !groups.is_empty() {
        return Err(FieldError::Contradictory {
            place: place.to_owned(),
            field: one,
            other: group_field,
        });
    }
    check_count(place, &many, prefixes.len(), MAX_PREFIXES)?;
    check_count(place, &group_field, groups.len(), MAX_GROUPS)?;
    for value in prefixes {
        let field = if prefixes.len() == 1 { &one } else { &many };
        let parsed = parse_address(Place { rule: place, field }, value)?;
        let is_range = matches!(&parsed, AddressValue::Addresses(_)) && value.contains('-');
        let is_word = !matches!(parsed, AddressValue::Addresses(_));
        if is_range || (is_word && prefixes.len() > 1) {
            return Err(FieldError::Invalid {
                place: place.to_owned(),
                field: field.clone(),
                value: format!("\"{value}\""),
                expected: if is_range {
                    "an address or a prefix"
                } else {
                    "an address or a prefix; a tag or \"*\" must stand alone"
                },
            });
        }
    }
    match (prefixes, groups) {
        ([], []) => {
            return Err(FieldError::Empty {
                place: place.to_owned(),
                field: many,
            });
        }
        ([], groups) => {
            let ids: Vec<Value> = groups.iter().map(|id| json!({ "id": id })).collect();
            fields.insert(group_field, Value::Array(ids));
        }
        ([single], _) => {
            fields.insert(one, json!(single));
        }
        (several, _) => {
            fields.insert(many, json!(several));
        }
    }
    Ok(())
}

fn write_ports(
    place: &str,
    side: &str,
    ports: &[String],
    fields: &mut Map<String, Value>,
) -> Result<(), FieldError> {
    let one = format!("{side}PortRange");
    let many = format!("{side}PortRanges");
    check_count(place, &many, ports.len(), MAX_PREFIXES)?;
    for value in ports {
        let field = if ports.len() == 1 { &one } else { &many };
        parse_ports(Place { rule: place, field }, value)?;
        if value.trim() == "*" && ports.len() > 1 {
            return Err(FieldError::Invalid {
                place: place.to_owned(),
                field: many,
                value: "\"*\"".to_owned(),
                expected: "a port or a range; \"*\" must stand alone",
            });
        }
    }
    match ports {
        [] => Err(FieldError::Empty {
            place: place.to_owned(),
            field: many,
        }),
        [single] => {
            fields.insert(one, json!(single));
            Ok(())
        }
        several => {
            fields.insert(many, json!(several));
            Ok(())
        }
    }
}

fn check_count(place: &str, field: &str, count: usize, maximum: usize) -> Result<(), FieldError> {
    if count <= maximum {
        return Ok(());
    }
    Err(FieldError::OutOfRange {
        place: place.to_owned(),
        field: format!("number of {field}"),
        value: count.to_string(),
        minimum: 0,
        maximum: maximum as u32,
    })
}
