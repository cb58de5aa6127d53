//! An API server in the virtual network: it dials nodes from its own subnet.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Direction, Effect, Finding, Judgement, NsgRule, Query, TunnelType,
    testing::{self, Estate, Recorded},
};
use serde_json::json;

fn integrated(rules: Vec<serde_json::Value>) -> Estate {
    Estate {
        tunnel: TunnelType::VnetIntegration,
        subnet_rules: rules,
        ..Estate::default()
    }
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<NsgAllowPort>(recorded).unwrap()
}

fn created(recorded: &Recorded) -> Vec<NsgRule> {
    let proposal = testing::plan::<NsgAllowPort>(recorded, "{}").unwrap();
    let steps = proposal.steps.into_iter();
    steps
        .map(|step| match step.effect {
            Effect::NsgRuleCreate(create) => create.rule,
            other => panic!("not a rule to create: {other:?}"),
        })
        .collect()
}

#[test]
fn the_subnet_of_the_api_server_needs_every_node_and_gets_a_rule_for_exactly_that() {
    let deny = Estate::rule("deny-kubelet", "Inbound", 200, "Deny", "10250");
    let recorded = integrated(vec![deny]).record();
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(
        finding.summary.contains("from the API server to nodes"),
        "{}",
        finding.summary
    );
    let [flow] = finding.required_flows.as_slice() else {
        panic!("{:?}", finding.required_flows);
    };
    assert_eq!(flow.source_prefixes, ["10.226.0.0/28"]);
    assert_eq!(flow.destination_prefixes, ["10.224.0.4/31", "10.224.0.6"]);
    let rules = created(&recorded);
    let [rule] = rules.as_slice() else {
        panic!("{rules:?}");
    };
    assert_eq!(rule.direction, Direction::Inbound);
    assert_eq!(rule.source_prefixes, ["10.226.0.0/28"]);
    assert_eq!(rule.destination_prefixes, ["10.224.0.4/31", "10.224.0.6"]);
}

#[test]
fn a_group_on_the_subnet_of_the_api_server_is_judged_on_the_way_out() {
    let deny = Estate::rule("deny-out", "Outbound", 200, "Deny", "10250");
    let recorded = integrated(vec![deny]).record();
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.summary.contains("deny-out"), "{}", finding.summary);
    let rules = created(&recorded);
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert_eq!(rules[0].direction, Direction::Outbound);
}

#[test]
fn what_nodes_send_to_each_other_is_nothing_that_such_a_cluster_needs() {
    let mut deny = Estate::rule("deny-between-nodes", "Inbound", 200, "Deny", "10250");
    deny["properties"]["sourceAddressPrefix"] = json!("10.224.0.0/16");
    let finding = diagnose(&integrated(vec![deny]).record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
}

#[test]
fn where_its_subnet_is_not_known_or_too_large_nothing_is_concluded() {
    let estate = integrated(Vec::new());
    let network = Query::AzureGet(estate.virtual_network_id());
    for (edit, word) in [
        (json!("10.240.0.0/13"), "more addresses"),
        (json!("nonsense"), "no prefix"),
        (json!("fd00::/64"), "no IPv4 prefix"),
    ] {
        let mut recorded = estate.record();
        recorded.edit(&network, |network| {
            let subnets = network["properties"]["subnets"].as_array_mut().unwrap();
            subnets[2]["properties"]["addressPrefix"] = edit.clone();
        });
        let finding = diagnose(&recorded);
        assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
        assert!(finding.summary.contains(word), "{}", finding.summary);
    }
}
