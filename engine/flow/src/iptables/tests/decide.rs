//! What rulesets decide: chains, states, marks, backends, unknowns.

use std::net::IpAddr;

use super::super::*;
use crate::policy::{Policy, Verdict};
use crate::set::{AddressSet, ConnectionState, FlowBox, Packet, PacketSet, PortSet, Space};

const AGENT: &str = "10.224.0.4";
const NODE: &str = "10.224.0.5";

fn filter(rules: &str) -> Ruleset {
    let text = format!(
        "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:A -\n:B -\n:C -\n{rules}\nCOMMIT\n"
    );
    Ruleset::parse(Family::Ipv4, &text).unwrap()
}

fn parsed(text: &str) -> Ruleset {
    Ruleset::parse(Family::Ipv4, text).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn kubelet() -> Packet {
    Packet::new_tcp(address(AGENT), address(NODE), 10250)
}

fn firewall(rulesets: impl IntoIterator<Item = Ruleset>) -> NodeFirewall {
    NodeFirewall::new(rulesets, Knowledge::default())
}

fn answer(firewall: &NodeFirewall, packet: Packet) -> (Verdict, Vec<String>, Vec<String>) {
    let mut space = Space::new();
    let decisions = firewall.decide(&mut space, PacketSet::ALL).unwrap();
    let answer = decisions.answer(&mut space, &packet).unwrap();
    let rules = answer.rules.into_iter().map(|rule| rule.rule).collect();
    (
        answer.verdict,
        rules,
        answer.atoms.into_iter().map(|atom| atom.name).collect(),
    )
}

fn verdict(rules: &str) -> Verdict {
    answer(&firewall([filter(rules)]), kubelet()).0
}

#[test]
fn the_first_rule_that_matches_decides_and_is_named() {
    let firewall = firewall([filter(
        "-A INPUT -p udp -m udp --dport 10250 -j ACCEPT\n\
         -A INPUT -p tcp -m tcp --dport 10250 -j DROP\n\
         -A INPUT -p tcp -m tcp --dport 10250 -j ACCEPT",
    )]);
    let (verdict, rules, _) = answer(&firewall, kubelet());
    assert_eq!(verdict, Verdict::Deny);
    assert_eq!(
        rules,
        ["iptables-nft filter INPUT rule 2 (line 9): -p tcp -m tcp --dport 10250 -j DROP"]
    );
    let mut space = Space::new();
    let asked = FlowBox::new_tcp(
        AddressSet::host(address(AGENT)),
        AddressSet::host(address(NODE)),
        PortSet::range(10249_u16, 10251_u16),
    );
    let asked = space.flow(&asked).unwrap();
    let decisions = firewall.analyse(&mut space, Hook::Input, asked).unwrap();
    let (decision, part) = decisions.first_block(&mut space).unwrap().unwrap();
    let DecidedBy::Rule(place) = decision.by else {
        panic!("{decision:?}")
    };
    assert_eq!(
        (place.number, place.line, place.chain.as_str()),
        (2, 9, "INPUT")
    );
    let only = FlowBox::new_tcp(
        AddressSet::host(address(AGENT)),
        AddressSet::host(address(NODE)),
        PortSet::single(10250_u16),
    );
    assert_eq!(part, space.flow(&only).unwrap());
}

#[test]
fn chains_return_and_goto_as_the_kernel_does() {
    let drop = Verdict::Deny;
    assert_eq!(
        verdict("-A INPUT -j A\n-A A -j B\n-A B -p tcp -j DROP"),
        drop
    );
    assert_eq!(
        verdict("-A INPUT -j A\n-A A -p tcp -j RETURN\n-A A -j DROP"),
        Verdict::Allow
    );
    // After a jump the caller goes on; after a goto the caller's caller does.
    assert_eq!(verdict("-A INPUT -j A\n-A A -j B\n-A A -j DROP"), drop);
    assert_eq!(
        verdict("-A INPUT -j A\n-A A -g B\n-A A -j DROP"),
        Verdict::Allow
    );
    assert_eq!(verdict("-A INPUT -j A\n-A INPUT -j DROP\n-A A -g B"), drop);
    assert_eq!(
        verdict("-A INPUT -g A\n-A INPUT -j DROP\n-A A -j B"),
        Verdict::Allow
    );
    // Accept in a called chain ends the table.
    assert_eq!(
        verdict("-A INPUT -j A\n-A INPUT -j DROP\n-A A -j ACCEPT"),
        Verdict::Allow
    );
    assert_eq!(
        verdict("-A INPUT -j RETURN\n-A INPUT -j DROP"),
        Verdict::Allow
    );
    assert_eq!(
        verdict("-A INPUT -p tcp -j LOG\n-A INPUT -p tcp -m tcp --dport 10250 -j REJECT"),
        drop
    );
}

#[test]
fn a_drop_in_any_table_before_the_socket_counts() {
    for (table, chain) in [
        ("raw", "PREROUTING"),
        ("mangle", "PREROUTING"),
        ("mangle", "INPUT"),
        ("security", "INPUT"),
    ] {
        let other = parsed(&format!(
            "*{table}\n:{chain} ACCEPT\n-A {chain} -p tcp -m tcp --dport 10250 -j DROP\nCOMMIT\n\
             *filter\n:INPUT DROP\n-A INPUT -j ACCEPT\nCOMMIT\n"
        ));
        let (verdict, rules, _) = answer(&firewall([other]), kubelet());
        assert_eq!(verdict, Verdict::Deny, "{table}");
        assert!(rules[0].contains(table), "{rules:?}");
    }
}

#[test]
fn an_accepting_rule_of_filter_is_named_rather_than_a_policy_after_it() {
    let ruleset = parsed(
        "*filter\n:INPUT DROP\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n*security\n:INPUT ACCEPT\nCOMMIT\n",
    );
    let (verdict, rules, _) = answer(&firewall([ruleset.clone()]), kubelet());
    assert_eq!(verdict, Verdict::Allow);
    assert_eq!(
        rules,
        ["iptables-nft filter INPUT rule 1 (line 3): -p tcp -j ACCEPT"]
    );
    let udp = Packet {
        protocol: crate::set::Protocol::UDP,
        ..kubelet()
    };
    assert_eq!(
        answer(&firewall([ruleset]), udp).1,
        ["iptables-nft filter INPUT policy"]
    );
}

#[test]
fn marks_are_followed_from_where_they_are_set() {
    let marked = "-A INPUT -j A\n-A INPUT -m mark --mark 0x8000/0x8000 -j DROP\n";
    assert_eq!(verdict(marked), Verdict::Allow);
    let set = format!("{marked}-A A -p tcp -j MARK --set-xmark 0x8000/0x8000");
    assert_eq!(verdict(&set), Verdict::Deny);
    let across_tables = parsed(
        "*mangle\n:PREROUTING ACCEPT\n-A PREROUTING -p tcp -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n\
         *filter\n:INPUT ACCEPT\n-A INPUT -m mark --mark 0x1 -j DROP\nCOMMIT\n",
    );
    assert_eq!(
        answer(&firewall([across_tables]), kubelet()).0,
        Verdict::Deny
    );
    let restored = "-A INPUT -j CONNMARK --restore-mark\n-A INPUT -m mark --mark 0x1 -j DROP";
    assert_eq!(verdict(restored), Verdict::Unknown);
}

#[test]
fn what_a_socket_marks_is_one_unknown_until_a_rule_sets_it() {
    let rules = "-A OUTPUT -m mark --mark 0x1 -j DROP\n-A OUTPUT -m mark ! --mark 0x2/0x2 -j ACCEPT\n\
                 -A OUTPUT -m mark --mark 0x2/0x2 -j DROP";
    let mut marked = firewall([filter(rules)]);
    let outbound = kubelet().with_direction(crate::set::Direction::Outbound);
    let (verdict, _, atoms) = answer(&marked, outbound);
    assert_eq!(verdict, Verdict::Unknown);
    assert_eq!(
        atoms,
        [
            "the sending socket's mark is 0x1/0xffffffff",
            "the sending socket's mark is 0x2/0x2"
        ]
    );
    for (mark, verdict) in [(0, Verdict::Allow), (1, Verdict::Deny), (2, Verdict::Deny)] {
        marked.knowledge.socket_mark = Some(mark);
        assert_eq!(answer(&marked, outbound).0, verdict, "{mark}");
    }
    let set = "-A OUTPUT -j MARK --set-xmark 0x4/0xffffffff\n-A OUTPUT -m mark --mark 0x1 -j DROP";
    assert_eq!(answer(&firewall([filter(set)]), outbound).0, Verdict::Allow);
    // From the network comes no mark; by the loopback it may.
    let inbound = "-A INPUT -m mark --mark 0x1 -j DROP";
    assert_eq!(verdict_of(inbound, None), Verdict::Allow);
    assert_eq!(verdict_of(inbound, Some("lo")), Verdict::Unknown);
}

fn verdict_of(rules: &str, interface: Option<&str>) -> Verdict {
    let mut node = firewall([filter(rules)]);
    if let Some(name) = interface {
        node.knowledge.in_interface = InterfaceKnowledge::Named(name.to_owned());
    }
    answer(&node, kubelet()).0
}

#[test]
fn a_set_that_rules_change_is_asked_anew_at_each_look() {
    let twice = "-A INPUT -m set --match-set seen src -j DROP\n\
                 -A INPUT -m set ! --match-set seen src -j ACCEPT\n-A INPUT -j REJECT";
    assert_eq!(answer(&firewall([filter(twice)]), kubelet()).2.len(), 1);
    let changing = "-A INPUT -m set --match-set seen src -j A\n-A INPUT -j SET --add-set seen src\n\
                    -A INPUT -m set ! --match-set seen src -j ACCEPT\n-A INPUT -j DROP\n-A A -j RETURN";
    let mut node = firewall([filter(changing)]);
    assert_eq!(answer(&node, kubelet()).0, Verdict::Unknown);
    // That nobody was in it says nothing of now.
    node.knowledge.address_sets = [("seen".to_owned(), AddressSet::empty())].into();
    assert_eq!(answer(&node, kubelet()).0, Verdict::Unknown);
}

#[test]
fn connection_states_split_new_from_established() {
    let rules = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                 -A INPUT -m state --state INVALID -j DROP\n\
                 -A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP\n\
                 -A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT";
    let firewall = firewall([filter(rules)]);
    let (verdict, rules, _) = answer(&firewall, kubelet());
    assert_eq!(verdict, Verdict::Deny);
    assert!(rules[0].contains("rule 4"), "{rules:?}");
    let established = kubelet().with_state(ConnectionState::Established);
    assert_eq!(answer(&firewall, established).0, Verdict::Allow);
}

#[test]
fn raw_comes_before_tracking_and_notrack_ends_it() {
    let untracked = parsed(
        "*raw\n:PREROUTING ACCEPT\n-A PREROUTING -m conntrack --ctstate NEW -j DROP\n\
         -A PREROUTING -p tcp -j CT --notrack\nCOMMIT\n\
         *filter\n:INPUT ACCEPT\n-A INPUT -m conntrack --ctstate NEW -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate UNTRACKED -j DROP\nCOMMIT\n",
    );
    assert_eq!(answer(&firewall([untracked]), kubelet()).0, Verdict::Deny);
}

#[test]
fn what_is_not_modelled_leaves_the_verdict_open_and_is_named() {
    let rules = "-A INPUT -m bpf --bytecode \"1,6 0 0 0\" -j DROP";
    let (verdict, rules, atoms) = answer(&firewall([filter(rules)]), kubelet());
    assert_eq!(verdict, Verdict::Unknown);
    assert_eq!(rules.len(), 2);
    assert!(atoms[0].contains("bpf"), "{atoms:?}");
    // It matters only where it decides.
    assert_eq!(
        super::decide::verdict("-A INPUT -m limit --limit 1/sec -j DROP\n-A INPUT -j DROP"),
        Verdict::Deny
    );
    assert_eq!(
        super::decide::verdict("-A INPUT -m limit --limit 1/sec -j LOG"),
        Verdict::Allow
    );
    assert_eq!(
        super::decide::verdict("-A INPUT -p udp -m bpf --bytecode x -j DROP"),
        Verdict::Allow
    );
    // A rate limit is asked anew at each visit.
    let twice = "-A INPUT -j A\n-A INPUT -j A\n-A A -m limit --limit 1/sec -j RETURN\n-A A -j MARK --set-xmark 0x1/0x1\n\
                 -A INPUT -m mark --mark 0x0/0x1 -j DROP";
    let mut space = Space::new();
    let decisions = firewall([filter(twice)])
        .decide(&mut space, PacketSet::ALL)
        .unwrap();
    assert_eq!(
        decisions
            .answer(&mut space, &kubelet())
            .unwrap()
            .atoms
            .len(),
        2
    );
}

#[test]
fn a_queue_or_a_translation_makes_only_its_packets_unknown() {
    let queue = "-A INPUT -p tcp -m tcp --dport 10250 -j NFQUEUE --queue-num 1";
    let firewall_queue = firewall([filter(queue)]);
    let (verdict, rules, _) = answer(&firewall_queue, kubelet());
    assert_eq!(verdict, Verdict::Unknown);
    assert!(rules[0].contains("NFQUEUE"), "{rules:?}");
    let other = Packet {
        destination_port: 22,
        ..kubelet()
    };
    assert_eq!(answer(&firewall_queue, other).0, Verdict::Allow);
    let nat = parsed(
        "*nat\n:PREROUTING ACCEPT\n:POSTROUTING ACCEPT\n\
         -A PREROUTING -d 10.0.0.1/32 -p tcp -j DNAT --to-destination 10.224.0.5:443\n\
         -A PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 9\n\
         -A POSTROUTING -j MASQUERADE\nCOMMIT\n",
    );
    assert_eq!(
        answer(&firewall([nat.clone()]), kubelet()).0,
        Verdict::Unknown
    );
    let established = kubelet().with_state(ConnectionState::Established);
    assert_eq!(answer(&firewall([nat]), established).0, Verdict::Allow);
}

#[test]
fn interfaces_address_types_and_sets_are_known_only_from_knowledge() {
    let cases = [
        ("-A INPUT -i lo -j DROP", Verdict::Allow, Verdict::Allow),
        ("-A INPUT -i eth0 -j DROP", Verdict::Unknown, Verdict::Deny),
        (
            "-A INPUT ! -i eth+ -j DROP",
            Verdict::Unknown,
            Verdict::Allow,
        ),
        (
            "-A INPUT -m addrtype --dst-type LOCAL -j DROP",
            Verdict::Unknown,
            Verdict::Deny,
        ),
        (
            "-A INPUT -m addrtype --dst-type MULTICAST -j DROP",
            Verdict::Allow,
            Verdict::Allow,
        ),
        (
            "-A INPUT -m addrtype ! --dst-type BROADCAST -j DROP",
            Verdict::Unknown,
            Verdict::Deny,
        ),
        (
            "-A INPUT -m addrtype --src-type UNICAST -j DROP",
            Verdict::Unknown,
            Verdict::Deny,
        ),
        (
            "-A INPUT -m set --match-set agents src -j DROP",
            Verdict::Unknown,
            Verdict::Deny,
        ),
        (
            "-A INPUT -m set ! --match-set agents dst -j DROP",
            Verdict::Unknown,
            Verdict::Deny,
        ),
        (
            "-A INPUT -m set --match-set agents src,dst -j DROP",
            Verdict::Unknown,
            Verdict::Unknown,
        ),
    ];
    let knowledge = Knowledge {
        in_interface: InterfaceKnowledge::Named("eth0".to_owned()),
        local_addresses: LocalAddresses::all(&["10.224.0.5/16".parse().unwrap()]),
        address_sets: [("agents".to_owned(), AddressSet::host(address(AGENT)))].into(),
        ..Knowledge::default()
    };
    for (rule, without, with) in cases {
        assert_eq!(verdict(rule), without, "{rule} without knowledge");
        let informed = NodeFirewall::new([filter(rule)], knowledge.clone());
        assert_eq!(
            answer(&informed, kubelet()).0,
            with,
            "{rule} with knowledge"
        );
    }
    // One unknown is one unknown: both halves together leave nothing open.
    let halves = "-A INPUT -i eth0 -j DROP\n-A INPUT ! -i eth0 -j DROP";
    assert_eq!(verdict(halves), Verdict::Deny);
}

#[test]
fn a_table_that_iptables_does_not_show_leaves_open_what_the_rules_let_pass() {
    let beside = |line: &str, rule: &str| {
        let knowledge = Knowledge {
            nft_chains: vec![NftChain::from_line(line).unwrap()],
            ..Knowledge::default()
        };
        let (verdict, _, atoms) = answer(&NodeFirewall::new([filter(rule)], knowledge), kubelet());
        (verdict, atoms.concat())
    };
    let accepts = "-A INPUT -j ACCEPT";
    let (verdict, named) = beside("inet firewalld filter_INPUT filter input drop 9", accepts);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(named.contains("nft table inet firewalld"), "{named}");
    // A chain of another type drops, too.
    let (verdict, _) = beside("inet fw in nat prerouting accept 1 1", accepts);
    assert_eq!(verdict, Verdict::Unknown);
    for line in [
        "inet filter input filter input accept 0",
        "inet nat in nat prerouting accept 1 0",
        "inet fw output filter output drop 1",
        "ip6 fw input filter input drop 1",
        "ip kube-proxy filter-input filter input accept 3",
    ] {
        assert_eq!(beside(line, accepts).0, Verdict::Allow, "{line}");
    }
    // What drops for certain is not made uncertain.
    let drops = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP";
    let (verdict, _) = beside("inet fw input filter input drop 1", drops);
    assert_eq!(verdict, Verdict::Deny);
}

#[test]
fn tables_that_nothing_lists_leave_open_what_the_rules_let_pass() {
    let knowledge = Knowledge {
        nft_unlisted: true,
        ..Knowledge::default()
    };
    let judged = |rule| {
        answer(
            &NodeFirewall::new([filter(rule)], knowledge.clone()),
            kubelet(),
        )
    };
    let (verdict, _, atoms) = judged("-A INPUT -j ACCEPT");
    assert_eq!(verdict, Verdict::Unknown);
    assert!(
        atoms
            .concat()
            .contains("nft tables that are not those of iptables"),
        "{atoms:?}"
    );
    assert_eq!(judged("-A INPUT -j DROP").0, Verdict::Deny);
}

#[test]
fn both_backends_and_both_families_apply() {
    let accepting = filter("-A INPUT -j ACCEPT");
    let mut dropping = filter("-A INPUT -p tcp -m tcp --dport 10250 -j DROP");
    dropping.backend = Some(Backend::Legacy);
    for rulesets in [
        [accepting.clone(), dropping.clone()],
        [dropping, accepting.clone()],
    ] {
        let (verdict, rules, _) = answer(&firewall(rulesets), kubelet());
        assert_eq!(verdict, Verdict::Deny);
        assert!(
            rules[0].starts_with("iptables-legacy filter INPUT rule 1"),
            "{rules:?}"
        );
    }
    let six = "*filter\n:INPUT DROP\nCOMMIT\n";
    let six = Ruleset::parse(Family::Ipv6, six).unwrap();
    let packet = Packet::new_tcp(address("fd00::1"), address("fd00::2"), 10250);
    assert_eq!(
        answer(&firewall([accepting.clone(), six]), packet).0,
        Verdict::Deny
    );
    assert_eq!(
        answer(&firewall([accepting.clone()]), packet).0,
        Verdict::Unknown
    );
    let none = Ruleset::empty(Family::Ipv6);
    assert_eq!(
        answer(&firewall([accepting, none]), packet).0,
        Verdict::Allow
    );
}

#[test]
fn rules_the_dump_only_mentions_leave_what_passes_open() {
    let mut warned = filter("-A INPUT -p udp -j DROP");
    warned.legacy_tables_present = true;
    let (verdict, _, atoms) = answer(&firewall([warned.clone()]), kubelet());
    assert_eq!(verdict, Verdict::Unknown);
    assert!(atoms[0].contains("legacy"), "{atoms:?}");
    let mut legacy = Ruleset::empty(Family::Ipv4);
    legacy.backend = Some(Backend::Legacy);
    assert_eq!(
        answer(&firewall([warned, legacy]), kubelet()).0,
        Verdict::Allow
    );
}

#[test]
fn inbound_is_input_and_outbound_is_output() {
    let firewall = firewall([filter("-A OUTPUT -p tcp -j DROP\n-A FORWARD -j DROP")]);
    assert_eq!(answer(&firewall, kubelet()).0, Verdict::Allow);
    let outbound = kubelet().with_direction(crate::set::Direction::Outbound);
    assert_eq!(answer(&firewall, outbound).0, Verdict::Deny);
    let mut space = Space::new();
    let forwarded = firewall
        .analyse(&mut space, Hook::Forward, PacketSet::ALL)
        .unwrap();
    let answer = forwarded.decisions.answer(&mut space, &kubelet()).unwrap();
    assert_eq!(answer.verdict, Verdict::Deny);
}

#[test]
fn chains_that_are_entered_twice_as_often_at_each_level_end_in_a_typed_error() {
    let mut rules = String::from("*filter\n:INPUT ACCEPT\n");
    for level in 0..60 {
        rules.push_str(&format!(":L{level} -\n"));
    }
    rules.push_str("-A INPUT -j L0\n");
    for level in 0..59 {
        rules.push_str(&format!(
            "-A L{level} -j L{}\n-A L{level} -j L{}\n",
            level + 1,
            level + 1
        ));
    }
    rules.push_str("-A L59 -p tcp -j LOG\nCOMMIT\n");
    let mut space = Space::new();
    let error = firewall([parsed(&rules)])
        .decide(&mut space, PacketSet::ALL)
        .unwrap_err();
    assert_eq!(error.code(), "analysis_too_complex");
    assert!(!error.rules.is_empty());
}

#[test]
fn a_hostile_comment_is_shown_escaped() {
    let rules = "-A INPUT -p tcp -m comment --comment \"\u{1b}[2Jfine\" -j DROP";
    let (_, rules, _) = answer(&firewall([filter(rules)]), kubelet());
    assert!(!rules[0].contains('\u{1b}'), "{rules:?}");
}
