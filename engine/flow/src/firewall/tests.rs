//! Firewalls and routes by example.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::*;
use crate::nsg::TagContext;
use crate::policy::{Policy, Verdict};
use crate::set::{AddressSet, Direction, Packet, PacketSet, Protocol, Space};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn packet(protocol: Protocol, destination: &str, port: u16) -> Packet {
    let mut packet = Packet::new_tcp(ip("10.224.0.4"), ip(destination), port)
        .with_direction(Direction::Outbound);
    packet.protocol = protocol;
    packet
}

fn verdict(firewall: &Firewall, tags: &TagContext, packet: &Packet) -> (Verdict, Vec<String>) {
    let policy = firewall.policy(tags).unwrap();
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    let answer = decisions.answer(&mut space, packet).unwrap();
    let rules = answer.rules.into_iter().map(|rule| rule.rule);
    (answer.verdict, rules.collect())
}

fn classic(collections: Value) -> Value {
    json!({
        "name": "fw",
        "properties": { "threatIntelMode": "Alert", "networkRuleCollections": collections }
    })
}

fn collection(name: &str, priority: u32, action: &str, rule: Value) -> Value {
    json!({
        "name": name,
        "properties": { "priority": priority, "action": { "type": action }, "rules": [rule] }
    })
}

fn network_rule(protocol: &str, destination: &str, ports: &str) -> Value {
    json!({
        "name": "rule",
        "protocols": [protocol],
        "sourceAddresses": ["10.224.0.0/16"],
        "destinationAddresses": [destination],
        "destinationPorts": [ports]
    })
}

#[test]
fn a_classic_firewall_decides_by_collection_priority_and_denies_the_rest() {
    let firewall = Firewall::from_classic(&classic(json!([
        collection("open", 200, "Allow", network_rule("TCP", "*", "9000")),
        collection(
            "shut",
            100,
            "Deny",
            network_rule("TCP", "20.0.0.0/8", "9000")
        ),
    ])))
    .unwrap();
    let tags = TagContext::new();
    let shut = verdict(&firewall, &tags, &packet(Protocol::TCP, "20.1.1.1", 9000));
    assert_eq!(shut.0, Verdict::Deny);
    assert_eq!(shut.1, ["networkRuleCollections/shut/rule"]);
    let open = verdict(&firewall, &tags, &packet(Protocol::TCP, "21.1.1.1", 9000));
    assert_eq!(open.0, Verdict::Allow);
    let rest = verdict(&firewall, &tags, &packet(Protocol::UDP, "21.1.1.1", 1194));
    assert_eq!(
        (rest.0, rest.1),
        (Verdict::Deny, vec!["no rule matches".to_owned()])
    );
}

#[test]
fn tags_ip_groups_and_host_names_are_known_or_unknown_by_name() {
    let group = "/subscriptions/s/ipGroups/Nodes";
    let rule = json!({
        "name": "tunnel",
        "protocols": ["UDP"],
        "sourceIpGroups": [group],
        "destinationAddresses": ["AzureCloud.westeurope"],
        "destinationFqdns": ["tunnel.example.com"],
        "destinationPorts": ["1194"]
    });
    let body = classic(json!([collection("c", 100, "Allow", rule)]));
    let firewall = Firewall::from_classic(&body).unwrap();
    let tunnel = packet(Protocol::UDP, "20.1.1.1", 1194);
    assert_eq!(
        verdict(&firewall, &TagContext::new(), &tunnel).0,
        Verdict::Unknown
    );
    let cloud = AddressSet::prefix("20.0.0.0/8".parse().unwrap());
    let nodes = AddressSet::prefix("10.224.0.0/16".parse().unwrap());
    let known = TagContext::new()
        .with_tag("azurecloud.WestEurope", cloud)
        .with_ip_group(&group.to_uppercase(), nodes);
    assert_eq!(verdict(&firewall, &known, &tunnel).0, Verdict::Allow);
    // Elsewhere only the host name could make it pass.
    let elsewhere = packet(Protocol::UDP, "30.1.1.1", 1194);
    let policy = firewall.policy(&known).unwrap();
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    let answer = decisions.answer(&mut space, &elsewhere).unwrap();
    assert_eq!(answer.verdict, Verdict::Unknown);
    assert_eq!(answer.atoms.len(), 1);
    assert_eq!(answer.atoms[0].name, "destination is tunnel.example.com");
}

fn policy_group(name: &str, priority: u32, collections: Value) -> Value {
    json!({
        "name": name,
        "properties": { "priority": priority, "ruleCollections": collections }
    })
}

fn policy_collection(name: &str, priority: u32, action: &str, rule: Value) -> Value {
    json!({
        "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
        "name": name, "priority": priority, "action": { "type": action }, "rules": [rule]
    })
}

