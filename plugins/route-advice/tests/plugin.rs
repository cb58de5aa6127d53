//! The plugin's judgement on recorded estates.

use naosu_plugin::{
    Finding, Judgement, Plugin, PluginError, Query, TcpProbe, TunnelType,
    kubernetes::all_nodes,
    testing::{self, Estate, Recorded, TestFirewall},
};
use naosu_route_advice::RouteAdvice;
use serde_json::{Value, json};

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<RouteAdvice>(recorded).unwrap()
}

fn judged(recorded: &Recorded, expected: Judgement) -> Finding {
    let finding = diagnose(recorded);
    assert_eq!(finding.judgement, expected, "{}", finding.summary);
    finding
}

fn routed(routes: Vec<Value>) -> Estate {
    Estate {
        routes: Some(routes),
        ..Estate::default()
    }
}

fn through_appliance() -> Estate {
    routed(vec![Estate::route("default", "0.0.0.0/0", "10.225.0.9")])
}

fn answer(reached: bool, error: &str) -> Value {
    json!({ "reached": reached, "error": error, "elapsed_ms": 3 })
}

fn tcp_probe(host: &str, port: u16) -> Query {
    Query::TcpProbe(TcpProbe {
        from_node: Estate::node_name(0),
        to_host: host.into(),
        port,
    })
}

fn nothing_answers(recorded: &mut Recorded) {
    let tunnel = Query::TunnelProbe(Estate::node_name(0));
    recorded.put(tunnel, answer(false, "No agent available"));
    let timeout = answer(false, "timed out after 5 s");
    recorded.put(tcp_probe("203.0.113.10", 443), timeout);
}

#[test]
fn without_route_tables_azures_own_routes_rule_it_out() {
    let finding = judged(&Estate::default().record(), Judgement::RuledOut);
    assert!(
        finding
            .evidence
            .iter()
            .any(|e| e.field == "properties.routeTable" && e.value == "0.0.0.0/0 -> Internet"),
        "{:#?}",
        finding.evidence
    );
    assert_eq!(finding.infeasible, None);
}

#[test]
fn an_appliance_from_which_nothing_comes_back_is_confirmed_with_advice() {
    let mut recorded = through_appliance().record();
    nothing_answers(&mut recorded);
    let finding = judged(&recorded, Judgement::Confirmed);
    let fields: Vec<&str> = finding.evidence.iter().map(|e| e.field.as_str()).collect();
    assert!(fields.contains(&"properties.routes[default]"), "{fields:?}");
    assert!(
        fields.contains(&"TCP probe to 203.0.113.10:443"),
        "{fields:?}"
    );
    let advice = finding.infeasible.unwrap();
    assert!(
        advice.contains("203.0.113.10 with next hop Internet"),
        "{advice}"
    );
}

#[test]
fn without_an_address_of_their_own_nodes_are_not_told_to_go_straight_out() {
    let estate = Estate {
        cluster: json!({ "properties": { "networkProfile": {
            "outboundType": "userDefinedRouting" } } }),
        ..through_appliance()
    };
    let mut recorded = estate.record();
    nothing_answers(&mut recorded);
    let advice = judged(&recorded, Judgement::Confirmed).infeasible.unwrap();
    assert!(
        advice.contains("have the appliance at 10.225.0.9 forward TCP 443"),
        "{advice}"
    );
}

#[test]
fn an_appliance_that_forwards_is_not_in_the_way() {
    let mut recorded = through_appliance().record();
    recorded.put(Query::TunnelProbe(Estate::node_name(0)), answer(true, ""));
    judged(&recorded, Judgement::RuledOut);
}

#[test]
fn an_appliance_that_cannot_be_tried_or_is_not_alone_is_only_suspected() {
    judged(&through_appliance().record(), Judgement::Suspected);
    let estate = Estate {
        subnet_rules: vec![Estate::rule("deny-out", "Outbound", 300, "Deny", "443")],
        ..through_appliance()
    };
    let mut recorded = estate.record();
    nothing_answers(&mut recorded);
    let finding = judged(&recorded, Judgement::Suspected);
    assert!(finding.summary.contains("deny-out"), "{}", finding.summary);
}

