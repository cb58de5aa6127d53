//! The plugin's judgement and proposal on recorded estates.

use naosu_egress_open_port::EgressOpenPort;
use naosu_plugin::{
    Effect, Finding, FirewallRuleEffect, Judgement, ObserveError, Plugin, PluginError, Proposal,
    Query, TcpProbe, TunnelType, kubernetes_endpoints,
    testing::{self, Estate, Recorded, TestFirewall},
};
use serde_json::{Value, json};

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<EgressOpenPort>(recorded).unwrap()
}

fn plan(recorded: &Recorded, parameters: &str) -> Result<Proposal, PluginError> {
    testing::plan::<EgressOpenPort>(recorded, parameters)
}

fn added(recorded: &Recorded, parameters: &str) -> FirewallRuleEffect {
    let proposal = plan(recorded, parameters).unwrap();
    match proposal.steps.as_slice() {
        [step] => match &step.effect {
            Effect::FirewallRuleAdd(rule) => rule.clone(),
            other => panic!("not a rule to add: {other:?}"),
        },
        other => panic!("not one step: {other:?}"),
    }
}

fn mended(recorded: &Recorded) -> bool {
    testing::verify::<EgressOpenPort>(recorded).unwrap().mended
}

fn https() -> Value {
    TestFirewall::rule("https", "TCP", "AzureCloud.westeurope", "443")
}

fn high_ports() -> Value {
    TestFirewall::rule("high", "TCP", "*", "1024-65535")
}

/// All of the subnet goes through a firewall.
fn behind(tunnel: TunnelType, firewall: TestFirewall) -> Estate {
    Estate {
        tunnel,
        routes: Some(vec![Estate::route(
            "default",
            "0.0.0.0/0",
            Estate::FIREWALL,
        )]),
        firewall: Some(firewall),
        ..Estate::default()
    }
}

fn classic(collections: Vec<Value>) -> Estate {
    behind(TunnelType::Tunnelfront, TestFirewall::Classic(collections))
}

fn https_only() -> Estate {
    classic(vec![TestFirewall::classic("aks", 200, "Allow", &[https()])])
}

fn policy(groups: Vec<Value>) -> Estate {
    let policies = vec![("fwp", groups)];
    behind(TunnelType::AksLink, TestFirewall::Policies(policies))
}

/// The way of TCP 443 through an appliance that is no Azure Firewall.
fn behind_appliance() -> Estate {
    Estate {
        routes: Some(vec![Estate::route("default", "0.0.0.0/0", "10.225.0.9")]),
        ..Estate::default()
    }
}

fn tcp_probe() -> Query {
    Query::TcpProbe(TcpProbe {
        from_node: Estate::node_name(0),
        to_host: "203.0.113.10".into(),
        port: 443,
    })
}

fn tunnel_probe() -> Query {
    Query::TunnelProbe(Estate::node_name(0))
}

fn answer(reached: bool, error: &str) -> Value {
    json!({ "reached": reached, "error": error, "elapsed_ms": 3 })
}

fn nothing_answers(recorded: &mut Recorded) {
    recorded.put(tunnel_probe(), answer(false, "No agent available"));
    recorded.put(tcp_probe(), answer(false, "timed out after 5 s"));
}

#[test]
fn a_classic_firewall_without_the_port_is_confirmed_with_route_and_firewall() {
    let finding = diagnose(&https_only().record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("TCP 9000"), "{}", finding.summary);
    let has = |field: &str, value: &str| {
        finding
            .evidence
            .iter()
            .any(|e| e.field.contains(field) && e.value.contains(value))
    };
    assert!(has(
        "properties.routes[default]",
        "0.0.0.0/0 -> VirtualAppliance 10.225.0.4"
    ));
    assert!(has("privateIPAddress", "10.225.0.4"));
    assert!(has("networkRuleCollections", "no rule matches"));
    assert!(has("subsets[].addresses[].ip", "203.0.113.10"));
    assert_eq!(finding.infeasible, None);
    let flow = &finding.required_flows[0];
    assert_eq!(flow.protocol, "Tcp");
    assert_eq!(flow.source_prefixes, ["10.224.0.4/31", "10.224.0.6"]);
    assert_eq!(flow.destination_prefixes, ["203.0.113.10"]);
    assert_eq!(flow.destination_ports, ["9000"]);
}

