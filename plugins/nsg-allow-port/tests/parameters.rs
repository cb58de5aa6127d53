//! Parameters that a person gets wrong, and names that somebody else gave.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    PluginError, Proposal,
    testing::{self, Estate},
};
use serde_json::{Value, json};

fn plan(rule: &str, parameters: &Value) -> Result<Proposal, PluginError> {
    let estate = Estate {
        subnet_rules: vec![Estate::rule(rule, "Inbound", 200, "Deny", "10250")],
        ..Estate::default()
    };
    testing::plan::<NsgAllowPort>(&estate.record(), &parameters.to_string())
}

fn refused(parameters: Value) -> String {
    match plan("deny-kubelet", &parameters) {
        Err(PluginError::InvalidParameter(message)) => message,
        other => panic!("{parameters}: {other:?}"),
    }
}

#[test]
fn a_wrong_parameter_is_named_with_its_value_and_what_it_may_be() {
    for (name, value) in [
        ("rule_name", json!("a/b<>")),
        ("rule_name", json!("")),
        ("rule_name", json!("-a")),
        ("rule_name", json!("a.")),
        ("rule_name", json!("x".repeat(72))),
    ] {
        let message = refused(json!({ name: value }));
        assert!(
            message.starts_with(&format!("rule_name is {value}; ")),
            "{message}"
        );
        assert!(message.contains("1 to 71"), "{message}");
    }
    for priority in [
        json!(99_999),
        json!(99),
        json!(-1),
        json!(4_097),
        json!(u64::MAX),
    ] {
        let message = refused(json!({ "priority": priority }));
        assert_eq!(message, format!("priority is {priority}; give 100 to 4096"));
    }
    assert_eq!(
        refused(json!({ "scope": "world" })),
        r#"scope is "world"; give "addresses" or "subnet""#
    );
    plan("deny-kubelet", &json!({ "rule_name": "x".repeat(71) })).unwrap();
}

#[test]
fn a_hostile_rule_name_is_shown_in_the_title_and_does_not_keep_its_fix_away() {
    let proposal = plan("deny\u{1b}[2J\r\nState  APPROVED", &json!({})).unwrap();
    let title = &proposal.steps[0].title;
    assert!(!title.chars().any(char::is_control), "{title:?}");
    assert!(
        title.contains(r"before deny\u{1b}[2J\u{d}\u{a}State"),
        "{title}"
    );
}
