//! What ARM returns is read; what it never returns is refused by name.

use serde_json::{Value, json};

use crate::nsg::{Access, Direction, Nsg, NsgError, NsgRule, Side, TagContext, default_rules};

fn rule(changes: &[(&str, Value)]) -> Value {
    let mut rule = json!({
        "name": "allow-kubelet",
        "id": "/subscriptions/s/…/securityRules/allow-kubelet",
        "etag": "W/\"1\"",
        "properties": {
            "provisioningState": "Succeeded",
            "protocol": "Tcp",
            "sourcePortRange": "*",
            "destinationPortRange": "10250",
            "sourceAddressPrefix": "10.224.0.0/16",
            "destinationAddressPrefix": "10.224.0.0/16",
            "access": "Allow",
            "priority": 200,
            "direction": "Inbound",
            "sourcePortRanges": [],
            "destinationPortRanges": [],
            "sourceAddressPrefixes": [],
            "destinationAddressPrefixes": []
        }
    });
    for (field, value) in changes {
        rule["properties"][*field] = value.clone();
    }
    rule
}

fn group(rules: Vec<Value>) -> Value {
    json!({
        "name": "aks-nsg",
        "etag": "W/\"7\"",
        "properties": { "securityRules": rules, "defaultSecurityRules": [] }
    })
}

fn refused(changes: &[(&str, Value)]) -> NsgError {
    Nsg::from_arm(&group(vec![rule(changes)])).unwrap_err()
}

#[test]
fn empty_plural_lists_beside_singular_fields_are_read_as_arm_means_them() {
    let group = Nsg::from_arm(&group(vec![rule(&[])])).unwrap();
    let read = &group.rules[0];
    assert_eq!(read.name, "allow-kubelet");
    assert_eq!((read.priority, read.direction), (200, Direction::Inbound));
    assert_eq!(
        (read.access, read.protocol.as_str()),
        (Access::Allow, "Tcp")
    );
    assert_eq!(read.source_prefixes, ["10.224.0.0/16"]);
    assert_eq!(read.destination_ports, ["10250"]);
    assert_eq!(group.default_rules.len(), 6);
}

#[test]
fn plural_fields_and_any_case_of_enums_are_read() {
    let read = NsgRule::from_arm(&rule(&[
        ("sourceAddressPrefix", json!("")),
        ("sourceAddressPrefixes", json!(["10.0.0.0/8", "fd00::/8"])),
        ("destinationPortRange", Value::Null),
        ("destinationPortRanges", json!(["443", "10250-10255"])),
        ("access", json!("DENY")),
        ("direction", json!("outbound")),
        ("protocol", json!("TCP")),
    ]))
    .unwrap();
    assert_eq!(read.source_prefixes, ["10.0.0.0/8", "fd00::/8"]);
    assert_eq!(read.destination_ports, ["443", "10250-10255"]);
    assert_eq!(
        (read.access, read.direction),
        (Access::Deny, Direction::Outbound)
    );
    assert_eq!(read.protocol, "Tcp");
}

#[test]
fn a_rule_survives_being_written_and_read_again() {
    let groups = json!([{ "id": "/subscriptions/s/…/applicationSecurityGroups/web" }]);
    for changes in [
        vec![],
        vec![
            ("sourceAddressPrefix", Value::Null),
            ("sourceAddressPrefixes", json!(["10.0.0.0/8", "11.0.0.0/8"])),
        ],
        vec![
            ("sourceAddressPrefix", Value::Null),
            ("sourceApplicationSecurityGroups", groups),
        ],
        vec![("sourceAddressPrefix", json!("VirtualNetwork"))],
    ] {
        let read = NsgRule::from_arm(&rule(&changes)).unwrap();
        let written = read.to_arm().unwrap();
        assert_eq!(NsgRule::from_arm(&written).unwrap(), read);
        assert!(
            written["properties"]
                .get("sourceAddressPrefixes")
                .is_none_or(|prefixes| prefixes.as_array().is_some_and(|list| list.len() > 1))
        );
    }
}

