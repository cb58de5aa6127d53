//! Security admin rules: which are in force, and what they leave to the groups.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::meaning::{judge, numbered, small_network, small_rule, small_rule_of_addresses};
use crate::nsg::{
    AdminAccess, AdminPolicy, AdminRule, AdminRulesInForce, Direction, Nsg, NsgRule,
    UnreadAdminRules,
};
use crate::policy::Policy;
use crate::set::{ConnectionState, Membership, Packet, PacketSet, Space};
use crate::testing::universe;

const COLLECTION: &str = "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/\
                          networkManagers/m/securityAdminConfigurations/c/ruleCollections/baseline";

fn listed(name: &str, priority: u16, access: &str) -> Value {
    json!({ "id": format!("{COLLECTION}/rules/{name}"), "kind": "Custom", "properties": {
        "priority": priority, "direction": "Inbound", "access": access, "protocol": "Tcp",
        "sources": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
        "destinationPortRanges": ["10250"] } })
}

fn of_networks(answers: &[(&str, Result<Vec<Value>, &str>)]) -> AdminRulesInForce {
    AdminRulesInForce::of_networks(
        answers
            .iter()
            .map(|(id, answer)| (*id, answer.clone().map_err(str::to_owned))),
    )
}

#[test]
fn rules_in_force_are_named_after_their_collection() {
    let rules = of_networks(&[("/v/one", Ok(vec![listed("deny", 7, "Deny")]))]);
    assert_eq!(rules.unread, None);
    let [rule] = rules.rules.as_slice() else {
        panic!("{rules:?}");
    };
    assert_eq!(rule.name, "baseline/deny");
    assert_eq!((rule.priority, rule.access), (7, AdminAccess::Deny));
}

#[test]
fn networks_of_the_same_rules_are_one_and_others_leave_them_open() {
    let deny = || Ok(vec![listed("deny", 7, "Deny")]);
    let same = of_networks(&[("/v/one", deny()), ("/v/two", deny())]);
    assert_eq!((same.rules.len(), same.unread), (1, None));
    let other = of_networks(&[("/v/one", deny()), ("/v/two", Ok(Vec::new()))]);
    assert!(other.rules.is_empty());
    assert_eq!(other.unread.unwrap().network, "two");
}

#[test]
fn rules_that_cannot_be_read_or_make_no_sense_are_unread_with_the_reason() {
    let unread = |answer| {
        let rules = of_networks(&[("/v/one", answer)]);
        assert!(rules.rules.is_empty());
        let UnreadAdminRules { network, reason } = rules.unread.unwrap();
        assert_eq!(network, "one");
        reason
    };
    assert_eq!(unread(Err("forbidden")), "forbidden");
    let reason = unread(Ok(vec![listed("a", 0, "Deny")]));
    assert!(reason.contains("priority"), "{reason}");
    let mut port = listed("a", 1, "Deny");
    port["properties"]["destinationPortRanges"] = json!(["70000"]);
    assert!(unread(Ok(vec![port])).contains("70000"));
    let mut nameless = listed("a", 1, "Deny");
    nameless["id"] = Value::Null;
    assert!(unread(Ok(vec![nameless])).contains("id"));
}

#[test]
fn what_is_unread_makes_every_new_connection_unknown() {
    let open = Nsg::new("nsg", Vec::new()).unwrap();
    let rules = AdminRulesInForce::unread("vnet", "forbidden");
    let tags = small_network();
    let (known, whole) = (
        rules.known_policy(&tags).unwrap(),
        rules.policy(&tags).unwrap(),
    );
    let group = open.policy(&tags).unwrap();
    let packet = Packet::new_tcp([0, 0, 0, 0].into(), [0, 0, 0, 1].into(), 1);
    let contains = |admin: &AdminPolicy| {
        let mut space = Space::new();
        let decisions = admin
            .before(&group)
            .decide(&mut space, PacketSet::ALL)
            .unwrap();
        let allowed = decisions.allowed(&mut space).unwrap();
        space.contains(allowed, &packet)
    };
    assert_eq!(contains(&known), Membership::Yes);
    assert!(matches!(contains(&whole), Membership::Depends(_)));
}