fn policy_rule(kind: &str, destination: &str) -> Value {
    json!({
        "ruleType": kind, "name": "rule", "ipProtocols": ["TCP"],
        "sourceAddresses": ["*"], "destinationAddresses": [destination],
        "destinationPorts": ["443"]
    })
}

#[test]
fn a_parent_policy_comes_first_and_network_rules_before_application_rules() {
    let parent = json!({ "name": "parent", "properties": {} });
    let child = json!({ "name": "child", "properties": { "basePolicy": { "id": "/parent" } } });
    let application = json!({
        "ruleType": "ApplicationRule", "name": "web", "sourceAddresses": ["*"],
        "protocols": [{ "protocolType": "Https", "port": 443 }],
        "targetFqdns": ["*.example.com"]
    });
    // The parent's group has the larger number and comes first all the same.
    let of_parent = [policy_group(
        "base",
        500,
        json!([policy_collection(
            "deny",
            500,
            "Deny",
            policy_rule("NetworkRule", "20.0.0.0/8")
        )]),
    )];
    let of_child = [policy_group(
        "own",
        100,
        json!([
            policy_collection("web", 100, "Deny", application),
            policy_collection(
                "open",
                200,
                "Allow",
                policy_rule("NetworkRule", "20.0.0.0/7")
            ),
        ]),
    )];
    let firewall = Firewall::from_policies(&[(&parent, &of_parent), (&child, &of_child)]).unwrap();
    assert_eq!(firewall.name, "child");
    let tags = TagContext::new();
    let denied = verdict(&firewall, &tags, &packet(Protocol::TCP, "20.1.1.1", 443));
    assert_eq!(
        (denied.0, denied.1),
        (Verdict::Deny, vec!["base/deny/rule".to_owned()])
    );
    let open = verdict(&firewall, &tags, &packet(Protocol::TCP, "21.1.1.1", 443));
    assert_eq!(
        (open.0, open.1),
        (Verdict::Allow, vec!["own/open/rule".to_owned()])
    );
    let named = verdict(&firewall, &tags, &packet(Protocol::TCP, "30.1.1.1", 443));
    assert_eq!(named.0, Verdict::Unknown);
}

#[test]
fn rules_of_nat_are_those_of_the_firewalls_own_policy_alone() {
    let parent = json!({ "name": "parent", "properties": {} });
    let child = json!({ "name": "child", "properties": { "basePolicy": { "id": "/parent" } } });
    let nat = policy_collection("nat", 100, "DNAT", policy_rule("NatRule", "20.1.1.1"));
    let open = policy_collection("open", 200, "Allow", policy_rule("NetworkRule", "*"));
    let with_nat = [policy_group("g", 100, json!([nat, open]))];
    let without = [policy_group("g", 100, json!([open]))];
    let ask = |of_parent: &[Value], of_child: &[Value]| {
        let levels = [(&parent, of_parent), (&child, of_child)];
        let firewall = Firewall::from_policies(&levels).unwrap();
        let packet = packet(Protocol::TCP, "20.1.1.1", 443);
        verdict(&firewall, &TagContext::new(), &packet).0
    };
    assert_eq!(ask(&with_nat, &without), Verdict::Allow);
    assert_eq!(ask(&without, &with_nat), Verdict::Unknown);
}

#[test]
fn threat_intelligence_that_denies_makes_every_allow_depend_on_it() {
    let mut body = classic(json!([collection(
        "open",
        200,
        "Allow",
        network_rule("TCP", "*", "9000")
    )]));
    body["properties"]["threatIntelMode"] = json!("Deny");
    let firewall = Firewall::from_classic(&body).unwrap();
    let answer = verdict(
        &firewall,
        &TagContext::new(),
        &packet(Protocol::TCP, "2.1.1.1", 9000),
    );
    assert_eq!(answer.0, Verdict::Unknown);
}

