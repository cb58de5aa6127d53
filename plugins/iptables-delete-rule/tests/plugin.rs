//! The plugin's judgement and proposal on recorded rulesets.

use std::cell::RefCell;

use naosu_iptables_delete_rule::IptablesDeleteRule;
use naosu_plugin::{
    Effect, Finding, IptablesBackend, Judgement, NodeObservation, NodeQuery, Observation,
    ObserveError, Plugin, PluginError, Query, Reads,
    testing::{self, Estate, Recorded},
};
use serde_json::json;

fn ruleset(node: u32) -> Query {
    Query::Node(NodeQuery {
        node: Estate::node_name(node),
        what: NodeObservation::FirewallRuleset,
    })
}

fn dump(rules: &str) -> String {
    format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n"
    )
}

/// Node 1 has this dump; the others have no rule that matters.
fn recorded_dump(ipv4: &str) -> Recorded {
    let mut recorded = Estate::default().record();
    let node = |ipv4: &str| json!({ "ipv4_nft": ipv4, "ipv6_nft": dump("") });
    recorded.put(ruleset(0), node(&dump("")));
    recorded.put(ruleset(1), node(ipv4));
    recorded.put(ruleset(2), node(&dump("")));
    recorded
}

/// Node 1 has these rules; the others have none that matter.
fn recorded(rules: &str) -> Recorded {
    recorded_dump(&dump(rules))
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<IptablesDeleteRule>(recorded).unwrap()
}

/// Chain, number and specification of each deletion.
fn deletions(recorded: &Recorded) -> Result<Vec<(String, u32, String)>, PluginError> {
    let proposal = testing::plan::<IptablesDeleteRule>(recorded, "{}")?;
    let steps = proposal.steps.into_iter().map(|step| match step.effect {
        Effect::IptablesRuleDelete(e) => {
            assert_eq!(e.node, Estate::node_name(1));
            assert_eq!(e.backend, IptablesBackend::Nft);
            (e.chain, e.position, e.specification)
        }
        other => panic!("{other:?}"),
    });
    Ok(steps.collect())
}

/// Recorded reads, and the nodes whose rules were read of them.
struct Counted(Recorded, RefCell<Vec<String>>);

impl Reads for Counted {
    fn read(&self, query: &Query) -> Result<Observation, ObserveError> {
        if let Query::Node(asked) = query {
            self.1.borrow_mut().push(asked.node.clone());
        }
        self.0.read(query)
    }
}

#[test]
fn a_plan_reads_the_rules_of_the_findings_nodes_alone() {
    let recorded = recorded("-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n");
    let finding = diagnose(&recorded);
    let counted = Counted(recorded, RefCell::default());
    IptablesDeleteRule::plan(&counted, &Estate::cluster(), &finding, "{}").unwrap();
    assert_eq!(counted.1.into_inner(), [Estate::node_name(1)]);
}

#[test]
fn a_drop_of_the_kubelet_port_is_confirmed_and_deleted_by_number_and_specification() {
    let recorded = recorded(
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n",
    );
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert_eq!(finding.evidence[0].field, "filter INPUT rule 2");
    assert_eq!(
        finding.required_flows[0].destination_prefixes,
        ["10.224.0.5"]
    );
    let deleted = deletions(&recorded).unwrap();
    assert_eq!(deleted.len(), 1);
    assert_eq!((deleted[0].0.as_str(), deleted[0].1), ("INPUT", 2));
    assert!(deleted[0].2.contains("--dport 10250"), "{}", deleted[0].2);
}

#[test]
fn a_node_with_a_table_that_iptables_does_not_show_is_not_ruled_out() {
    let mut recorded = recorded("");
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    let beside = json!([{
        "family": "inet", "table": "firewalld", "chain": "filter_INPUT",
        "type": "filter", "hook": "input", "policy": "accept", "rules": 12,
    }]);
    recorded.put(
        ruleset(1),
        json!({ "ipv4_nft": dump(""), "ipv6_nft": dump(""), "nft_chains": beside }),
    );
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    assert!(
        finding.summary.contains("inet firewalld"),
        "{}",
        finding.summary
    );
}

#[test]
fn several_blocking_rules_go_from_the_last_to_the_first() {
    let recorded = recorded(
        "-A INPUT -s 10.224.0.4/32 -p tcp -m tcp --dport 10250 -j DROP\n\
         -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
         -A INPUT -p tcp -m multiport --dports 10249:10251 -j REJECT --reject-with icmp-port-unreachable\n",
    );
    let numbers: Vec<u32> = deletions(&recorded)
        .unwrap()
        .into_iter()
        .map(|d| d.1)
        .collect();
    assert_eq!(numbers, [3, 1]);
}

#[test]
fn a_rule_in_a_chain_that_input_jumps_to_is_found() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        :HARDENING - [0:0]\n-A INPUT -j HARDENING\n-A HARDENING -p tcp -m tcp --dport 10250 -j DROP\nCOMMIT\n";
    let recorded = recorded_dump(rules);
    assert_eq!(deletions(&recorded).unwrap()[0].0, "HARDENING");
}