#[test]
fn a_more_specific_route_to_the_api_server_rules_it_out_and_is_named() {
    let estate = routed(vec![
        Estate::route("default", "0.0.0.0/0", "10.225.0.9"),
        Estate::route("api", "203.0.113.10/32", "Internet"),
    ]);
    let finding = judged(&estate.record(), Judgement::RuledOut);
    assert!(
        finding
            .evidence
            .iter()
            .any(|e| e.field == "properties.routes[api]")
    );
}

#[test]
fn a_route_to_a_service_tag_is_followed_where_its_prefixes_are_known() {
    let estate = routed(vec![
        Estate::route("default", "0.0.0.0/0", "10.225.0.9"),
        Estate::route("azure", "AzureCloud.westeurope", "Internet"),
    ]);
    judged(&estate.record(), Judgement::RuledOut);
    let unknown = routed(vec![Estate::route("other", "Sql.westeurope", "10.225.0.9")]);
    let finding = judged(&unknown.record(), Judgement::Unknown);
    assert!(
        finding.summary.contains("Sql.westeurope"),
        "{}",
        finding.summary
    );
}

#[test]
fn an_azure_firewall_is_judged_by_its_rules_and_not_by_the_route() {
    let estate = Estate {
        firewall: Some(TestFirewall::Classic(Vec::new())),
        ..routed(vec![Estate::route(
            "default",
            "0.0.0.0/0",
            Estate::FIREWALL,
        )])
    };
    let finding = judged(&estate.record(), Judgement::RuledOut);
    assert!(
        finding
            .evidence
            .iter()
            .any(|e| e.meaning.contains("Azure Firewall fw")),
        "{:#?}",
        finding.evidence
    );
}

#[test]
fn a_route_that_drops_is_confirmed_without_trying() {
    let finding = judged(
        &routed(vec![Estate::route("hole", "203.0.113.0/24", "None")]).record(),
        Judgement::Confirmed,
    );
    assert!(finding.summary.contains("drops it"), "{}", finding.summary);
    let kept = routed(vec![Estate::route("kept", "203.0.113.0/24", "VnetLocal")]);
    judged(&kept.record(), Judgement::Confirmed);
}

/// Agents in one subnet, and nodes in another whose answers go through an
/// appliance that never saw the question.
fn asymmetric() -> Estate {
    Estate {
        nodes: 6,
        second_subnet: Some(Some(vec![Estate::route(
            "back",
            "10.224.0.0/29",
            "10.225.0.9",
        )])),
        ..Estate::default()
    }
}

fn second_subnet_answers(recorded: &mut Recorded, reached: [bool; 2]) {
    for (host, reached) in ["10.224.0.8", "10.224.0.9"].into_iter().zip(reached) {
        let error = if reached { "" } else { "timed out after 5 s" };
        recorded.put(tcp_probe(host, 10250), answer(reached, error));
    }
}

#[test]
fn answers_that_take_another_way_than_the_questions_are_found() {
    let mut recorded = asymmetric().record();
    second_subnet_answers(&mut recorded, [false, false]);
    let finding = judged(&recorded, Judgement::Confirmed);
    assert!(
        finding
            .summary
            .contains("goes to VnetLocal, and the answers go to VirtualAppliance 10.225.0.9"),
        "{}",
        finding.summary
    );
    assert!(
        finding
            .evidence
            .iter()
            .any(|e| e.field == "properties.routes[back]")
    );
}

#[test]
fn one_node_that_answers_stands_for_all_with_its_routes() {
    let mut recorded = asymmetric().record();
    second_subnet_answers(&mut recorded, [false, true]);
    judged(&recorded, Judgement::RuledOut);
}