#[test]
fn every_bad_field_is_refused_with_its_code_rule_and_field() {
    let cases: Vec<(NsgError, &str, &str)> = vec![
        (
            refused(&[("priority", json!(99))]),
            "field_value_out_of_range",
            "priority",
        ),
        (
            refused(&[("priority", json!(70_000))]),
            "field_value_out_of_range",
            "priority",
        ),
        (
            refused(&[("priority", json!(100.5))]),
            "field_value_out_of_range",
            "priority",
        ),
        (
            refused(&[("priority", Value::Null)]),
            "field_missing",
            "priority",
        ),
        (
            refused(&[("priority", json!("200"))]),
            "field_value_invalid",
            "priority",
        ),
        (
            refused(&[("access", json!("Maybe"))]),
            "field_value_invalid",
            "access",
        ),
        (
            refused(&[("protocol", json!("Gre"))]),
            "field_value_invalid",
            "protocol",
        ),
        (
            refused(&[("direction", Value::Null)]),
            "field_missing",
            "direction",
        ),
        (
            refused(&[("destinationPortRange", json!("65536"))]),
            "field_value_out_of_range",
            "destinationPortRange",
        ),
        (
            refused(&[("destinationPortRange", json!("20-10"))]),
            "field_value_invalid",
            "destinationPortRange",
        ),
        (
            refused(&[("destinationPortRange", json!("http"))]),
            "field_value_invalid",
            "destinationPortRange",
        ),
        (
            refused(&[("sourceAddressPrefix", json!("10.0.0.1/8"))]),
            "prefix_has_host_bits",
            "sourceAddressPrefix",
        ),
        (
            refused(&[("sourceAddressPrefix", json!("010.224.0.0/16"))]),
            "field_value_invalid",
            "sourceAddressPrefix",
        ),
        (
            refused(&[("sourceAddressPrefix", json!("10.0.0.0/33"))]),
            "field_value_invalid",
            "sourceAddressPrefix",
        ),
        (
            refused(&[("sourceAddressPrefix", json!("x".repeat(1_000_000)))]),
            "field_value_out_of_range",
            "sourceAddressPrefix",
        ),
        (
            refused(&[("sourceAddressPrefixes", json!(["10.0.0.0/8"]))]),
            "fields_contradict",
            "sourceAddressPrefix",
        ),
        (
            refused(&[("sourceApplicationSecurityGroups", json!([{ "id": "/a" }]))]),
            "fields_contradict",
            "sourceApplicationSecurityGroups",
        ),
        (
            refused(&[("sourceAddressPrefix", Value::Null)]),
            "field_empty",
            "sourceAddressPrefixes",
        ),
        (
            refused(&[
                ("destinationPortRanges", json!([1])),
                ("destinationPortRange", json!("")),
            ]),
            "field_value_invalid",
            "destinationPortRanges",
        ),
    ];
    for (error, code, field) in cases {
        assert_eq!(error.code(), code, "{error}");
        let message = error.to_string();
        assert!(message.contains("rule allow-kubelet"), "{message}");
        assert!(message.contains(field), "{message}");
        assert!(message.len() < 400, "{message}");
    }
}

