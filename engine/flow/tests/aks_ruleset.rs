//! Rulesets of the shape an AKS node has, at the sizes clusters grow to.

#[path = "../benches/support/aks_ruleset.rs"]
mod aks_ruleset;

use aks_ruleset::{aks_ruleset, aks_ruleset_with_ufw};
use naosu_flow::iptables::{
    Backend, DecidedBy, Family, Hook, Knowledge, LocalAddresses, NodeFirewall, Ruleset,
    managed_rule, node_delta,
};
use naosu_flow::policy::Verdict;
use naosu_flow::set::{AddressSet, FlowBox, Packet, PacketSet, PortSet, Space};
use naosu_flow::ufw::{UfwChange, ufw_change};

const BLOCK: &str = "-s 10.224.0.0/16 -p tcp -m tcp --dport 10250 -j DROP";

fn ruleset(rules: usize, input: &str) -> Ruleset {
    Ruleset::parse(Family::Ipv4, &aks_ruleset(rules, input)).unwrap()
}

#[test]
fn the_generated_sizes_are_about_those_asked_for() {
    for size in [300, 1_000, 10_000] {
        let count = ruleset(size, "").rule_count();
        assert!(count * 10 > size * 9 && count <= size, "{count} for {size}");
        assert_eq!(ruleset(size, "").backend, Some(Backend::Nft));
    }
}

#[test]
fn printing_gives_back_every_line_but_remarks() {
    let text = aks_ruleset(1_000, BLOCK);
    let printed = ruleset(1_000, BLOCK).to_string();
    // Printing puts the rules of a chain together; their order stays.
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut given_back: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    given_back.sort_unstable();
    assert_eq!(given_back, lines);
}

#[test]
fn what_the_cluster_keeps_lets_10250_pass_and_an_added_drop_is_found() {
    for size in [300, 10_000] {
        let nodes = AddressSet::prefix("10.224.0.0/16".parse().unwrap());
        let mut space = Space::new();
        let flow = FlowBox::new_tcp(nodes.clone(), nodes, PortSet::single(10_250_u16));
        let asked = space.flow(&flow).unwrap();
        let mut decide = |input: &str| {
            let firewall = NodeFirewall::new([ruleset(size, input)], Knowledge::default());
            let decisions = firewall.analyse(&mut space, Hook::Input, asked).unwrap();
            let partition = decisions.decisions.partition(&mut space).unwrap();
            (partition, decisions.first_block(&mut space).unwrap())
        };
        let (open, block) = decide("");
        assert_eq!((open.allowed, block), (asked, None));
        let (closed, block) = decide(BLOCK);
        assert_eq!(closed.denied, asked);
        let (decision, part) = block.unwrap();
        assert_eq!(part, asked);
        let DecidedBy::Rule(place) = decision.by else {
            panic!("{decision:?}")
        };
        assert_eq!((place.chain.as_str(), place.number), ("INPUT", 5));
        assert_eq!(place.specification, BLOCK);
    }
}

#[test]
fn a_service_address_is_rewritten_and_so_unknown_here() {
    let firewall = NodeFirewall::new([ruleset(300, "")], Knowledge::default());
    let mut space = Space::new();
    let service = Packet::new_tcp(
        "10.224.0.4".parse().unwrap(),
        "10.0.0.1".parse().unwrap(),
        1024,
    );
    let all = naosu_flow::set::PacketSet::ALL;
    let decisions = firewall
        .analyse(&mut space, Hook::Input, all)
        .unwrap()
        .decisions;
    let answer = decisions.answer(&mut space, &service).unwrap();
    assert_eq!(answer.verdict, Verdict::Unknown);
    assert!(
        answer.rules.iter().any(|rule| rule.rule.contains("DNAT")),
        "{answer:?}"
    );
}

