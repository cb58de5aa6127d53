//! Rules on the agents' own node, which keep the tunnel in before it comes to any
//! other.

use naosu_iptables_delete_rule::IptablesDeleteRule;
use naosu_plugin::{
    Effect, Finding, Judgement, NodeObservation, NodeQuery, Plugin, PluginError, Query,
    kubernetes::system_pods,
    testing::{self, Estate, Recorded},
};
use serde_json::json;

fn put_rules(recorded: &mut Recorded, node: u32, rules: &str) {
    let query = Query::Node(NodeQuery {
        node: Estate::node_name(node),
        what: NodeObservation::FirewallRuleset,
    });
    let declared = ["HARDENING", "KUBE-FIREWALL", "KUBE-FORWARD"];
    let declared: String = declared.map(|chain| format!(":{chain} - [0:0]\n")).concat();
    let dump = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{declared}{rules}COMMIT\n"
    );
    recorded.put(query, json!({ "ipv4_nft": dump }));
}

/// Rules of a node; the others have none. The agent is on node 0.
fn recorded(node: u32, rules: &str) -> Recorded {
    let mut recorded = Estate::default().record();
    for other in 0..3 {
        put_rules(&mut recorded, other, if other == node { rules } else { "" });
    }
    recorded
}

/// The same with the agent in the network of its node.
fn on_host(node: u32, rules: &str) -> Recorded {
    let mut recorded = recorded(node, rules);
    for selector in ["app=konnectivity-agent", "component=tunnel"] {
        recorded.edit(&system_pods(selector), |pods| {
            pods[0]["spec"]["hostNetwork"] = json!(true);
            pods[0]["status"]["podIP"] = json!(Estate::node_address(0));
        });
    }
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<IptablesDeleteRule>(recorded).unwrap()
}

const OUT: &str = "-A OUTPUT -p tcp -m tcp --dport 10250 -j DROP\n";
const PASSED_ON: &str = "-A FORWARD -p tcp -m tcp --dport 10250 -j DROP\n";

#[test]
fn what_keeps_an_agent_of_the_nodes_network_in_is_confirmed_and_deleted_there() {
    let recorded = on_host(0, OUT);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("leaving"), "{}", finding.summary);
    assert_eq!(finding.infeasible, None);
    assert_eq!(finding.evidence[0].field, "filter OUTPUT rule 1");
    let flow = &finding.required_flows[0];
    assert_eq!(flow.source_prefixes, ["10.224.0.4"]);
    assert_eq!(flow.destination_prefixes, ["10.224.0.4/31", "10.224.0.6"]);
    let proposal = testing::plan::<IptablesDeleteRule>(&recorded, "{}").unwrap();
    let [step] = proposal.steps.as_slice() else {
        panic!("{proposal:?}");
    };
    let Effect::IptablesRuleDelete(rule) = &step.effect else {
        panic!("{step:?}");
    };
    assert_eq!(
        (rule.node.as_str(), rule.chain.as_str(), rule.position),
        (Estate::node_name(0).as_str(), "OUTPUT", 1)
    );
    let cluster = Estate::cluster();
    let verify = |after| IptablesDeleteRule::verify(after, &cluster, &finding, &proposal.steps);
    assert!(!verify(&recorded).unwrap().mended);
    assert!(verify(&on_host(0, "")).unwrap().mended);
}

#[test]
fn what_is_not_passed_on_for_an_agent_is_confirmed_and_only_a_person_can_delete_it() {
    let recorded = recorded(0, PASSED_ON);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let by_hand = finding.infeasible.clone().unwrap();
    let command = "iptables -t filter -D FORWARD -p tcp -m tcp --dport 10250 -j DROP";
    assert!(by_hand.contains(command), "{by_hand}");
    assert_eq!(finding.required_flows[0].source_prefixes, ["10.244.0.7"]);
    let planned = testing::plan::<IptablesDeleteRule>(&recorded, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

#[test]
fn chains_that_no_packet_of_an_agent_passes_are_ruled_out() {
    for recorded in [
        on_host(0, PASSED_ON),
        recorded(0, OUT),
        on_host(1, OUT),
        recorded(1, PASSED_ON),
    ] {
        let finding = diagnose(&recorded);
        assert_eq!(
            finding.judgement,
            Judgement::RuledOut,
            "{}",
            finding.summary
        );
    }
}

#[test]
fn a_rule_that_blocks_on_two_ways_is_deleted_once() {
    let rules = "-A INPUT -j HARDENING\n-A FORWARD -j HARDENING\n\
                 -A HARDENING -p tcp -m tcp --dport 10250 -j DROP\n";
    let recorded = recorded(0, rules);
    assert_eq!(diagnose(&recorded).infeasible, None);
    let proposal = testing::plan::<IptablesDeleteRule>(&recorded, "{}").unwrap();
    assert_eq!(proposal.steps.len(), 1, "{proposal:?}");
}

#[test]
fn only_a_rule_of_a_person_is_a_doubt_on_the_way_out() {
    let of_cluster = "-A OUTPUT -j KUBE-FIREWALL\n\
                      -A KUBE-FIREWALL -m weird --weird 1 -j DROP\n\
                      -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\n";
    let finding = diagnose(&on_host(0, of_cluster));
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    let finding = diagnose(&on_host(0, "-A OUTPUT -m weird --weird 1 -j DROP\n"));
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    assert!(finding.summary.contains("weird"), "{}", finding.summary);
}
