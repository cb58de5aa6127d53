//! What Azure accepts as a security rule.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::super::error::ArmError;

/// Rules one security group can hold.
const RULES_LIMIT: usize = 1_000;
/// Addresses or ranges one side of a rule can hold.
const RANGES_LIMIT: usize = 4_000;
const APPLICATION_GROUPS_LIMIT: usize = 10;
const NAME_LIMIT: usize = 80;
const DESCRIPTION_LIMIT: usize = 140;
const PRIORITIES: std::ops::RangeInclusive<i64> = 100..=4096;
const PROTOCOLS: [&str; 6] = ["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"];

/// Checks and completes the rules of one group.
pub(super) fn normalise_all(rules: &mut [Value]) -> Result<(), ArmError> {
    if rules.len() > RULES_LIMIT {
        return Err(ArmError::invalid(
            "NetworkSecurityGroupRulesLimitReached",
            format!(
                "Number of security rules {} in the network security group exceeds the limit of {RULES_LIMIT}.",
                rules.len()
            ),
        ));
    }
    for rule in rules.iter_mut() {
        normalise(rule)?;
    }
    for (place, rule) in rules.iter().enumerate() {
        let key = |rule: &Value| {
            (
                rule["properties"]["priority"].as_i64(),
                rule["properties"]["direction"].as_str().map(str::to_owned),
            )
        };
        let clash = rules
            .iter()
            .take(place)
            .find(|other| key(other) == key(rule));
        if let Some(other) = clash {
            return Err(ArmError::invalid(
                "SecurityRuleConflict",
                format!(
                    "Security rule {} conflicts with rule {}. Rules cannot have the same Priority and Direction. To learn more, see aka.ms/nsgrules.",
                    rule["name"].as_str().unwrap_or_default(),
                    other["name"].as_str().unwrap_or_default(),
                ),
            ));
        }
    }
    Ok(())
}

fn normalise(rule: &mut Value) -> Result<(), ArmError> {
    let id = rule["id"].as_str().unwrap_or_default().to_owned();
    let name = rule["name"].as_str().unwrap_or_default();
    let name_is_good = name.len() <= NAME_LIMIT
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !name_is_good {
        return Err(ArmError::invalid(
            "InvalidResourceName",
            format!(
                "Resource name {name} is invalid. The name can be up to {NAME_LIMIT} characters long. It must begin with a word character, and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'."
            ),
        ));
    }
    let Some(properties) = rule["properties"].as_object_mut() else {
        return Err(missing(&id, "Protocol"));
    };
    required_choice(properties, &id, "protocol", &PROTOCOLS)?;
    required_choice(properties, &id, "access", &["Allow", "Deny"])?;
    required_choice(properties, &id, "direction", &["Inbound", "Outbound"])?;
    check_priority(properties, &id)?;
    if let Some(description) = properties.get("description").and_then(Value::as_str)
        && description.chars().count() > DESCRIPTION_LIMIT
    {
        return Err(ArmError::invalid(
            "SecurityRuleDescriptionTooLong",
            format!(
                "Security rule {id} has a description of {} characters. The limit is {DESCRIPTION_LIMIT}.",
                description.chars().count()
            ),
        ));
    }
    for side in ["source", "destination"] {
        check_addresses(properties, &id, side)?;
        check_ports(properties, &id, side)?;
    }
    Ok(())
}

fn missing(id: &str, parameter: &str) -> ArmError {
    ArmError::invalid(
        "SecurityRuleParameterMissing",
        format!(
            "Required security rule parameter {parameter} is missing for security rule with Id: {id}."
        ),
    )
}

/// Azure takes these words in any casing and gives them back in its own.
fn required_choice(
    properties: &mut Map<String, Value>,
    id: &str,
    field: &str,
    choices: &[&str],
) -> Result<(), ArmError> {
    let pascal = capitalised(field);
    let Some(given) = properties.get(field).and_then(Value::as_str) else {
        return Err(missing(id, &pascal));
    };
    let Some(choice) = choices
        .iter()
        .find(|choice| choice.eq_ignore_ascii_case(given))
    else {
        return Err(ArmError::invalid(
            &format!("SecurityRuleInvalid{pascal}"),
            format!(
                "Security rule {id} has invalid {pascal}. Value provided: {given}. Allowed values: {}.",
                choices.join(", ")
            ),
        ));
    };
    properties.insert(field.to_owned(), json!(choice));
    Ok(())
}