#[test]
fn with_a_group_that_stops_it_too_the_routes_are_only_suspected() {
    let estate = Estate {
        subnet_rules: vec![Estate::rule("deny", "Outbound", 300, "Deny", "10250")],
        ..asymmetric()
    };
    let mut recorded = estate.record();
    second_subnet_answers(&mut recorded, [false, false]);
    let finding = judged(&recorded, Judgement::Suspected);
    assert!(finding.summary.contains("rule deny"), "{}", finding.summary);
}

#[test]
fn with_a_security_admin_rule_that_stops_it_too_the_routes_are_only_suspected() {
    for direction in ["Inbound", "Outbound"] {
        let rule = Estate::admin_rule("deny", direction, 10, "Deny", "10250");
        let estate = Estate {
            admin_rules: Some(vec![rule]),
            ..asymmetric()
        };
        let mut recorded = estate.record();
        second_subnet_answers(&mut recorded, [false, false]);
        let finding = judged(&recorded, Judgement::Suspected);
        assert!(
            finding
                .summary
                .contains("security admin rule baseline/deny"),
            "{}",
            finding.summary
        );
    }
}

#[test]
fn where_security_admin_rules_are_not_known_the_routes_are_only_suspected() {
    let estate = Estate {
        admin_rules: None,
        ..asymmetric()
    };
    let mut recorded = estate.record();
    second_subnet_answers(&mut recorded, [false, false]);
    let finding = judged(&recorded, Judgement::Suspected);
    assert!(
        finding
            .summary
            .contains("security admin rules of network vnet are not known"),
        "{}",
        finding.summary
    );
}

#[test]
fn both_ways_through_one_appliance_are_tried_like_any_other() {
    let estate = Estate {
        routes: Some(vec![Estate::route("there", "10.224.0.8/29", "10.225.0.9")]),
        ..asymmetric()
    };
    let mut recorded = estate.record();
    second_subnet_answers(&mut recorded, [true, true]);
    judged(&recorded, Judgement::RuledOut);
    second_subnet_answers(&mut recorded, [false, false]);
    judged(&recorded, Judgement::Confirmed);
}

