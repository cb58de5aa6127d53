//! An API server in the virtual network: it dials nodes from its own subnet.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Direction, Effect, Finding, Judgement, NsgRule, Query, TunnelType,
    kubernetes::all_nodes,
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

#[test]
fn many_prefixes_count_together_and_the_field_that_tells_them_is_named() {
    let estate = integrated(Vec::new());
    let network = Query::AzureGet(estate.virtual_network_id());
    let with = |prefixes: &[&str]| {
        let mut recorded = estate.record();
        recorded.edit(&network, |network| {
            let subnets = network["properties"]["subnets"].as_array_mut().unwrap();
            subnets[2]["properties"]["addressPrefix"] = json!(null);
            subnets[2]["properties"]["addressPrefixes"] = json!(prefixes);
        });
        diagnose(&recorded)
    };
    let field = |finding: &Finding| {
        let mut evidence = finding.evidence.iter();
        let of_subnet = evidence.find(|e| e.meaning.contains("dials nodes from"));
        of_subnet.unwrap().field.clone()
    };
    let whole = with(&["10.226.0.0/23", "10.227.0.0/23"]);
    assert_eq!(whole.judgement, Judgement::RuledOut, "{}", whole.summary);
    assert_eq!(field(&whole), "properties.addressPrefixes");
    let one = diagnose(&estate.record());
    assert_eq!(field(&one), "properties.addressPrefix");
    let more = with(&["10.226.0.0/23", "10.227.0.0/23", "10.228.0.0/32"]);
    assert_eq!(more.judgement, Judgement::Unknown, "{}", more.summary);
    assert!(more.summary.contains("more addresses"), "{}", more.summary);
}

#[test]
fn virtual_nodes_alone_have_no_group_on_the_way_of_an_api_server() {
    let mut recorded = integrated(Vec::new()).record();
    recorded.edit(&all_nodes(), |nodes| {
        for node in nodes.as_array_mut().unwrap() {
            node["metadata"]["labels"]["type"] = json!("virtual-kubelet");
            node["status"]["addresses"][0]["address"] = json!("10.241.0.4");
        }
    });
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::RuledOut);
    assert!(
        finding
            .summary
            .starts_with("No node has a network interface"),
        "{}",
        finding.summary
    );
}

#[test]
fn nodes_of_another_address_family_than_its_subnet_are_not_ruled_out() {
    let mut recorded = integrated(Vec::new()).record();
    let interfaces = recorded
        .0
        .iter()
        .map(|(query, _)| query.clone())
        .find(
            |query| matches!(query, Query::AzureList(list) if list.ends_with("/networkInterfaces")),
        )
        .unwrap();
    recorded.edit(&all_nodes(), |nodes| {
        nodes[1]["status"]["addresses"][0]["address"] = json!("fd00:224::5");
    });
    recorded.edit(&interfaces, |interfaces| {
        let address = &mut interfaces[1]["properties"]["ipConfigurations"][0]["properties"];
        address["privateIPAddress"] = json!("fd00:224::5");
    });
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    assert!(
        finding.summary.contains("dial fd00:224::5 is not known"),
        "{}",
        finding.summary
    );
}