fn check_priority(properties: &Map<String, Value>, id: &str) -> Result<(), ArmError> {
    let Some(priority) = properties.get("priority").and_then(Value::as_i64) else {
        return Err(missing(id, "Priority"));
    };
    if PRIORITIES.contains(&priority) {
        return Ok(());
    }
    Err(ArmError::invalid(
        "SecurityRuleInvalidPriority",
        format!(
            "Security rule has invalid Priority. Value provided: {priority} Allowed range {}-{}.",
            PRIORITIES.start(),
            PRIORITIES.end()
        ),
    ))
}

fn check_addresses(
    properties: &mut Map<String, Value>,
    id: &str,
    side: &str,
) -> Result<(), ArmError> {
    let singular = format!("{side}AddressPrefix");
    let plural = format!("{side}AddressPrefixes");
    let groups = format!("{side}ApplicationSecurityGroups");
    let side = capitalised(side);
    let one = text(properties, &singular).map(str::to_owned);
    let many = list(properties, &plural);
    let group_count = properties
        .get(&groups)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if one.is_none() && many.is_empty() && group_count == 0 {
        return Err(ArmError::invalid(
            "SecurityRuleParametersMissing",
            format!(
                "Required security rule parameters are missing for security rule with Id: {id}. Security rule must specify {side}AddressPrefixes, {side}AddressPrefix, or {side}ApplicationSecurityGroups."
            ),
        ));
    }
    if group_count > APPLICATION_GROUPS_LIMIT || many.len() > RANGES_LIMIT {
        return Err(ArmError::invalid(
            "SecurityRuleTooManyAddressPrefixes",
            format!("Security rule {id} has too many values in {side}."),
        ));
    }
    if let Some(prefix) = &one
        && !is_tag(prefix)
    {
        check_prefix(id, prefix)?;
    }
    for prefix in &many {
        if is_tag(prefix) {
            return Err(ArmError::invalid(
                "SecurityRuleParameterContainsUnsupportedValue",
                format!(
                    "Security rule parameter {side}AddressPrefix for rule with Id {id} cannot specify existing VIRTUALNETWORK, INTERNET, AZURELOADBALANCER, '*' or system tags. Unsupported value used: {prefix}."
                ),
            ));
        }
        check_prefix(id, prefix)?;
    }
    if group_count == 0 {
        properties.remove(&groups);
    }
    settle(properties, &singular, &plural, one, many);
    Ok(())
}

/// `*` and the names of tags; what starts like an address is none.
fn is_tag(prefix: &str) -> bool {
    prefix == "*"
        || (prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && !prefix.contains(':'))
}

fn check_prefix(id: &str, prefix: &str) -> Result<(), ArmError> {
    let is_address = prefix.parse::<std::net::IpAddr>().is_ok();
    let is_network = prefix
        .parse::<IpNet>()
        .is_ok_and(|network| network.addr() == network.network());
    if is_address || is_network {
        return Ok(());
    }
    Err(ArmError::invalid(
        "SecurityRuleInvalidAddressPrefix",
        format!("Security rule {id} has invalid Address prefix. Value provided: {prefix}"),
    ))
}

fn check_ports(properties: &mut Map<String, Value>, id: &str, side: &str) -> Result<(), ArmError> {
    let singular = format!("{side}PortRange");
    let plural = format!("{side}PortRanges");
    let side = capitalised(side);
    let one = text(properties, &singular).map(str::to_owned);
    let many = list(properties, &plural);
    if one.is_none() && many.is_empty() {
        return Err(ArmError::invalid(
            "SecurityRuleParametersMissing",
            format!(
                "Required security rule parameters are missing for security rule with Id: {id}. Security rule must specify {side}PortRanges or {side}PortRange."
            ),
        ));
    }
    if let Some(range) = &one
        && range != "*"
    {
        check_port_range(range)?;
    }
    for range in &many {
        check_port_range(range)?;
    }
    settle(properties, &singular, &plural, one, many);
    Ok(())
}