#[test]
fn every_rule_of_the_clusters_own_is_recognised_and_the_added_one_is_not() {
    let ruleset = ruleset(300, BLOCK);
    let mut unmanaged = Vec::new();
    for table in &ruleset.tables {
        for chain in &table.chains {
            for rule in &chain.rules {
                if managed_rule(&chain.name, rule).is_none() {
                    unmanaged.push(format!("{} {}{rule}", table.name.as_str(), chain.name));
                }
            }
        }
    }
    // Azure's protection of its own addresses carries no name.
    unmanaged.retain(|rule| !rule.contains("168.63.129.16"));
    assert_eq!(unmanaged, [format!("filter INPUT {BLOCK}")]);
}

#[test]
fn the_deletion_of_a_drop_is_exact_however_many_services_there_are() {
    for size in [300, 1_000, 10_000] {
        let of = |input: &str| NodeFirewall::new([ruleset(size, input)], Knowledge::default());
        let mut space = Space::new();
        let delta = node_delta(&mut space, &of(BLOCK), &of(""), PacketSet::ALL).unwrap();
        let report = delta.report(&space).unwrap();
        assert_eq!(
            report.words,
            [
                // The kubelet's own rule stops new connections to the loopback.
                "newly allowed: inbound TCP 10250 from 10.224.0.0/16 to 0.0.0.0-126.255.255.255, 128.0.0.0/1",
                "newly allowed: established inbound TCP 10250 from 10.224.0.0/16 to any-ipv4",
                "newly allowed: related inbound TCP 10250 from 10.224.0.0/16 to 127.0.0.0/8",
            ],
            "{size}"
        );
    }
}

#[test]
fn ufw_is_disabled_on_a_node_with_thousands_of_services_and_the_delta_is_told() {
    for size in [300, 1_000, 10_000] {
        let text = aks_ruleset_with_ufw(size);
        let ruleset = Ruleset::parse(Family::Ipv4, &text).unwrap();
        let mut before = NodeFirewall::new([ruleset], Knowledge::default());
        let own = ["10.224.0.5/16".parse().unwrap()];
        before.knowledge.local_addresses = LocalAddresses::all(&own);
        let defaults = "MANAGE_BUILTINS=no\n";
        let after = ufw_change(&before, &[], UfwChange::Disable { defaults }).unwrap();
        let mut space = Space::new();
        let delta = node_delta(&mut space, &before, &after, PacketSet::ALL).unwrap();
        let report = delta.report(&space).unwrap();
        assert!(report.newly_denied.is_empty(), "{:?}", report.newly_denied);
        assert!(report.unknown.is_empty(), "{:?}", report.words);
        assert_eq!(
            report.words,
            [
                "newly allowed: inbound protocols 0-5, protocols 7-255 from any-ipv4 to 0.0.0.0-126.255.255.255, 128.0.0.0/1",
                "newly allowed: inbound protocols 0-5, protocols 7-255 from 127.0.0.0/8 to 127.0.0.0/8",
                "newly allowed: inbound TCP 0-21, 23-65535 from any-ipv4 to 0.0.0.0-126.255.255.255, 128.0.0.0/1",
                "newly allowed: inbound TCP 0-21, 23-65535 from 127.0.0.0/8 to 127.0.0.0/8",
                // What nat sends on to pods is among them, and no service is named.
                "newly allowed: forwarded protocols 0-5, protocols 7-255 from any-ipv4 to any-ipv4",
                "newly allowed: forwarded TCP 80, 32526 from any-ipv4 to 0.0.0.0-168.63.129.15, 168.63.129.17-255.255.255.255",
                "newly allowed: forwarded TCP 0-79, 81-32525, 32527-65535 from any-ipv4 to any-ipv4",
                // It stopped those, whatever their port.
                "newly allowed: invalid inbound TCP 22 from any-ipv4 to 0.0.0.0-126.255.255.255, 128.0.0.0/1",
                "newly allowed: invalid inbound TCP 22 from 127.0.0.0/8 to 127.0.0.0/8",
            ],
            "{size}"
        );
    }
}