fn verdicts(rules: &[Value]) -> (Membership, Vec<String>) {
    let rules = of_networks(&[("/v/one", Ok(rules.to_vec()))]);
    assert_eq!(rules.unread, None);
    let policy = rules.policy(&small_network()).unwrap();
    let packet = Packet::new_tcp([0, 0, 0, 0].into(), [0, 0, 0, 1].into(), 10250);
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    let allowed = decisions.allowed(&mut space).unwrap();
    let atoms = space.atoms_of(allowed).into_iter();
    let atoms = atoms.filter_map(|atom| Some(space.atom_of(atom)?.name.clone()));
    let atoms = atoms.collect();
    (space.contains(allowed, &packet), atoms)
}

#[test]
fn which_of_two_rules_with_the_same_priority_decides_is_unknown_only_where_it_matters() {
    let deny = listed("deny", 7, "Deny");
    let always = listed("always", 7, "AlwaysAllow");
    let (open, atoms) = verdicts(&[deny.clone(), always.clone()]);
    assert!(matches!(open, Membership::Depends(_)));
    assert_eq!(
        atoms,
        ["security admin rules: baseline/always comes first of its priority"]
    );
    let first = listed("first", 6, "Deny");
    assert_eq!(
        verdicts(&[deny.clone(), always.clone(), first]).0,
        Membership::No
    );
    let twice = [deny.clone(), listed("deny-too", 7, "Deny")];
    assert_eq!(verdicts(&twice), (Membership::No, Vec::new()));
    let mut elsewhere = always;
    elsewhere["properties"]["destinationPortRanges"] = json!(["443"]);
    assert_eq!(verdicts(&[deny, elsewhere]).0, Membership::No);
}

fn of_manager(manager: &str, mut rule: Value) -> Value {
    let id = rule["id"].as_str().unwrap();
    let id = id.replace("networkManagers/m/", &format!("networkManagers/{manager}/"));
    rule["id"] = json!(id);
    rule
}

#[test]
fn which_of_two_network_managers_comes_first_is_unknown_whatever_their_priorities() {
    let hub = of_manager("hub", listed("rule", 100, "Deny"));
    let spoke = of_manager("spoke", listed("rule", 7, "AlwaysAllow"));
    let (open, atoms) = verdicts(&[hub.clone(), spoke.clone()]);
    assert!(matches!(open, Membership::Depends(_)));
    assert_eq!(
        atoms,
        ["security admin rules: the rules of network manager hub come first"]
    );
    // Whoever comes first, its own rules are in their order.
    let first = of_manager("hub", listed("first", 6, "AlwaysAllow"));
    assert_eq!(verdicts(&[hub, spoke.clone(), first]).0, Membership::Yes);
    let agreed = of_manager("hub", listed("rule", 100, "AlwaysAllow"));
    assert_eq!(verdicts(&[agreed, spoke]), (Membership::Yes, Vec::new()));
}

#[test]
fn a_rule_is_found_under_its_manager_where_others_have_one_of_its_name() {
    let rules = [
        of_manager("hub", listed("rule", 100, "Deny")),
        of_manager("spoke", listed("rule", 7, "Deny")),
    ];
    let rules = of_networks(&[("/v/one", Ok(rules.to_vec()))]);
    let policy = rules.policy(&small_network()).unwrap();
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    let found: Vec<(String, u16)> = decisions
        .rules()
        .iter()
        .filter_map(|rule| policy.rule(rule, Direction::Inbound))
        .map(|rule| (rule.manager.clone(), rule.priority))
        .collect();
    assert_eq!(found, [("spoke".to_owned(), 7), ("hub".to_owned(), 100)]);
}

#[test]
fn networks_that_list_the_same_rules_in_another_order_have_the_same() {
    let (one, two) = (listed("a", 7, "Deny"), listed("b", 8, "Deny"));
    let told = [
        ("/v/one", Ok(vec![one.clone(), two.clone()])),
        ("/v/two", Ok(vec![two, one])),
    ];
    assert_eq!(of_networks(&told).unread, None);
}

#[test]
fn the_networks_of_a_network_group_are_unknown() {
    let mut rule = listed("deny", 7, "Deny");
    rule["properties"]["sources"] = json!([{
        "addressPrefix": "/subscriptions/s/networkManagers/m/networkGroups/Spokes",
        "addressPrefixType": "NetworkGroup" }]);
    let (verdict, atoms) = verdicts(&[rule]);
    assert!(matches!(verdict, Membership::Depends(_)));
    assert!(atoms[0].contains("networkgroups/spokes"), "{atoms:?}");
}