#[test]
fn groups_that_are_not_whole_are_refused() {
    let code = |text: &str| Nsg::from_arm_json(text).unwrap_err().code();
    assert_eq!(code("{"), "resource_json_invalid");
    assert_eq!(code("[]"), "field_value_invalid");
    // A reference to a group, as a subnet holds it, says nothing about rules.
    assert_eq!(code(r#"{"id": "/subscriptions/s"}"#), "field_missing");
    assert_eq!(code(r#"{"name": "n", "properties": {}}"#), "field_missing");
    assert_eq!(
        code(r#"{"properties": {"securityRules": {}}}"#),
        "field_value_invalid"
    );
}

#[test]
fn default_rules_of_which_some_are_missing_are_refused_by_name() {
    let written = |rules: &[NsgRule]| -> Vec<Value> {
        let of_rule = |rule: &NsgRule| {
            let mut written = NsgRule {
                priority: 4_000,
                ..rule.clone()
            }
            .to_arm()
            .unwrap();
            written["properties"]["priority"] = json!(rule.priority);
            written
        };
        rules.iter().map(of_rule).collect()
    };
    let rules = default_rules();
    let mut whole = group(vec![rule(&[])]);
    whole["properties"]["defaultSecurityRules"] = written(&rules).into();
    assert_eq!(Nsg::from_arm(&whole).unwrap().default_rules, rules);
    for (at, missing) in rules.iter().enumerate() {
        let mut rest = rules.clone();
        rest.remove(at);
        whole["properties"]["defaultSecurityRules"] = written(&rest).into();
        let error = Nsg::from_arm(&whole).unwrap_err();
        assert_eq!(error.code(), "field_missing");
        assert!(error.to_string().contains(&missing.name), "{error}");
    }
}

#[test]
fn a_field_given_twice_is_refused_by_name_and_line() {
    let text = group(vec![rule(&[])]).to_string();
    let twice = text.replace(
        r#""access":"Allow""#,
        "\"access\":\"Allow\",\n\"access\":\"Deny\"",
    );
    assert_ne!(text, twice);
    let error = Nsg::from_arm_json(&twice).unwrap_err();
    assert_eq!(error.code(), "field_repeated");
    assert_eq!(
        error.to_string(),
        "line 2 column 8: access is given twice; keep one of them"
    );
    assert!(Nsg::from_arm_json(&text).is_ok());
}

#[test]
fn a_million_characters_are_refused_in_a_short_message() {
    let long = "x".repeat(1_000_000);
    let deep = "[".repeat(1_000_000);
    let whole = group(vec![rule(&[])]).to_string();
    let bodies = [
        long.clone(),
        deep,
        format!("\"{long}\""),
        format!("{{\"{long}\": 1, \"{long}\": 1}}"),
        whole.replace("allow-kubelet", &format!("{long}\"")),
        whole.replace("allow-kubelet", &long),
        whole.replace("aks-nsg", &long),
        whole.replace("Allow", &long),
        whole.replace("Inbound", &long),
        whole.replace("Tcp", &long),
        whole.replace("10250", &"9".repeat(1_000_000)),
    ];
    for body in bodies {
        assert!(body.len() >= 1_000_000);
        let message = Nsg::from_arm_json(&body).unwrap_err().to_string();
        assert!(message.chars().count() < 400, "{}", message.len());
    }
}

#[test]
fn service_tags_without_prefixes_are_unknown_and_host_bits_are_refused() {
    let list = |prefixes: Value| {
        let list = json!({ "values": [
            { "name": "Storage", "properties": { "addressPrefixes": prefixes } }
        ] });
        TagContext::new().with_service_tags(&list)
    };
    let tags = list(json!([])).unwrap();
    let (known, unknown) = tags.tag("storage", Side::Source).parts();
    assert!(known.is_empty());
    assert_eq!(
        unknown.unwrap().atom.reason,
        "the service tag list has no prefix of Storage"
    );
    let error = list(json!(["20.0.0.0/8", "20.0.0.1/8"])).unwrap_err();
    assert_eq!(error.code(), "prefix_has_host_bits");
    let message = error.to_string();
    assert!(message.contains("service tag Storage"), "{message}");
    assert!(message.contains("write 20.0.0.0/8"), "{message}");
}

#[test]
fn whether_connections_are_flushed_is_read_and_must_be_a_truth_value() {
    let with = |value: Value| {
        let mut group = group(vec![rule(&[])]);
        group["properties"]["flushConnection"] = value;
        Nsg::from_arm(&group)
    };
    assert!(with(json!(true)).unwrap().flush_connection);
    assert!(!with(json!(false)).unwrap().flush_connection);
    assert!(!with(Value::Null).unwrap().flush_connection);
    let error = with(json!("yes")).unwrap_err();
    assert_eq!(error.code(), "field_value_invalid");
    assert!(error.to_string().contains("flushConnection"), "{error}");
}

#[test]
fn two_rules_of_one_direction_and_priority_are_refused_but_not_of_two_directions() {
    let mut second = rule(&[]);
    second["name"] = json!("other");
    let error = Nsg::from_arm(&group(vec![rule(&[]), second.clone()])).unwrap_err();
    assert_eq!(error.code(), "nsg_priority_duplicate");
    assert!(error.to_string().contains("allow-kubelet and other"));
    second["properties"]["direction"] = json!("Outbound");
    assert!(Nsg::from_arm(&group(vec![rule(&[]), second])).is_ok());
}

#[test]
fn two_rules_of_one_name_are_refused_whatever_its_case() {
    let mut second = rule(&[("priority", json!(300))]);
    second["name"] = json!("ALLOW-kubelet");
    let error = Nsg::from_arm(&group(vec![rule(&[]), second])).unwrap_err();
    assert_eq!(error.code(), "nsg_name_duplicate");
}

#[test]
fn what_arm_would_refuse_is_not_written() {
    let read = NsgRule::from_arm(&rule(&[])).unwrap();
    let code = |change: &dyn Fn(&mut NsgRule)| {
        let mut rule = read.clone();
        change(&mut rule);
        rule.to_arm().unwrap_err().code()
    };
    let several = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        code(&|rule| rule.source_prefixes = several(&["10.0.0.0/8", "VirtualNetwork"])),
        "field_value_invalid"
    );
    assert_eq!(
        code(&|rule| rule.source_prefixes = several(&["10.0.0.0/8", "*"])),
        "field_value_invalid"
    );
    assert_eq!(
        code(&|rule| rule.source_prefixes = several(&["10.0.0.1/8"])),
        "prefix_has_host_bits"
    );
    assert_eq!(code(&|rule| rule.source_prefixes.clear()), "field_empty");
    assert_eq!(code(&|rule| rule.destination_ports.clear()), "field_empty");
    assert_eq!(
        code(&|rule| rule.description = "x".repeat(141)),
        "field_value_out_of_range"
    );
    assert_eq!(
        code(&|rule| rule.name = "-x".to_owned()),
        "field_value_invalid"
    );
    assert_eq!(
        code(&|rule| rule.priority = 4097),
        "field_value_out_of_range"
    );
}