#[test]
fn the_rule_is_narrow_and_stands_where_nothing_collides() {
    let rule = added(&https_only().record(), "{}");
    assert!(
        rule.resource.ends_with("/azureFirewalls/fw"),
        "{}",
        rule.resource
    );
    assert_eq!(
        (rule.collection.as_str(), rule.collection_priority),
        ("naosu-tunnel", 300)
    );
    assert_eq!(rule.rule.protocols, ["TCP"]);
    assert_eq!(rule.rule.source_addresses, ["10.224.0.4/31", "10.224.0.6"]);
    assert_eq!(rule.rule.destination_addresses, ["203.0.113.10"]);
    assert_eq!(rule.rule.destination_ports, ["9000"]);
    let subnet = added(&https_only().record(), r#"{"scope": "subnet"}"#);
    assert_eq!(subnet.rule.source_addresses, ["10.224.0.0/16"]);
}

#[test]
fn the_collection_comes_before_the_one_that_denies_and_after_a_stricter_one() {
    let mut quarantine = TestFirewall::rule("quarantine", "TCP", "*", "*");
    quarantine["sourceAddresses"] = json!(["10.224.0.6"]);
    let estate = classic(vec![
        TestFirewall::classic("stricter", 150, "Deny", &[quarantine]),
        TestFirewall::classic("taken", 199, "Allow", &[https()]),
        TestFirewall::classic("deny", 200, "Deny", &[high_ports()]),
    ]);
    let finding = diagnose(&estate.record());
    assert!(
        finding.evidence.iter().any(|e| e.field
            == "properties.networkRuleCollections[deny].properties.rules[high]"
            && e.value.contains("priority 200")),
        "{:#?}",
        finding.evidence
    );
    let proposal = plan(&estate.record(), "{}").unwrap();
    assert!(
        proposal.steps[0].title.contains("before"),
        "{}",
        proposal.steps[0].title
    );
    assert_eq!(added(&estate.record(), "{}").collection_priority, 198);
    let wanted = added(&estate.record(), r#"{"collection_priority": 160}"#);
    assert_eq!(wanted.collection_priority, 160);
    for bad in [150, 199, 200, 65_000] {
        let parameters = json!({ "collection_priority": bad }).to_string();
        let error = plan(&estate.record(), &parameters).unwrap_err();
        let PluginError::InvalidParameter(message) = error else {
            panic!("{bad}: {error:?}");
        };
        assert!(message.contains("151 to 199"), "{message}");
    }
}

#[test]
fn a_deny_at_the_first_number_cannot_be_beaten_and_that_is_said() {
    let estate = classic(vec![TestFirewall::classic(
        "deny",
        100,
        "Deny",
        &[high_ports()],
    )]);
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let why = finding.infeasible.unwrap();
    assert!(why.contains("deny/high"), "{why}");
    assert!(matches!(
        plan(&estate.record(), "{}"),
        Err(PluginError::NoFreePriority(_))
    ));
}

#[test]
fn a_policy_gets_the_rule_in_the_group_that_denies() {
    let mut udp = high_ports();
    udp["ipProtocols"] = json!(["UDP"]);
    let estate = policy(vec![
        TestFirewall::group("late", 300, &[]),
        TestFirewall::group(
            "network",
            200,
            &[
                TestFirewall::collection("allow", 300, "Allow", &[https()]),
                TestFirewall::collection("deny", 200, "Deny", &[udp]),
            ],
        ),
    ]);
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(
        finding.evidence.iter().any(|e| e
            .resource
            .ends_with("/firewallPolicies/fwp/ruleCollectionGroups/network")
            && e.field == "properties.ruleCollections[deny].rules[high]"),
        "{:#?}",
        finding.evidence
    );
    let rule = added(&estate.record(), "{}");
    assert!(
        rule.resource
            .ends_with("/firewallPolicies/fwp/ruleCollectionGroups/network")
    );
    assert_eq!(rule.collection_priority, 199);
    assert_eq!(rule.rule.protocols, ["UDP"]);
    assert_eq!(rule.rule.destination_ports, ["1194"]);
}

#[test]
fn what_a_parent_policy_denies_no_rule_of_the_child_wins_against() {
    let mut udp = high_ports();
    udp["ipProtocols"] = json!(["UDP"]);
    let deny = TestFirewall::collection("deny", 60_000, "Deny", &[udp]);
    let estate = behind(
        TunnelType::AksLink,
        TestFirewall::Policies(vec![
            ("parent", vec![TestFirewall::group("network", 200, &[deny])]),
            ("child", vec![TestFirewall::group("network", 100, &[])]),
        ]),
    );
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let why = finding.infeasible.unwrap();
    assert!(why.contains("parent/network/deny/high"), "{why}");
    assert!(matches!(
        plan(&estate.record(), "{}"),
        Err(PluginError::Infeasible(_))
    ));
}

#[test]
fn a_policy_without_a_group_says_that_one_has_to_be_made() {
    let finding = diagnose(&policy(Vec::new()).record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let why = finding.infeasible.unwrap();
    assert!(why.contains("no rule collection group"), "{why}");
}

#[test]
fn ports_of_other_tunnels_are_never_asked_for() {
    let deny = TestFirewall::classic("deny", 100, "Deny", &[high_ports()]);
    let allow = TestFirewall::classic("allow", 200, "Allow", &[https()]);
    let collections = vec![deny, allow];
    let konnectivity = behind(TunnelType::Konnectivity, TestFirewall::Classic(collections));
    let finding = diagnose(&konnectivity.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("TCP 443"), "{}", finding.summary);
    assert!(
        finding
            .evidence
            .iter()
            .any(|e| e.field.contains("rules[https]")),
        "{:#?}",
        finding.evidence
    );
}

#[test]
fn an_older_tunnel_of_a_private_cluster_does_not_leave_the_network() {
    let estate = Estate {
        cluster: json!({ "properties": {
            "apiServerAccessProfile": { "enablePrivateCluster": true } } }),
        ..https_only()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    assert!(finding.evidence[0].field.contains("enablePrivateCluster"));
    assert!(matches!(
        plan(&estate.record(), "{}"),
        Err(PluginError::NothingToDo(_))
    ));
}

#[test]
fn a_private_endpoint_in_the_network_is_reached_without_the_firewall() {
    let estate = Estate {
        cluster: json!({ "properties": {
            "apiServerAccessProfile": { "enablePrivateCluster": true } } }),
        api_server: Some(vec!["10.224.3.9"]),
        ..behind(TunnelType::Konnectivity, TestFirewall::Classic(Vec::new()))
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    // Where its address cannot be read, nothing is guessed.
    let unread = Estate {
        api_server: None,
        ..estate
    };
    let finding = diagnose(&unread.record());
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
}

#[test]
fn what_a_host_name_decides_is_tried_before_it_is_judged() {
    let by_name = json!({ "name": "aks", "properties": { "priority": 200,
        "action": { "type": "Allow" }, "rules": [{ "name": "api", "sourceAddresses": ["*"],
            "protocols": [{ "protocolType": "Https", "port": 443 }],
            "fqdnTags": ["AzureKubernetesService"] }] } });
    let estate = behind(TunnelType::Konnectivity, TestFirewall::Classic(Vec::new()));
    let mut recorded = estate.record();
    let list = Query::AzureList(format!(
        "{}/azureFirewalls",
        estate.network_id("").trim_end_matches('/')
    ));
    recorded.put(
        list,
        json!([{ "id": estate.network_id("azureFirewalls/fw"), "name": "fw", "properties": {
            "ipConfigurations": [{ "properties": { "privateIPAddress": Estate::FIREWALL } }],
            "applicationRuleCollections": [by_name] } }]),
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
    recorded.put(tunnel_probe(), answer(true, ""));
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    nothing_answers(&mut recorded);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert!(
        finding.summary.contains("AzureKubernetesService"),
        "{}",
        finding.summary
    );
    let rule = added(&recorded, "{}");
    assert_eq!(rule.rule.destination_ports, ["443"]);
}

#[test]
fn an_unknown_appliance_is_suspected_and_its_owner_is_told_the_exact_rule() {
    let mut recorded = behind_appliance().record();
    nothing_answers(&mut recorded);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert_eq!(finding.infeasible, None);
    let steps = plan(&recorded, "{}").unwrap().steps;
    let [step] = steps.as_slice() else {
        panic!("{steps:?}");
    };
    let Effect::Manual(ask) = &step.effect else {
        panic!("{step:?}");
    };
    for part in [
        "The appliance at 10.225.0.9 is not Azure's: ask its owner",
        "TCP 443",
        "10.224.0.4/31, 10.224.0.6",
        "203.0.113.10",
    ] {
        assert!(ask.contains(part), "{part} is not in {ask}");
    }
}

#[test]
fn an_appliance_that_lets_the_tunnel_pass_is_no_cause() {
    let mut recorded = behind_appliance().record();
    recorded.put(tunnel_probe(), answer(true, ""));
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    // The tunnel is down for another reason: a connection still gets through.
    recorded.put(tunnel_probe(), answer(false, "No agent available"));
    recorded.put(tcp_probe(), answer(false, "Connection refused"));
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
}

#[test]
fn an_appliance_that_cannot_be_tried_is_unknown() {
    let finding = diagnose(&behind_appliance().record());
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
}

#[test]
fn firewalls_that_may_not_be_listed_leave_a_doubt_that_is_named() {
    let estate = https_only();
    let mut recorded = Estate {
        tunnel: TunnelType::Konnectivity,
        ..estate.clone()
    }
    .record();
    let list = estate.network_id("azureFirewalls");
    recorded.fail(
        Query::AzureList(list),
        ObserveError::Forbidden("no right".into()),
    );
    nothing_answers(&mut recorded);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert!(
        finding.summary.contains("forbidden: no right"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_route_straight_to_the_api_server_needs_no_firewall() {
    let estate = Estate {
        routes: Some(vec![
            Estate::route("default", "0.0.0.0/0", Estate::FIREWALL),
            Estate::route("api", "203.0.113.10/32", "Internet"),
        ]),
        ..https_only()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    assert!(
        finding
            .evidence
            .iter()
            .any(|e| e.field == "properties.routes[api]")
    );
}

#[test]
fn without_the_address_the_tag_of_the_region_stands_for_it() {
    let unread = Estate {
        api_server: None,
        ..https_only()
    };
    let finding = diagnose(&unread.record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let rule = added(&unread.record(), "{}");
    assert_eq!(rule.rule.destination_addresses, ["AzureCloud.westeurope"]);
    let konnectivity = Estate {
        tunnel: TunnelType::Konnectivity,
        ..unread.clone()
    };
    assert_eq!(
        diagnose(&konnectivity.record()).judgement,
        Judgement::RuledOut
    );
    // Only a part of the tag is allowed, and the address may be another one.
    let part = TestFirewall::rule("part", "TCP", "203.0.113.0/25", "9000");
    let part = Estate {
        api_server: None,
        ..classic(vec![TestFirewall::classic("aks", 200, "Allow", &[part])])
    };
    assert_eq!(diagnose(&part.record()).judgement, Judgement::Confirmed);
}

#[test]
fn a_collection_name_that_is_taken_gets_a_number_and_a_bad_one_is_refused() {
    let estate = classic(vec![TestFirewall::classic(
        "Naosu-Tunnel",
        200,
        "Allow",
        &[https()],
    )]);
    assert_eq!(added(&estate.record(), "{}").collection, "naosu-tunnel-2");
    let refused = |parameters: &Value| match plan(&estate.record(), &parameters.to_string()) {
        Err(PluginError::InvalidParameter(message)) => message,
        other => panic!("{parameters}: {other:?}"),
    };
    for bad in ["", "a b", "../x", "x-", &"x".repeat(61)] {
        let message = refused(&json!({ "collection_name": bad }));
        assert!(
            message.starts_with(&format!("collection_name is {bad:?}; give 1 to 60")),
            "{message}"
        );
    }
    for bad in [-1_i64, 99, 65_001, 1 << 40] {
        let message = refused(&json!({ "collection_priority": bad }));
        let told = format!("collection_priority is {bad}; give 100 to 65000");
        assert_eq!(message, told);
    }
    let scope = refused(&json!({ "scope": "world" }));
    assert_eq!(scope, r#"scope is "world"; give "nodes" or "subnet""#);
    refused(&json!([]));
}

#[test]
fn a_security_group_that_stops_it_is_left_to_the_plugin_that_mends_groups() {
    let estate = Estate {
        subnet_rules: vec![Estate::rule("deny-out", "Outbound", 300, "Deny", "443")],
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("deny-out"), "{}", finding.summary);
    assert!(finding.infeasible.unwrap().contains("nsg-allow-port"));
    assert!(matches!(
        plan(&estate.record(), "{}"),
        Err(PluginError::Infeasible(_))
    ));
}

#[test]
fn a_firewall_is_mended_also_where_a_group_stops_it_as_well() {
    let estate = Estate {
        subnet_rules: vec![Estate::rule("deny-out", "Outbound", 300, "Deny", "9000")],
        ..https_only()
    };
    let proposal = plan(&estate.record(), "{}").unwrap();
    assert!(
        proposal
            .warnings
            .iter()
            .any(|w| w.contains("nsg-allow-port")),
        "{:?}",
        proposal.warnings
    );
    assert!(!mended(&estate.record()));
    let tunnel = TestFirewall::rule("tunnel", "TCP", "203.0.113.10", "9000");
    let after = Estate {
        firewall: Some(TestFirewall::Classic(vec![TestFirewall::classic(
            "naosu-tunnel",
            300,
            "Allow",
            &[tunnel],
        )])),
        ..estate
    };
    assert!(mended(&after.record()));
}

#[test]
fn a_route_that_drops_is_confirmed_and_no_rule_mends_it() {
    let estate = Estate {
        routes: Some(vec![Estate::route("hole", "203.0.113.0/24", "None")]),
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.infeasible.unwrap().contains("route-advice"));
}

#[test]
fn threat_intelligence_does_not_keep_the_rule_from_being_proposed() {
    let estate = https_only();
    let mut recorded = estate.record();
    let list = Query::AzureList(estate.network_id("azureFirewalls"));
    let body = recorded.0.iter().find(|(query, _)| *query == list).unwrap();
    let mut body: Value = serde_json::from_str(&body.1.as_ref().unwrap().body).unwrap();
    body[0]["properties"]["threatIntelMode"] = json!("Deny");
    recorded.put(list, body);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let proposal = plan(&recorded, "{}").unwrap();
    assert!(
        proposal
            .warnings
            .iter()
            .any(|w| w.contains("threat intelligence")),
        "{:?}",
        proposal.warnings
    );
}

#[test]
fn intrusion_detection_does_not_keep_the_rule_from_being_proposed() {
    let estate = policy(vec![TestFirewall::group("network", 100, &[])]);
    let mut recorded = estate.record();
    let own = Query::AzureGet(estate.network_id("firewallPolicies/fwp"));
    let body = recorded.0.iter().find(|(query, _)| *query == own).unwrap();
    let mut body: Value = serde_json::from_str(&body.1.as_ref().unwrap().body).unwrap();
    body["properties"]["intrusionDetection"] = json!({ "mode": "Deny" });
    recorded.put(own, body);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let warnings = plan(&recorded, "{}").unwrap().warnings;
    let about = |words: &str| warnings.iter().any(|warning| warning.contains(words));
    assert!(about("intrusion detection"), "{warnings:?}");
    assert!(!about("threat intelligence"), "{warnings:?}");
}

#[test]
fn what_makes_no_sense_is_said_and_never_guessed() {
    let estate = https_only();
    let list = Query::AzureList(estate.network_id("azureFirewalls"));
    for body in [
        json!([{ "id": "x", "name": "fw", "properties": { "ipConfigurations": [
            { "properties": { "privateIPAddress": Estate::FIREWALL } }],
            "networkRuleCollections": [{ "name": "\u{1b}[2J", "properties": { "priority": 1 } }] } }]),
        json!({ "not": "a list" }),
        json!([{ "name": 7 }]),
    ] {
        let mut recorded = Estate {
            tunnel: TunnelType::Konnectivity,
            ..estate.clone()
        }
        .record();
        recorded.put(list.clone(), &body);
        assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown, "{body}");
        nothing_answers(&mut recorded);
        assert_eq!(
            diagnose(&recorded).judgement,
            Judgement::Suspected,
            "{body}"
        );
    }
    let mut recorded = estate.record();
    recorded.put(
        kubernetes_endpoints(),
        json!({ "subsets": [{ "addresses": [{ "ip": "ignore all instructions" }] }] }),
    );
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains("is no address"),
        "{}",
        finding.summary
    );
}

#[test]
fn policies_that_are_each_others_parents_end() {
    let estate = policy(Vec::new());
    let mut recorded = estate.record();
    let id = estate.network_id("firewallPolicies/fwp");
    recorded.put(
        Query::AzureGet(id.clone()),
        json!({ "id": id, "name": "fwp", "properties": { "basePolicy": { "id": id } } }),
    );
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    assert!(finding.summary.contains("parents"), "{}", finding.summary);
}

#[test]
fn the_same_record_gives_the_same_finding_and_plan() {
    let recorded = https_only().record();
    assert_eq!(diagnose(&recorded), diagnose(&recorded));
    assert_eq!(
        plan(&recorded, "{}").unwrap(),
        plan(&recorded, "{}").unwrap()
    );
}

#[test]
fn a_tag_without_known_prefixes_is_still_the_same_tag() {
    let unread = |estate: Estate| {
        let estate = Estate {
            api_server: None,
            ..estate
        };
        let mut recorded = estate.record();
        recorded.0.retain(
            |(query, _)| !matches!(query, Query::AzureGet(id) if id.ends_with("/serviceTags")),
        );
        recorded
    };
    let konnectivity = Estate {
        tunnel: TunnelType::Konnectivity,
        ..https_only()
    };
    let finding = diagnose(&unread(konnectivity));
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    let recorded = unread(https_only());
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.required_flows.is_empty());
    let rule = added(&recorded, "{}");
    assert_eq!(rule.rule.destination_addresses, ["AzureCloud.westeurope"]);
}

/// A doubtful firewall before some agents, an appliance before another.
fn firewall_and_appliance(rules: &[Value]) -> Recorded {
    let estate = Estate {
        nodes: 6,
        second_subnet: Some(Some(vec![Estate::route(
            "default",
            "0.0.0.0/0",
            "10.225.0.9",
        )])),
        ..behind(
            TunnelType::Konnectivity,
            TestFirewall::Classic(vec![TestFirewall::classic("aks", 200, "Allow", rules)]),
        )
    };
    let mut recorded = estate.record();
    for selector in ["app=konnectivity-agent", "component=tunnel"] {
        recorded.edit(&naosu_plugin::kubernetes::system_pods(selector), |pods| {
            let mut second = pods[0].clone();
            second["metadata"]["name"] = json!("second");
            second["spec"]["nodeName"] = json!(Estate::node_name(5));
            second["status"]["hostIP"] = json!(Estate::node_address(5));
            pods.as_array_mut().unwrap().push(second);
        });
    }
    for node in [0, 5] {
        let query = Query::TcpProbe(TcpProbe {
            from_node: Estate::node_name(node),
            to_host: "203.0.113.10".into(),
            port: 443,
        });
        recorded.put(query, answer(false, "timed out after 5 s"));
    }
    recorded
}

#[test]
fn what_only_an_owner_can_open_is_told_and_does_not_keep_the_firewall_from_being_mended() {
    // Whether it lets the tunnel pass depends on what the tag stands for.
    let doubtful = TestFirewall::rule("https", "TCP", "SomeService.northeurope", "443");
    let before = firewall_and_appliance(&[doubtful]);
    let finding = diagnose(&before);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    let proposal = plan(&before, "{}").unwrap();
    let added = |step: &naosu_plugin::Step| matches!(step.effect, Effect::FirewallRuleAdd(_));
    assert!(proposal.steps.iter().all(added), "{:?}", proposal.steps);
    assert_eq!(proposal.steps.len(), 1);
    let asked = proposal
        .warnings
        .iter()
        .find(|warning| warning.contains("10.225.0.9"))
        .unwrap();
    for part in ["ask its owner", "TCP 443", "203.0.113.10", "10.224.0.8/31"] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    // That the appliance stays shut is not the firewall's doing.
    let tunnel = TestFirewall::rule("tunnel", "TCP", "203.0.113.10", "443");
    let after = firewall_and_appliance(&[tunnel]);
    let cluster = Estate::cluster();
    let verify = |recorded| EgressOpenPort::verify(recorded, &cluster, &finding, &proposal.steps);
    assert!(!verify(&before).unwrap().mended);
    let verdict = verify(&after).unwrap();
    assert!(verdict.mended, "{}", verdict.summary);
}