#[test]
fn what_cannot_be_a_firewall_is_refused_by_code_and_place() {
    let refused = |rule: Value| {
        let body = classic(json!([collection("c", 100, "Allow", rule)]));
        let firewall = Firewall::from_classic(&body);
        firewall
            .and_then(|firewall| firewall.policy(&TagContext::new()).map(|_| ()))
            .unwrap_err()
    };
    let changed = |field: &str, value: Value| {
        let mut rule = network_rule("TCP", "*", "443");
        rule[field] = value;
        refused(rule)
    };
    let cases = [
        (
            changed("destinationPorts", json!(["65536"])),
            "field_value_out_of_range",
        ),
        (changed("destinationPorts", json!([])), "field_missing"),
        (changed("protocols", json!(["SCTP"])), "field_value_invalid"),
        (
            changed("sourceAddresses", json!(["10.0.0.1/8"])),
            "prefix_has_host_bits",
        ),
        (
            changed("sourceAddresses", json!(["010.0.0.0/8"])),
            "field_value_invalid",
        ),
        (
            changed("sourceAddresses", json!("*")),
            "field_value_invalid",
        ),
        (changed("destinationAddresses", json!([])), "field_missing"),
    ];
    for (error, code) in cases {
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains("rule"), "{error}");
    }
    let twice = classic(json!([
        collection("a", 100, "Allow", network_rule("TCP", "*", "1")),
        collection("b", 100, "Deny", network_rule("TCP", "*", "1")),
    ]));
    let firewall = Firewall::from_classic(&twice).unwrap();
    let error = firewall.policy(&TagContext::new()).unwrap_err();
    assert_eq!(error.code(), "firewall_priority_duplicate");
    let low = classic(json!([collection(
        "a",
        99,
        "Allow",
        network_rule("TCP", "*", "1")
    )]));
    assert_eq!(
        Firewall::from_classic(&low).unwrap_err().code(),
        "field_value_out_of_range"
    );
    let governed = json!({
        "name": "fw", "properties": { "firewallPolicy": { "id": "/policy" } }
    });
    let error = Firewall::from_classic(&governed).unwrap_err();
    assert_eq!(error.code(), "firewall_governed_by_policy");
}

#[test]
fn collections_of_a_policy_may_be_empty_and_those_of_a_classic_firewall_not() {
    let group = |collections: Value| [policy_group("g", 100, collections)];
    let policy = json!({ "name": "p", "properties": {} });
    let open = || policy_collection("open", 200, "Allow", policy_rule("NetworkRule", "*"));
    let mut empty = policy_collection("empty", 100, "Deny", json!(null));
    empty["rules"] = json!([]);
    let packet = packet(Protocol::TCP, "20.1.1.1", 443);
    for (collections, expected) in [
        (json!([empty, open()]), Verdict::Allow),
        (json!([open()]), Verdict::Allow),
        // Host names of Azure itself may still let it pass.
        (json!([empty]), Verdict::Unknown),
        (json!([]), Verdict::Unknown),
    ] {
        let group = group(collections);
        let firewall = Firewall::from_policies(&[(&policy, &group)]).unwrap();
        assert_eq!(verdict(&firewall, &TagContext::new(), &packet).0, expected);
    }
    let code = |rules: Value| {
        let mut collection = collection("c", 100, "Allow", json!(null));
        collection["properties"]["rules"] = rules;
        let error = Firewall::from_classic(&classic(json!([collection]))).unwrap_err();
        assert!(error.to_string().contains("rule collection c"), "{error}");
        error.code()
    };
    assert_eq!(code(json!([])), "field_empty");
    assert_eq!(code(Value::Null), "field_missing");
    assert_eq!(code(json!({})), "field_value_invalid");
}

#[test]
fn a_million_characters_are_refused_in_a_short_message() {
    let long = "x".repeat(1_000_000);
    let whole = classic(json!([collection(
        "open",
        200,
        "Allow",
        network_rule("TCP", "10.0.0.0/8", "9000")
    )]));
    for word in ["Allow", "TCP", "10.0.0.0/8", "9000"] {
        let body: Value = serde_json::from_str(&whole.to_string().replace(word, &long)).unwrap();
        let firewall = Firewall::from_classic(&body);
        let read = firewall.and_then(|firewall| firewall.policy(&TagContext::new()).map(drop));
        // A name of any length is a service tag or none; either way it is short to tell.
        let message = read.unwrap_err().to_string();
        assert!(message.chars().count() < 600, "{word}: {}", message.len());
    }
    let route = json!({ "name": long, "properties": {
        "addressPrefix": long, "nextHopType": "Internet" } });
    let table = json!({ "name": "rt", "properties": { "routes": [route] } });
    let message = RouteTable::from_arm(&table, &TagContext::new())
        .unwrap_err()
        .to_string();
    assert!(message.chars().count() < 600, "{}", message.len());
}

