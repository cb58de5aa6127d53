//! A cluster whose nodes have IPv6 addresses: the rules of ip6tables decide.

use naosu_iptables_delete_rule::IptablesDeleteRule;
use naosu_plugin::{
    Effect, Finding, IpFamily, IptablesBackend, IptablesRuleEffect, Judgement, NodeObservation,
    NodeQuery, Plugin, PluginError, Query, TunnelType,
    kubernetes::{all_nodes, system_pods},
    testing::{self, Estate, Recorded},
};
use serde_json::json;

const PASS: &str = "-A INPUT -p ipv6-icmp -j ACCEPT\n";
const DROP: &str = "-A INPUT -s fd00:224::/64 -p tcp -m tcp --dport 10250 -j DROP\n";

fn dump(rules: &str) -> String {
    format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         :HARDENING - [0:0]\n{rules}COMMIT\n"
    )
}

fn address(node: u32) -> String {
    format!("fd00:224::{}", node + 4)
}

fn ruleset_of(node: u32) -> Query {
    Query::Node(NodeQuery {
        node: Estate::node_name(node),
        what: NodeObservation::FirewallRuleset,
    })
}

/// Rules of node 1 in one of its rulesets; no other has any.
fn put(recorded: &mut Recorded, ruleset: &str, rules: &str) {
    recorded.put(ruleset_of(1), json!({ ruleset: dump(rules) }));
}

fn with_addresses(estate: &Estate) -> Recorded {
    let mut recorded = estate.record();
    recorded.edit(&all_nodes(), |nodes| {
        for (index, node) in nodes.as_array_mut().unwrap().iter_mut().enumerate() {
            let address = address(u32::try_from(index).unwrap());
            node["status"]["addresses"][0]["address"] = json!(address);
        }
    });
    recorded
}

fn recorded(ruleset: &str, rules: &str) -> Recorded {
    let mut recorded = with_addresses(&Estate::default());
    for selector in ["app=konnectivity-agent", "component=tunnel"] {
        recorded.edit(&system_pods(selector), |pods| {
            pods[0]["status"]["podIP"] = json!("fd00:244::7");
            pods[0]["status"]["hostIP"] = json!(address(0));
        });
    }
    for node in [0, 2] {
        recorded.put(ruleset_of(node), json!({ "ipv6_nft": dump("") }));
    }
    put(&mut recorded, ruleset, rules);
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<IptablesDeleteRule>(recorded).unwrap()
}

fn deletion(effect: &Effect) -> &IptablesRuleEffect {
    match effect {
        Effect::IptablesRuleDelete(rule) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_drop_of_ip6tables_is_confirmed_deleted_and_confirmed_again_once_it_is_back() {
    for (ruleset, backend) in [
        ("ipv6_nft", IptablesBackend::Nft),
        ("ipv6_legacy", IptablesBackend::Legacy),
    ] {
        let mut recorded = recorded(ruleset, &format!("{PASS}{DROP}"));
        let finding = diagnose(&recorded);
        assert_eq!(
            finding.judgement,
            Judgement::Confirmed,
            "{}",
            finding.summary
        );
        let flow = &finding.required_flows[0];
        assert_eq!(flow.source_prefixes, ["fd00:224::4"]);
        assert_eq!(flow.destination_prefixes, ["fd00:224::5"]);
        let proposal = testing::plan::<IptablesDeleteRule>(&recorded, "{}").unwrap();
        let [step] = proposal.steps.as_slice() else {
            panic!("{proposal:?}");
        };
        assert!(step.title.contains("(ip6tables)"), "{}", step.title);
        let rule = deletion(&step.effect);
        assert_eq!(rule.node, Estate::node_name(1));
        assert_eq!(
            (
                rule.family,
                rule.backend,
                rule.chain.as_str(),
                rule.position
            ),
            (IpFamily::Ipv6, backend, "INPUT", 2)
        );
        assert!(DROP.contains(&rule.specification), "{}", rule.specification);
        // Deleted, then inserted again where it was.
        let cluster = Estate::cluster();
        let mended = |recorded: &Recorded| {
            IptablesDeleteRule::verify(recorded, &cluster, &finding, &proposal.steps)
                .unwrap()
                .mended
        };
        assert!(!mended(&recorded));
        put(&mut recorded, ruleset, PASS);
        assert!(mended(&recorded));
        assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
        put(
            &mut recorded,
            ruleset,
            &format!("{PASS}-A INPUT {}\n", rule.specification),
        );
        assert!(!mended(&recorded));
        assert_eq!(diagnose(&recorded), finding);
    }
}

#[test]
fn a_rule_in_a_chain_of_a_person_is_found_in_ip6tables_too() {
    let rules = "-A INPUT -j HARDENING\n\
                 -A HARDENING -p tcp -m tcp --dport 10250 -j REJECT --reject-with icmp6-port-unreachable\n";
    let recorded = recorded("ipv6_nft", rules);
    let proposal = testing::plan::<IptablesDeleteRule>(&recorded, "{}").unwrap();
    let rule = deletion(&proposal.steps[0].effect);
    assert_eq!(
        (rule.family, rule.chain.as_str(), rule.position),
        (IpFamily::Ipv6, "HARDENING", 1)
    );
}

#[test]
fn rules_of_the_other_family_do_not_concern_these_nodes() {
    let drop = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";
    let mut recorded = recorded("ipv6_nft", PASS);
    recorded.put(
        ruleset_of(1),
        json!({ "ipv4_nft": dump(drop), "ipv6_nft": dump(PASS) }),
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    let planned = testing::plan::<IptablesDeleteRule>(&recorded, "{}");
    assert!(
        matches!(planned, Err(PluginError::NothingToDo(_))),
        "{planned:?}"
    );
}

#[test]
fn nodes_that_an_api_server_in_the_network_dials_from_an_unknown_address_are_not_ruled_out() {
    let mut recorded = with_addresses(&Estate {
        tunnel: TunnelType::VnetIntegration,
        ..Estate::default()
    });
    // Its subnet tells IPv4 addresses alone; the nodes that are alike are judged as others.
    let drop = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";
    for node in 0..3 {
        let rules = if node == 1 { drop } else { "" };
        recorded.put(ruleset_of(node), json!({ "ipv6_nft": dump(rules) }));
    }
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    for node in 0..3 {
        let words = format!("which addresses dial {} is not known", address(node));
        assert!(finding.summary.contains(&words), "{}", finding.summary);
    }
}