#[test]
fn drops_that_do_not_concern_the_tunnel_are_ruled_out() {
    let recorded = recorded(
        "-A INPUT -s 203.0.113.0/24 -p tcp -m tcp --dport 10250 -j DROP\n\
         -A INPUT -p udp -m udp --dport 10250 -j DROP\n\
         -A FORWARD -p tcp -m tcp --dport 10250 -j DROP\n",
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    assert!(matches!(
        deletions(&recorded),
        Err(PluginError::NothingToDo(_))
    ));
}

#[test]
fn a_rule_of_the_cluster_is_never_deleted() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        :KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n-A KUBE-FIREWALL -p tcp -m tcp --dport 10250 -j DROP\nCOMMIT\n";
    let recorded = recorded_dump(rules);
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.infeasible.unwrap().contains("KUBE-FIREWALL"));
    assert!(matches!(
        deletions(&recorded),
        Err(PluginError::Infeasible(_))
    ));
}

#[test]
fn a_policy_of_drop_is_confirmed_and_is_no_rule_to_delete() {
    let rules = dump("").replace(":INPUT ACCEPT", ":INPUT DROP");
    let recorded = recorded_dump(&rules);
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.infeasible.is_some());
}

#[test]
fn what_ufw_blocks_is_left_to_the_plugins_for_ufw() {
    let rules = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        :ufw-user-input - [0:0]\n-A INPUT -j ufw-user-input\n\
        -A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP\nCOMMIT\n";
    let recorded = recorded_dump(rules);
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
}

#[test]
fn a_dump_that_was_cut_short_or_does_not_parse_makes_it_unknown() {
    let mut truncated = recorded("");
    truncated.fail(ruleset(2), ObserveError::Truncated("4096 bytes".into()));
    let finding = diagnose(&truncated);
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains("truncated: 4096 bytes"),
        "{}",
        finding.summary
    );
    let mut garbled = recorded("");
    garbled.put(ruleset(2), json!({ "ipv4_nft": "*filter\n-A INPUT -p tc" }));
    assert_eq!(diagnose(&garbled).judgement, Judgement::Unknown);
}

#[test]
fn a_node_that_only_its_own_agent_dials_is_judged_with_packets_that_stay_on_it() {
    let mut blocked = recorded("");
    let rules = dump("-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n");
    blocked.put(ruleset(0), json!({ "ipv4_nft": rules }));
    let finding = diagnose(&blocked);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let flow = &finding.required_flows[0];
    assert_eq!(flow.source_prefixes, ["10.244.0.7"]);
    assert_eq!(flow.destination_prefixes, ["10.224.0.4"]);
    // What the agents of other nodes never meet.
    let mut fine = recorded("");
    let rules = dump("-A INPUT -s 10.224.0.4/32 -p tcp -m tcp --dport 10250 -j DROP\n");
    fine.put(ruleset(0), json!({ "ipv4_nft": rules }));
    assert_eq!(diagnose(&fine).judgement, Judgement::RuledOut);
}

const ROUTES: &str = "default via 10.224.0.1 dev eth0
10.224.0.0/16 dev eth0 proto kernel scope link src 10.224.0.5
local 10.224.0.5 dev eth0 table local proto kernel scope host src 10.224.0.5
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1
";

#[test]
fn a_rule_that_names_the_interface_is_judged_by_the_nodes_routes_or_unknown_without_them() {
    let rules = dump("-A INPUT -i eth0 -p tcp -m tcp --dport 10250 -j DROP\n");
    let finding = diagnose(&recorded_dump(&rules));
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains("in-interface is eth0"),
        "{}",
        finding.summary
    );
    for (interface, judgement) in [
        ("eth0", Judgement::Confirmed),
        ("cbr0", Judgement::RuledOut),
        ("lo", Judgement::RuledOut),
    ] {
        let mut recorded = recorded("");
        let rules = rules.replace("eth0", interface);
        recorded.put(
            ruleset(1),
            json!({ "ipv4_nft": rules, "ipv4_routes": ROUTES }),
        );
        assert_eq!(diagnose(&recorded).judgement, judgement, "{interface}");
    }
}

#[test]
fn an_api_server_in_the_network_is_kept_out_by_a_rule_on_its_own_subnet_alone() {
    let integrated = |rule: &str| {
        let estate = Estate {
            tunnel: naosu_plugin::TunnelType::VnetIntegration,
            ..Estate::default()
        };
        let mut recorded = estate.record();
        for (node, rules) in [(0, ""), (1, rule), (2, "")] {
            let dumps = json!({ "ipv4_nft": dump(rules), "ipv6_nft": dump("") });
            recorded.put(ruleset(node), dumps);
        }
        diagnose(&recorded)
    };
    let from_server = "-A INPUT -s 10.226.0.0/28 -p tcp -m tcp --dport 10250 -j DROP\n";
    let finding = integrated(from_server);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    // Nobody dials from node to node where there are no agents.
    let from_node = "-A INPUT -s 10.224.0.4/32 -p tcp -m tcp --dport 10250 -j DROP\n";
    let finding = integrated(from_node);
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
}