fn check_port_range(range: &str) -> Result<(), ArmError> {
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let bounds = (low.trim().parse::<u16>(), high.trim().parse::<u16>());
    if let (Ok(low), Ok(high)) = bounds
        && low <= high
    {
        return Ok(());
    }
    Err(ArmError::invalid(
        "SecurityRuleInvalidPortRange",
        format!(
            "Security rule has invalid Port range. Value provided: {range}. Value should be an integer OR integer range with '-' delimiter. Valid range 0-65535."
        ),
    ))
}

/// Azure gives the plural array back always, and the singular field only when
/// it was used.
fn settle(
    properties: &mut Map<String, Value>,
    singular: &str,
    plural: &str,
    one: Option<String>,
    many: Vec<String>,
) {
    match one {
        Some(one) if many.is_empty() => {
            properties.insert(singular.to_owned(), json!(one));
        }
        _ => {
            properties.remove(singular);
        }
    }
    properties.insert(plural.to_owned(), json!(many));
}

fn text<'a>(properties: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    properties
        .get(field)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty())
}

fn list(properties: &Map<String, Value>, field: &str) -> Vec<String> {
    properties
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(change: impl FnOnce(&mut Value)) -> Value {
        let mut rule = json!({ "name": "r", "id": "/nsg/securityRules/r", "properties": {
            "protocol": "tcp", "access": "allow", "direction": "inbound", "priority": 100,
            "sourceAddressPrefix": "10.0.0.0/8", "destinationAddressPrefix": "*",
            "sourcePortRange": "*", "destinationPortRange": "10250",
        }});
        change(&mut rule);
        rule
    }

    fn code(rules: &mut [Value]) -> String {
        normalise_all(rules).unwrap_err().code
    }

    #[test]
    fn a_good_rule_comes_back_in_azures_casing_with_empty_plurals() {
        let mut rules = [rule(|_| {})];
        normalise_all(&mut rules).unwrap();
        let properties = &rules[0]["properties"];
        assert_eq!(properties["protocol"], "Tcp");
        assert_eq!(properties["direction"], "Inbound");
        assert_eq!(properties["sourceAddressPrefixes"], json!([]));
        assert_eq!(properties["sourceAddressPrefix"], "10.0.0.0/8");
    }

    #[test]
    fn each_bad_value_is_refused_with_azures_code() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (
                |r| r["properties"]["priority"] = json!(99),
                "SecurityRuleInvalidPriority",
            ),
            (
                |r| r["properties"]["priority"] = json!(4097),
                "SecurityRuleInvalidPriority",
            ),
            (
                |r| r["properties"]["priority"] = Value::Null,
                "SecurityRuleParameterMissing",
            ),
            (
                |r| r["properties"]["access"] = Value::Null,
                "SecurityRuleParameterMissing",
            ),
            (
                |r| r["properties"]["protocol"] = json!("sctp"),
                "SecurityRuleInvalidProtocol",
            ),
            (
                |r| r["properties"]["sourceAddressPrefix"] = json!("10.0.0.1/8"),
                "SecurityRuleInvalidAddressPrefix",
            ),
            (
                |r| {
                    r["properties"]["sourceAddressPrefix"] = Value::Null;
                    r["properties"]["sourceAddressPrefixes"] = json!(["10.0.0.0/8", "Internet"]);
                },
                "SecurityRuleParameterContainsUnsupportedValue",
            ),
            (
                |r| r["properties"]["sourceAddressPrefix"] = Value::Null,
                "SecurityRuleParametersMissing",
            ),
            (
                |r| r["properties"]["destinationPortRange"] = json!("636, 389"),
                "SecurityRuleInvalidPortRange",
            ),
            (|r| r["name"] = json!("x".repeat(81)), "InvalidResourceName"),
            (
                |r| r["properties"]["description"] = json!("x".repeat(141)),
                "SecurityRuleDescriptionTooLong",
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(&code(&mut [rule(change)]), expected);
        }
    }

    #[test]
    fn two_rules_of_one_direction_cannot_share_a_priority() {
        let mut same = [rule(|_| {}), rule(|r| r["name"] = json!("s"))];
        assert_eq!(code(&mut same), "SecurityRuleConflict");
        let mut other_direction = [
            rule(|_| {}),
            rule(|r| {
                r["name"] = json!("s");
                r["properties"]["direction"] = json!("Outbound");
            }),
        ];
        assert!(normalise_all(&mut other_direction).is_ok());
    }
}
