//! Nodes that decide alike are judged at once; each must come out as alone.

use std::collections::BTreeSet;

use naosu_iptables_delete_rule::IptablesDeleteRule;
use naosu_plugin::Plugin as _;
use naosu_plugin::{
    Cluster, NodeObservation, NodeQuery, Query, Symptom, TunnelNodes,
    flow::iptables::DecidedBy,
    node_firewall::{JudgedNode, JudgedNodes},
    testing::{Estate, Recorded},
};
use serde_json::json;

const PASS: &str = "-A INPUT -p tcp -m tcp --dport 22 -j DROP\n";
const DROP: &str = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";
/// Without the node's routes, the sender may be an address of its own.
const DROP_LOCAL: &str = "-A INPUT -m addrtype --src-type LOCAL -j DROP\n";
const UNKNOWN: &str = "-A INPUT -p tcp -m weird --weird 1 -j DROP\n";

/// One dump a node, each with counters of its own.
fn recorded(rules: &[&str]) -> Recorded {
    let estate = Estate {
        nodes: u32::try_from(rules.len()).unwrap(),
        ..Estate::default()
    };
    let mut recorded = estate.record();
    for (index, rules) in rules.iter().enumerate() {
        let node = Estate::node_name(u32::try_from(index).unwrap());
        let what = NodeObservation::FirewallRuleset;
        let dump = format!(
            "*filter\n:INPUT ACCEPT [{index}:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n"
        );
        let body = json!({ "ipv4_nft": dump, "ipv6_nft": null });
        recorded.put(Query::Node(NodeQuery { node, what }), body);
    }
    recorded
}

fn judged(rules: &[&str]) -> JudgedNodes {
    let recorded = recorded(rules);
    let cluster: Cluster = Estate::cluster();
    let observed = TunnelNodes::observe(&recorded, &cluster).unwrap();
    JudgedNode::observe_all(&recorded, &observed.tunnel, &observed.nodes).unwrap()
}

fn passing(judged: &JudgedNodes) -> BTreeSet<String> {
    let read = judged.passing.iter().map(|read| read.resource.clone());
    read.collect()
}

#[test]
fn nodes_judged_together_come_out_as_each_alone() {
    let rules = [
        PASS, PASS, DROP, PASS, UNKNOWN, DROP_LOCAL, PASS, DROP, DROP_LOCAL, UNKNOWN, PASS,
    ];
    let judged = judged(&rules);
    let passing = passing(&judged);
    let mut alone = judged.judged.iter();
    let mut together = 0;
    for (index, rules) in rules.iter().enumerate() {
        let name = Estate::node_name(u32::try_from(index).unwrap());
        let is_open = *rules == PASS;
        if passing.contains(&format!("node/{name}")) {
            assert!(is_open, "{rules}");
            together += 1;
            continue;
        }
        let node = alone.next().unwrap();
        assert_eq!(node.node, name, "in the order of the nodes");
        let firewall = &node.firewall.as_ref().unwrap().value;
        let again = node.decide(firewall).unwrap();
        assert_eq!(
            (&node.blocks, &node.unknown),
            (&again.0, &again.1),
            "{rules}"
        );
        assert_eq!(node.blocks.len(), usize::from(*rules == DROP), "{rules}");
        let is_known = !matches!(*rules, UNKNOWN | DROP_LOCAL);
        assert_eq!(node.unknown.is_empty(), is_known, "{rules}");
        if let Some(block) = node.blocks.first() {
            assert!(matches!(&block.by, DecidedBy::Rule(place) if place.number == 1));
            assert!(block.packets.contains(&node.address.to_string()));
        }
    }
    assert_eq!(alone.count(), 0);
    // All but the agent's own node, whose agent comes by another address.
    assert_eq!(together, rules.iter().filter(|r| **r == PASS).count() - 1);
}

#[test]
fn nodes_whose_interfaces_differ_are_told_apart() {
    // Packets of the agent's node come in by another interface on the last one.
    let rules = ["-A INPUT -i eth1 -j DROP\n"; 4];
    let mut recorded = recorded(&rules);
    for index in 0..4 {
        let own = Estate::node_address(index);
        let interface = if index == 3 { "eth1" } else { "eth0" };
        let routes = format!(
            "default via 10.224.0.1 dev {interface} proto dhcp src {own} metric 100\n\
             10.224.0.0/16 dev {interface} proto kernel scope link src {own}\n\
             local {own} dev {interface} table local proto kernel scope host src {own}\n\
             local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1\n\
             broadcast 10.224.255.255 dev {interface} table local proto kernel scope link src {own}\n"
        );
        let dump = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n",
            rules[0]
        );
        let query = Query::Node(NodeQuery {
            node: Estate::node_name(index),
            what: NodeObservation::FirewallRuleset,
        });
        let body = json!({ "ipv4_nft": dump, "ipv4_routes": routes });
        recorded.put(query, body);
    }
    let cluster: Cluster = Estate::cluster();
    let observed = TunnelNodes::observe(&recorded, &cluster).unwrap();
    let judged = JudgedNode::observe_all(&recorded, &observed.tunnel, &observed.nodes).unwrap();
    let blocked = judged.judged.iter().filter(|node| !node.blocks.is_empty());
    let blocked: Vec<&str> = blocked.map(|node| node.node.as_str()).collect();
    assert_eq!(blocked, [Estate::node_name(3)]);
    let passing = passing(&judged);
    for index in [1, 2] {
        assert!(
            passing.contains(&format!("node/{}", Estate::node_name(index))),
            "{passing:?}"
        );
    }
}

#[test]
fn a_finding_about_hundreds_of_nodes_is_one_a_person_can_read() {
    let rules = vec![DROP; 400];
    let symptom = Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    let recorded = recorded(&rules);
    let finding = IptablesDeleteRule::diagnose(&recorded, &Estate::cluster(), &symptom).unwrap();
    assert!(finding.summary.len() < 4_096, "{}", finding.summary.len());
    assert!(finding.summary.contains("392 more"), "{}", finding.summary);
    assert_eq!(finding.required_flows.len(), 400);
}