/// Whether one rule matches, by hand.
fn matches(rule: &NsgRule, packet: &Packet) -> bool {
    let mut only = numbered(vec![NsgRule {
        access: crate::nsg::Access::Allow,
        ..rule.clone()
    }]);
    only.default_rules.clear();
    judge(&only, packet)
}

fn small_admin_rule() -> impl Strategy<Value = (AdminAccess, NsgRule)> {
    let access = prop_oneof![
        Just(AdminAccess::Allow),
        Just(AdminAccess::AlwaysAllow),
        Just(AdminAccess::Deny),
    ];
    (access, small_rule_of_addresses())
}

fn admin_rule(priority: u16, access: AdminAccess, rule: &NsgRule) -> AdminRule {
    let any_is_empty = |texts: &[String]| {
        let texts = texts.iter().filter(|text| *text != "*");
        texts.cloned().collect::<Vec<String>>()
    };
    AdminRule {
        name: format!("c/{priority}"),
        manager: "m".to_owned(),
        priority,
        direction: rule.direction,
        access,
        protocol: rule.protocol.replace('*', "Any"),
        sources: any_is_empty(&rule.source_prefixes),
        source_ports: any_is_empty(&rule.source_ports),
        destinations: any_is_empty(&rule.destination_prefixes),
        destination_ports: any_is_empty(&rule.destination_ports),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn admin_rules_and_then_a_group_decide_every_packet_as_by_hand(
        admin in proptest::collection::vec(small_admin_rule(), 0..6),
        rules in proptest::collection::vec(small_rule(), 0..6),
    ) {
        let group = numbered(rules);
        let tags = small_network();
        let written: Vec<AdminRule> = (1_u16..)
            .zip(&admin)
            .map(|(priority, (access, rule))| admin_rule(priority, *access, rule))
            .collect();
        let policy = AdminPolicy::new(&written, &tags).unwrap();
        let group_policy = group.policy(&tags).unwrap();
        let mut space = Space::new();
        let both = policy.before(&group_policy).decide(&mut space, PacketSet::ALL).unwrap();
        let both = both.allowed(&mut space).unwrap();
        let alone = policy.decide(&mut space, PacketSet::ALL).unwrap();
        let alone = alone.allowed(&mut space).unwrap();
        for packet in universe() {
            let is_new = packet.state == ConnectionState::New;
            let first = admin.iter().find(|(_, rule)| is_new && matches(rule, &packet));
            let (passes_alone, passes) = match first {
                Some((AdminAccess::Deny, _)) => (false, false),
                Some((AdminAccess::AlwaysAllow, _)) => (true, true),
                Some((AdminAccess::Allow, _)) | None => (true, judge(&group, &packet)),
            };
            let expected = |passes| if passes { Membership::Yes } else { Membership::No };
            prop_assert_eq!(space.contains(both, &packet), expected(passes), "{}", packet);
            prop_assert_eq!(space.contains(alone, &packet), expected(passes_alone), "{}", packet);
        }
    }

    #[test]
    fn of_rules_with_one_priority_or_of_several_managers_any_that_matches_may_decide(
        admin in proptest::collection::vec(small_admin_rule(), 0..5),
        of_one_manager in any::<bool>(),
    ) {
        let written: Vec<AdminRule> = (0..)
            .zip(&admin)
            .map(|(number, (access, rule))| AdminRule {
                name: format!("c/{number}"),
                manager: if of_one_manager { "m".to_owned() } else { format!("m{number}") },
                ..admin_rule(7, *access, rule)
            })
            .collect();
        let policy = AdminPolicy::new(&written, &small_network()).unwrap();
        let mut space = Space::new();
        let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
        let allowed = decisions.allowed(&mut space).unwrap();
        for packet in universe() {
            let is_new = packet.state == ConnectionState::New;
            let matching = admin.iter().filter(|(_, rule)| is_new && matches(rule, &packet));
            let passes: Vec<bool> = matching
                .map(|(access, _)| *access != AdminAccess::Deny)
                .collect();
            let is = space.contains(allowed, &packet);
            let as_expected = match (passes.contains(&true), passes.contains(&false)) {
                (true, true) => matches!(is, Membership::Depends(_)),
                (false, true) => is == Membership::No,
                _ => is == Membership::Yes,
            };
            prop_assert!(as_expected, "{} {:?} {:?}", packet, passes, is);
        }
    }
}
