//! Changes of rulesets and what they change for packets.

use super::super::*;
use crate::delta::FlowDelta;
use crate::set::{AddressSet, FlowBox, PacketSet, PortSet, Space};

const RULES: &str = "*filter\n:INPUT ACCEPT\n:A -\n\
    -A INPUT -m limit --limit 3/min -j A\n\
    -A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 10250 -j DROP\n\
    -A INPUT -p tcp -m tcp --dport 22 -m limit --limit 1/sec -j DROP\n\
    -A A -p udp -j DROP\nCOMMIT\n";

fn ruleset() -> Ruleset {
    Ruleset::parse(Family::Ipv4, RULES).unwrap()
}

fn rule(text: &str) -> Rule {
    Rule::parse(Family::Ipv4, text, &["A"]).unwrap()
}

fn delta(space: &mut Space, before: &Ruleset, after: &Ruleset) -> FlowDelta {
    let decide = |space: &mut Space, ruleset: &Ruleset| {
        let firewall = NodeFirewall::new([ruleset.clone()], Knowledge::default());
        firewall
            .analyse(space, Hook::Input, PacketSet::ALL)
            .unwrap()
            .decisions
    };
    let before = decide(space, before);
    let after = decide(space, after);
    FlowDelta::between(space, &before, &after).unwrap()
}

#[test]
fn deleting_a_drop_opens_exactly_what_it_dropped() {
    let before = ruleset();
    let typed = rule("--jump DROP --protocol tcp --source 10.0.0.1 --destination-port 10250");
    let delete = Edit::Delete {
        table: TableName::Filter,
        chain: "INPUT".to_owned(),
        rule: typed.clone(),
    };
    let (after, number) = before.edited(&delete).unwrap();
    assert_eq!(number, 2);
    assert_eq!(after.edited(&delete).unwrap_err().code(), "no_such_rule");
    let mut space = Space::new();
    let delta = delta(&mut space, &before, &after);
    let source = AddressSet::host("10.0.0.1".parse().unwrap());
    let opened = FlowBox::any()
        .with_protocol(crate::set::Protocol::TCP)
        .with_sources(source)
        .with_destinations(AddressSet::any_v4())
        .with_destination_ports(PortSet::single(10250_u16));
    assert_eq!(delta.newly_allowed, space.flow(&opened).unwrap());
    // The rate limits around it are as unknown as before: nothing of theirs changes.
    assert!(delta.is_exactly_known());
    assert!(delta.newly_denied.is_empty());
    let insert = Edit::Insert {
        table: TableName::Filter,
        chain: "INPUT".to_owned(),
        number,
        rule: typed,
    };
    let (restored, _) = after.edited(&insert).unwrap();
    assert!(super::edit::delta(&mut space, &before, &restored).is_empty());
}

#[test]
fn a_place_or_chain_that_is_not_there_is_refused() {
    let insert = |chain: &str, number| {
        let (table, chain) = (TableName::Filter, chain.to_owned());
        ruleset().edited(&Edit::Insert {
            table,
            chain,
            number,
            rule: rule("-j DROP"),
        })
    };
    assert_eq!(insert("INPUT", 4).unwrap().1, 4);
    assert_eq!(
        insert("INPUT", 5).unwrap_err().code(),
        "no_such_rule_number"
    );
    assert_eq!(
        insert("INPUT", 0).unwrap_err().code(),
        "no_such_rule_number"
    );
    assert_eq!(insert("OUTPUT", 1).unwrap_err().code(), "no_such_chain");
}