#[test]
fn answers_of_a_private_api_server_that_are_diverted_are_found() {
    let estate = Estate {
        nodes: 4,
        cluster: json!({ "properties": {
            "apiServerAccessProfile": { "enablePrivateCluster": true } } }),
        api_server: Some(vec!["10.224.0.10"]),
        second_subnet: asymmetric().second_subnet,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    recorded.put(
        tcp_probe("10.224.0.10", 443),
        answer(false, "timed out after 5 s"),
    );
    let finding = judged(&recorded, Judgement::Confirmed);
    assert!(
        finding.summary.contains("its answers go to"),
        "{}",
        finding.summary
    );
    recorded.put(tcp_probe("10.224.0.10", 443), answer(true, ""));
    judged(&recorded, Judgement::RuledOut);
}

#[test]
fn an_api_server_in_the_network_has_the_same_demands_on_routes() {
    let estate = Estate {
        tunnel: TunnelType::VnetIntegration,
        second_subnet: Some(None),
        routes: Some(vec![Estate::route("back", "10.224.0.8/29", "10.225.0.9")]),
        ..Estate::default()
    };
    let subnet = estate.network_id("virtualNetworks/vnet/subnets/second");
    let estate = Estate {
        cluster: json!({ "properties": { "apiServerAccessProfile": {
            "enableVnetIntegration": true, "subnetId": subnet } } }),
        ..estate
    };
    let mut recorded = estate.record();
    for node in 0..3 {
        let silent = answer(false, "dial tcp: i/o timeout");
        recorded.put(Query::TunnelProbe(Estate::node_name(node)), silent);
    }
    let finding = judged(&recorded, Judgement::Confirmed);
    assert!(
        finding.summary.contains("from the API server"),
        "{}",
        finding.summary
    );
    recorded.put(Query::TunnelProbe(Estate::node_name(1)), answer(true, ""));
    judged(&recorded, Judgement::RuledOut);
}

#[test]
fn where_an_api_server_in_the_network_dials_from_is_not_known_nothing_is_ruled_out() {
    let estate = Estate {
        tunnel: TunnelType::VnetIntegration,
        ..Estate::default()
    };
    judged(&estate.record(), Judgement::RuledOut);
    let of_subnet = |subnet: Value| Estate {
        tunnel: TunnelType::VnetIntegration,
        cluster: json!({ "properties": { "apiServerAccessProfile": { "subnetId": subnet } } }),
        ..Estate::default()
    };
    let finding = judged(&of_subnet(Value::Null).record(), Judgement::Unknown);
    assert!(
        finding.summary.contains("subnetId is not there"),
        "{}",
        finding.summary
    );
    // It is known, but its routes are in a network that no node is in.
    let network = estate.network_id("virtualNetworks/another");
    let subnet = format!("{network}/subnets/apiserver");
    let mut recorded = of_subnet(json!(subnet)).record();
    recorded.put(
        Query::AzureGet(network.clone()),
        json!({ "id": network, "name": "another", "properties": { "subnets": [
            { "id": subnet, "name": "apiserver",
              "properties": { "addressPrefix": "10.226.0.0/28" } }] } }),
    );
    let finding = judged(&recorded, Judgement::Unknown);
    assert!(
        finding.summary.contains("in no network of the nodes"),
        "{}",
        finding.summary
    );
    // It has IPv4 addresses alone, and a node has none.
    let mut recorded = estate.record();
    let mut queries = recorded.0.iter().map(|(query, _)| query.clone());
    let is_of_interfaces = |query: &Query| match query {
        Query::AzureList(list) => list.ends_with("/networkInterfaces"),
        _ => false,
    };
    let interfaces = queries.find(is_of_interfaces).unwrap();
    recorded.edit(&all_nodes(), |nodes| {
        nodes[1]["status"]["addresses"][0]["address"] = json!("fd00:224::5");
    });
    recorded.edit(&interfaces, |interfaces| {
        let address = &mut interfaces[1]["properties"]["ipConfigurations"][0]["properties"];
        address["privateIPAddress"] = json!("fd00:224::5");
    });
    let finding = judged(&recorded, Judgement::Unknown);
    assert!(
        finding.summary.contains("dial fd00:224::5 is not known"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_table_that_makes_no_sense_or_cannot_be_read_is_unknown() {
    for bad in [
        json!({ "name": "rt", "properties": { "routes": "none" } }),
        json!({ "name": "rt", "properties": { "routes": [
            Estate::route("\u{1b}[2J; rm -rf /", "10.0.0.0/33", "Internet")] } }),
        json!([]),
    ] {
        let estate = through_appliance();
        let mut recorded = estate.record();
        recorded.put(
            Query::AzureGet(estate.network_id("routeTables/rt-nodes")),
            &bad,
        );
        judged(&recorded, Judgement::Unknown);
    }
    let estate = through_appliance();
    let mut recorded = estate.record();
    let table = Query::AzureGet(estate.network_id("routeTables/rt-nodes"));
    recorded.0.retain(|(query, _)| *query != table);
    judged(&recorded, Judgement::Unknown);
}

#[test]
fn routes_are_advised_on_and_never_changed() {
    assert_eq!(RouteAdvice::describe().effects, []);
    let mut recorded = through_appliance().record();
    nothing_answers(&mut recorded);
    let finding = diagnose(&recorded);
    let plan = RouteAdvice::plan(&recorded, &Estate::cluster(), &finding, "{}");
    assert!(matches!(plan, Err(PluginError::NothingToDo(_))));
}

#[test]
fn a_node_whose_place_in_the_network_is_not_known_is_a_doubt() {
    let mut recorded = Estate::default().record();
    recorded.edit(&naosu_plugin::kubernetes::all_nodes(), |nodes| {
        nodes[2]["status"]["addresses"][0]["address"] = json!("10.224.0.99");
    });
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    assert!(
        finding.summary.contains(&Estate::node_name(2)),
        "{}",
        finding.summary
    );
}
