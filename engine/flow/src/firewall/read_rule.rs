//! Reading one firewall rule: classic rules and policy rules name their
//! protocols differently.

use serde_json::{Map, Value};

use super::collection::{FirewallRule, RuleKind};
use crate::field::json::{invalid, missing, object, text, texts};
use crate::field::{FieldError, excerpt};

/// Reads one rule of a collection; network and NAT rules have their protocols
/// in `protocol_field`.
pub(super) fn read_rule(
    collection: &str,
    value: &Value,
    kind: RuleKind,
    protocol_field: &'static str,
) -> Result<FirewallRule, FieldError> {
    let fields = object(collection, "rules", value)?;
    let name = text(collection, "name", fields)?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| missing(collection, "rules[].name"))?;
    let place = format!("rule {} of {collection}", excerpt(&name));
    let list = |field: &str| texts(&place, field, fields);
    let sources = list("sourceAddresses")?;
    let source_ip_groups = list("sourceIpGroups")?;
    if sources.is_empty() && source_ip_groups.is_empty() {
        return Err(missing(&place, "sourceAddresses"));
    }
    let mut rule = FirewallRule {
        kind,
        sources,
        source_ip_groups,
        protocols: Vec::new(),
        destinations: list("destinationAddresses")?,
        destination_ip_groups: list("destinationIpGroups")?,
        destination_names: Vec::new(),
        destination_ports: Vec::new(),
        name,
    };
    if kind == RuleKind::Application {
        read_application(&place, fields, &mut rule)?;
        return Ok(rule);
    }
    rule.protocols = list(protocol_field)?;
    rule.destination_ports = list("destinationPorts")?;
    if rule.protocols.is_empty() {
        return Err(missing(&place, protocol_field));
    }
    if rule.destination_ports.is_empty() {
        return Err(missing(&place, "destinationPorts"));
    }
    rule.destination_names = list("destinationFqdns")?;
    if rule.destinations.is_empty()
        && rule.destination_ip_groups.is_empty()
        && rule.destination_names.is_empty()
    {
        return Err(missing(&place, "destinationAddresses"));
    }
    Ok(rule)
}

/// Application rules match host names on TCP ports.
fn read_application(
    place: &str,
    fields: &Map<String, Value>,
    rule: &mut FirewallRule,
) -> Result<(), FieldError> {
    rule.protocols = vec!["TCP".to_owned()];
    for field in ["targetFqdns", "targetUrls", "fqdnTags", "webCategories"] {
        rule.destination_names.extend(texts(place, field, fields)?);
    }
    let protocols = match fields.get("protocols") {
        Some(Value::Array(protocols)) => protocols.as_slice(),
        None | Some(Value::Null) => &[],
        Some(other) => return Err(invalid(place, "protocols", other, "a list")),
    };
    for protocol in protocols {
        let port = protocol.get("port").and_then(Value::as_u64);
        match port.and_then(|port| u16::try_from(port).ok()) {
            Some(port) => rule.destination_ports.push(port.to_string()),
            None => return Err(invalid(place, "protocols[].port", protocol, "a port")),
        }
    }
    // Rules by FQDN tag carry no protocols: the tag knows its own.
    if rule.destination_ports.is_empty() {
        rule.destination_ports = vec!["80".to_owned(), "443".to_owned()];
    }
    Ok(())
}