#[test]
fn the_longest_prefix_decides_where_packets_go() {
    let table = json!({ "name": "rt", "properties": { "routes": [
        { "name": "default", "properties": {
            "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.0.1.4" } },
        { "name": "api", "properties": {
            "addressPrefix": "20.7.7.7/32", "nextHopType": "Internet" } },
        { "name": "black", "properties": {
            "addressPrefix": "20.7.0.0/16", "nextHopType": "none" } }
    ] } });
    let network: IpNet = "10.0.0.0/8".parse().unwrap();
    let table = RouteTable::from_arm(&table, &TagContext::new())
        .unwrap()
        .with_system_routes([&network]);
    let to = |text: &str| table.route(ip(text)).map(|route| route.next_hop);
    assert_eq!(to("20.7.7.7"), Some(NextHop::Internet));
    assert_eq!(to("20.7.7.8"), Some(NextHop::None));
    assert_eq!(to("10.9.9.9"), Some(NextHop::VirtualNetwork));
    assert_eq!(
        to("8.8.8.8"),
        Some(NextHop::VirtualAppliance(ip("10.0.1.4")))
    );
    let reaching = table.reaching(ip("10.0.1.4"));
    for text in ["20.7.7.7", "20.7.7.8", "10.9.9.9", "8.8.8.8", "fd00::1"] {
        let goes = to(text) == Some(NextHop::VirtualAppliance(ip("10.0.1.4")));
        assert_eq!(reaching.contains(ip(text)), goes, "{text}");
    }
}

#[test]
fn routes_that_cannot_be_are_refused() {
    let refused = |properties: Value| {
        let table = json!({ "name": "rt", "properties": { "routes": [
            { "name": "r", "properties": properties }
        ] } });
        RouteTable::from_arm(&table, &TagContext::new())
            .unwrap_err()
            .code()
    };
    for no_prefix in ["*", "10.0.0.1", "Azure Cloud"] {
        assert_eq!(
            refused(json!({ "addressPrefix": no_prefix, "nextHopType": "Internet" })),
            "field_value_invalid"
        );
    }
    assert_eq!(
        refused(json!({ "addressPrefix": "AzureCloud", "nextHopType": "Internet" })),
        "route_tag_unknown"
    );
    assert_eq!(
        refused(json!({ "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance" })),
        "field_missing"
    );
    assert_eq!(
        refused(json!({ "nextHopType": "Internet" })),
        "field_missing"
    );
    assert_eq!(
        refused(json!({ "addressPrefix": "10.0.0.1/8", "nextHopType": "Internet" })),
        "prefix_has_host_bits"
    );
    assert_eq!(
        refused(json!({ "addressPrefix": "010.0.0.0/8", "nextHopType": "Internet" })),
        "field_value_invalid"
    );
    assert_eq!(
        RouteTable::from_arm(&json!({}), &TagContext::new())
            .unwrap_err()
            .code(),
        "field_missing"
    );
}

#[test]
fn the_delta_of_an_added_rule_is_what_it_lets_out() {
    let shut = json!([collection(
        "web",
        200,
        "Allow",
        network_rule("TCP", "*", "443")
    )]);
    let mut open = shut.clone();
    open.as_array_mut().unwrap().push(collection(
        "tunnel",
        300,
        "Allow",
        network_rule("UDP", "20.0.0.0/8", "1194"),
    ));
    let read = |collections| Firewall::from_classic(&classic(collections)).unwrap();
    let (before, after) = (read(shut), read(open));
    let mut space = Space::new();
    let delta = firewall_delta(&mut space, &before, &after, &TagContext::new()).unwrap();
    let report = delta.report(&space).unwrap();
    assert_eq!(
        report.words,
        ["newly allowed: UDP 1194 from 10.224.0.0/16 to 20.0.0.0/8"]
    );
    let same = firewall_delta(&mut space, &after, &after, &TagContext::new()).unwrap();
    assert!(same.is_empty());
}

#[test]
fn azures_examples_of_firewalls_policies_and_routes_are_read() {
    let Some(classic) = crate::testing::example("AzureFirewallGet.json") else {
        return;
    };
    let tags = TagContext::new();
    Firewall::from_classic(&classic)
        .unwrap()
        .policy(&tags)
        .unwrap();
    let policy = crate::testing::example("FirewallPolicyGet.json").unwrap();
    let groups = [
        "FirewallPolicyRuleCollectionGroupWithIpGroupsGet.json",
        "FirewallPolicyNatRuleCollectionGroupGet.json",
    ];
    let groups: Vec<Value> = groups
        .iter()
        .filter_map(|name| crate::testing::example(name))
        .collect();
    let firewall = Firewall::from_policies(&[(&policy, &groups)]).unwrap();
    // One signature denies: four rules are for what bypasses it, and one is of intrusion
    // detection.
    assert_eq!(firewall.policy(&tags).unwrap().rules.len(), 4 + 4 + 1);
    let table = crate::testing::example("RouteTableGet.json").unwrap();
    let table = RouteTable::from_arm(&table, &TagContext::new()).unwrap();
    assert_eq!(table.routes()[0].next_hop, NextHop::VirtualNetworkGateway);
}
