//! Security admin rules before the groups.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Finding, Judgement, PluginError, Proposal, Query, Reads,
    testing::{self, Estate, Recorded},
};
use serde_json::{Value, json};

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<NsgAllowPort>(recorded).unwrap()
}

fn plan(recorded: &Recorded) -> Result<Proposal, PluginError> {
    testing::plan::<NsgAllowPort>(recorded, "{}")
}

fn blocked_subnet() -> Estate {
    Estate {
        subnet_rules: vec![Estate::rule(
            "deny-kubelet",
            "Inbound",
            200,
            "Deny",
            "10250",
        )],
        ..Estate::default()
    }
}

fn denying_admin_rule(direction: &str, port: &str) -> Value {
    Estate::admin_rule("deny", direction, 10, "Deny", port)
}

#[test]
fn an_admin_rule_that_denies_is_confirmed_and_no_rule_of_a_group_is_planned() {
    for direction in ["Inbound", "Outbound"] {
        // Also where a group denies it as well.
        for estate in [Estate::default(), blocked_subnet()] {
            let estate = Estate {
                admin_rules: Some(vec![denying_admin_rule(direction, "10000-11000")]),
                ..estate
            };
            let finding = diagnose(&estate.record());
            assert_eq!(finding.judgement, Judgement::Confirmed, "{direction}");
            assert!(
                finding
                    .summary
                    .contains("security admin rule baseline/deny (priority 10"),
                "{}",
                finding.summary
            );
            let evidence = finding
                .evidence
                .iter()
                .find(|e| e.field == "value[baseline/deny]")
                .unwrap();
            assert!(evidence.meaning.contains("TCP 10250"), "{evidence:?}");
            assert!(finding.infeasible.unwrap().contains("network manager"));
            let refused = plan(&estate.record()).unwrap_err();
            assert!(
                matches!(&refused, PluginError::Infeasible(why) if why.contains("baseline/deny")),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn an_admin_rule_that_denies_the_way_out_is_confirmed_even_without_a_group() {
    let estate = Estate {
        nodes: 1,
        admin_rules: Some(vec![denying_admin_rule("Outbound", "443")]),
        ..Estate::default()
    };
    let mut recorded = estate.record();
    let network = Query::AzureGet(estate.virtual_network_id());
    let mut body: Value = serde_json::from_str(&recorded.read(&network).unwrap().body).unwrap();
    for subnet in body["properties"]["subnets"].as_array_mut().unwrap() {
        subnet["properties"]["networkSecurityGroup"] = Value::Null;
    }
    recorded.put(network, body);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(
        finding.summary.starts_with("TCP 443 from the agents"),
        "{}",
        finding.summary
    );
}

#[test]
fn what_an_admin_rule_always_allows_no_group_denies() {
    let always = Estate::admin_rule("always", "Inbound", 10, "AlwaysAllow", "10250");
    let mut estate = blocked_subnet();
    estate.admin_rules = Some(vec![always]);
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    assert!(
        finding
            .summary
            .contains("baseline/always (priority 10, Inbound) of network manager hub"),
        "{}",
        finding.summary
    );
    let fields: Vec<&str> = finding.evidence.iter().map(|e| e.field.as_str()).collect();
    assert!(fields.contains(&"value[baseline/always]"), "{fields:?}");
    assert!(matches!(
        plan(&estate.record()),
        Err(PluginError::NothingToDo(_))
    ));
}

#[test]
fn what_an_admin_rule_hands_on_is_the_groups_to_decide() {
    let mut estate = blocked_subnet();
    estate.admin_rules = Some(vec![
        Estate::admin_rule("leave", "Inbound", 10, "Allow", "10250"),
        Estate::admin_rule("deny", "Inbound", 20, "Deny", "1-65535"),
    ]);
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(
        finding.summary.contains("rule deny-kubelet (priority 200"),
        "{}",
        finding.summary
    );
    assert_eq!(finding.infeasible, None);
    assert_eq!(plan(&estate.record()).unwrap().steps.len(), 1);
}

#[test]
fn admin_rules_that_may_not_be_read_leave_a_doubt_that_is_told() {
    let unread = |estate: Estate| Estate {
        admin_rules: None,
        ..estate
    };
    let recorded = unread(blocked_subnet()).record();
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Suspected);
    for words in ["deny-kubelet", "network vnet", "takes the permission"] {
        assert!(finding.summary.contains(words), "{}", finding.summary);
    }
    assert_eq!(plan(&recorded).unwrap().steps.len(), 1);

    let recorded = unread(Estate::default()).record();
    let open = diagnose(&recorded);
    assert_eq!(open.judgement, Judgement::Unknown, "{}", open.summary);
    assert!(
        open.summary.contains("security admin rules"),
        "{}",
        open.summary
    );
    // The doubt was there before; it does not keep a fix from being one.
    let verdict = testing::verify::<NsgAllowPort>(&recorded).unwrap();
    assert!(verdict.mended, "{}", verdict.summary);
    assert!(
        verdict.summary.starts_with("No security group blocks it; "),
        "{}",
        verdict.summary
    );
}

#[test]
fn rules_of_one_priority_that_disagree_are_named_once() {
    let estate = Estate {
        admin_rules: Some(vec![
            denying_admin_rule("Inbound", "1-20000"),
            Estate::admin_rule("always", "Inbound", 10, "AlwaysAllow", "443"),
        ]),
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert_eq!(
        finding.summary.matches("baseline/deny").count(),
        1,
        "{}",
        finding.summary
    );
}

#[test]
fn an_admin_rule_of_a_tag_that_is_not_known_makes_it_unknown_with_the_tag_named() {
    let mut rule = denying_admin_rule("Inbound", "10250");
    rule["properties"]["sources"] =
        json!([{ "addressPrefix": "Storage", "addressPrefixType": "ServiceTag" }]);
    let estate = Estate {
        admin_rules: Some(vec![rule]),
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.to_lowercase().contains("storage"),
        "{}",
        finding.summary
    );
}
