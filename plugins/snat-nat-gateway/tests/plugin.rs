//! The plugin's judgement, proposal and verdict on recorded metrics.

use naosu_plugin::{
    Effect, Finding, Judgement, ObserveError, Plugin, PluginError, Proposal, Query,
    kubernetes::system_pods,
    testing::{self, Estate, MeasuredNode, Recorded},
};
use naosu_snat_nat_gateway::SnatNatGateway;
use serde_json::{Value, json};

/// The agent's node has no port left, the agent none to come back on, and AKS
/// allows not one port more: 64000 / (900 × 1.1) = 64.6.
fn full(managed_network: bool) -> Value {
    let subnet = if managed_network {
        Value::Null
    } else {
        let network = Estate::default().virtual_network_id();
        json!(format!("{network}/subnets/nodes"))
    };
    json!({ "properties": {
        "agentPoolProfiles": [{ "name": "pool", "count": 3, "enableAutoScaling": true,
            "maxCount": 900, "upgradeSettings": { "maxSurge": "10%" }, "vnetSubnetID": subnet }],
        "networkProfile": { "loadBalancerSku": "standard", "loadBalancerProfile": {
            "allocatedOutboundPorts": 64, "managedOutboundIPs": null,
            "outboundIPs": { "publicIPs": [{ "id": "/own" }] },
            "effectiveOutboundIPs": [{ "id": "/own" }] } },
    }})
}

fn exhausted(cluster: Value) -> Recorded {
    let estate = Estate {
        cluster,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    let agents = json!([Estate::agent_pod(false)]);
    recorded.put(system_pods("app=konnectivity-agent"), agents);
    recorded.put_outbound_ports(&[MeasuredNode::steady(0, 12.0, 64.0, 64.0)]);
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<SnatNatGateway>(recorded).unwrap()
}

fn plan(recorded: &Recorded, parameters: &str) -> Result<Proposal, PluginError> {
    testing::plan::<SnatNatGateway>(recorded, parameters)
}

fn patch(recorded: &Recorded, parameters: &str) -> Result<Value, PluginError> {
    match &plan(recorded, parameters)?.steps[0].effect {
        Effect::NetworkProfileSet(set) => Ok(serde_json::from_str(&set.patch).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_no_number_of_ports_fits_aks_makes_a_gateway_in_its_own_network() {
    let recorded = exhausted(full(true));
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert_eq!(finding.infeasible, None);
    assert_eq!(
        patch(&recorded, "{}").unwrap(),
        json!({
            "outboundType": "managedNATGateway",
            "loadBalancerProfile": null,
            "natGatewayProfile": {
                "managedOutboundIPProfile": { "count": 1 }, "idleTimeoutInMinutes": 4,
            },
        })
    );
}

#[test]
fn addresses_follow_what_is_used_and_are_one_to_sixteen() {
    let mut recorded = exhausted(full(true));
    recorded.put_outbound_ports(&[MeasuredNode::steady(0, 12.0, 64_000.0, 64_000.0)]);
    let count = |parameters| {
        let patch = patch(&recorded, parameters)?;
        Ok(patch["natGatewayProfile"]["managedOutboundIPProfile"]["count"].clone())
    };
    assert_eq!(count("{}"), Ok(json!(2)));
    assert_eq!(count(r#"{"addresses": 16}"#), Ok(json!(16)));
    for bad in [r#"{"addresses": 0}"#, r#"{"addresses": 17}"#] {
        let refused = count(bad);
        assert!(
            matches!(refused, Err(PluginError::InvalidParameter(_))),
            "{refused:?}"
        );
    }
}

/// 64 ports are set, and up to 64000 a node could be.
fn could_have_more_ports(managed_network: bool) -> Value {
    let mut cluster = full(managed_network);
    let properties = &mut cluster["properties"];
    properties["agentPoolProfiles"][0]["maxCount"] = json!(10);
    properties["networkProfile"]["loadBalancerProfile"] =
        json!({ "allocatedOutboundPorts": 64, "managedOutboundIPs": { "count": 1 } });
    cluster
}

#[test]
fn where_ports_can_be_raised_a_gateway_is_suspected_and_planned_only_when_asked_for() {
    let recorded = exhausted(could_have_more_ports(true));
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Suspected);
    assert_eq!(finding.infeasible, None);
    let Err(PluginError::Infeasible(why)) = plan(&recorded, "{}") else {
        panic!("it was planned");
    };
    for said in [&why, &finding.summary] {
        assert!(
            said.contains("128 ports a node can be allocated")
                && said.contains("snat-outbound-ports"),
            "{said}"
        );
    }
    assert_eq!(
        patch(&recorded, r#"{"prefer_gateway": true}"#).unwrap()["outboundType"],
        "managedNATGateway"
    );
    // Where it cannot be had, both are told.
    let why = diagnose(&exhausted(could_have_more_ports(false))).infeasible;
    let why = why.unwrap();
    assert!(
        why.contains("snat-outbound-ports") && why.contains("az network nat gateway create"),
        "{why}"
    );
}

#[test]
fn a_few_more_ports_are_not_enough_for_a_node_that_needs_many() {
    // 64000 / (800 × 1.1) = 72.7: eight more ports are left.
    let mut cluster = full(true);
    cluster["properties"]["agentPoolProfiles"][0]["maxCount"] = json!(800);
    let mut recorded = exhausted(cluster);
    recorded.put_outbound_ports(&[MeasuredNode::steady(0, 400.0, 64.0, 64.0)]);
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let why = &finding.evidence.last().unwrap().meaning;
    assert!(
        why.contains("at most 72 ports") && why.contains("needed 464"),
        "{why}"
    );
    assert!(patch(&recorded, "{}").is_ok());
    // Were eight enough, they would be.
    recorded.put_outbound_ports(&[MeasuredNode::steady(0, 8.0, 64.0, 64.0)]);
    assert_eq!(diagnose(&recorded).judgement, Judgement::Suspected);
}

/// A gateway on these subnets, with one entry of this field.
fn put_gateway(recorded: &mut Recorded, subnets: &[&str], addresses: &str) {
    let network = Estate::default().virtual_network_id();
    let all = ["nodes", "pods"];
    let has = |name: &str| subnets.iter().any(|other| other.eq_ignore_ascii_case(name));
    let subnets: Vec<Value> = all
        .iter()
        .map(|name| {
            let gateway = json!({ "natGateway": { "id": "/gateway" } });
            let properties = if has(name) { gateway } else { json!({}) };
            json!({ "id": format!("{network}/subnets/{name}"), "properties": properties })
        })
        .collect();
    recorded.put(
        Query::AzureGet(network.clone()),
        json!({ "id": network, "properties": { "subnets": subnets } }),
    );
    recorded.put(
        Query::AzureGet("/gateway".into()),
        json!({ "id": "/gateway", "properties": { addresses: [{ "id": "/address" }] } }),
    );
}

#[test]
fn a_gateway_without_an_address_would_cut_every_connection_and_is_not_changed_to() {
    let mut recorded = exhausted(full(false));
    for addresses in ["publicIpAddresses", "publicIpPrefixes"] {
        put_gateway(&mut recorded, &["nodes"], addresses);
        assert_eq!(diagnose(&recorded).infeasible, None, "{addresses}");
    }
    put_gateway(&mut recorded, &["nodes"], "subnets");
    let why = diagnose(&recorded).infeasible.unwrap();
    assert!(
        why.contains("/gateway") && why.contains("no public address"),
        "{why}"
    );
    let planned = plan(&recorded, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
    // One that cannot be read is not known to have any.
    recorded.fail(
        Query::AzureGet("/gateway".into()),
        ObserveError::Forbidden("AuthorizationFailed".into()),
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
}

#[test]
fn pods_of_a_subnet_of_their_own_need_a_gateway_there_too() {
    let mut cluster = full(false);
    let network = Estate::default().virtual_network_id();
    cluster["properties"]["agentPoolProfiles"][0]["podSubnetID"] =
        json!(format!("{network}/subnets/pods"));
    let mut recorded = exhausted(cluster);
    put_gateway(&mut recorded, &["nodes"], "publicIpAddresses");
    let why = diagnose(&recorded).infeasible.unwrap();
    assert!(why.contains("subnets/pods"), "{why}");
    put_gateway(&mut recorded, &["nodes", "pods"], "publicIpAddresses");
    assert_eq!(diagnose(&recorded).infeasible, None);
}

#[test]
fn in_a_network_of_ones_own_the_subnet_must_have_a_gateway() {
    let mut recorded = exhausted(full(false));
    let why = diagnose(&recorded).infeasible.unwrap();
    assert!(why.contains("subnets/nodes"), "{why}");
    assert!(
        why.contains("--outbound-type userAssignedNATGateway"),
        "{why}"
    );
    // Putting one there is no harmless preparation.
    assert!(
        why.contains("moves the subnet's outbound connections at once"),
        "{why}"
    );

    put_gateway(&mut recorded, &["Nodes"], "publicIpAddresses");
    assert_eq!(diagnose(&recorded).infeasible, None);
    assert_eq!(
        patch(&recorded, "{}").unwrap(),
        json!({ "outboundType": "userAssignedNATGateway", "loadBalancerProfile": null })
    );
    let refused = patch(&recorded, r#"{"addresses": 2}"#);
    assert!(
        matches!(refused, Err(PluginError::InvalidParameter(_))),
        "{refused:?}"
    );
}

#[test]
fn a_basic_load_balancer_has_no_way_but_a_new_cluster() {
    let mut cluster = full(true);
    cluster["properties"]["networkProfile"]["loadBalancerSku"] = json!("Basic");
    let why = diagnose(&exhausted(cluster)).infeasible.unwrap();
    assert!(why.contains("make a new"), "{why}");
}

#[test]
fn authorised_ranges_of_the_api_server_are_warned_of() {
    let warnings = |cluster| plan(&exhausted(cluster), "{}").unwrap().warnings.join("\n");
    assert!(!warnings(full(true)).contains("192.0.2.0/24"));
    let mut cluster = full(true);
    cluster["properties"]["apiServerAccessProfile"] =
        json!({ "authorizedIPRanges": ["192.0.2.0/24"] });
    assert!(warnings(cluster).contains("192.0.2.0/24"));
}

#[test]
fn the_verdict_is_of_what_connections_use_now_not_of_the_load_balancers_past() {
    let mended = |network: Value| {
        let recorded = exhausted(json!({ "properties": { "networkProfile": network } }));
        let finding = diagnose(&recorded);
        SnatNatGateway::verify(&recorded, &Estate::cluster(), &finding, &[])
            .unwrap()
            .mended
    };
    assert!(!mended(json!({ "outboundType": "loadBalancer" })));
    assert!(!mended(json!({ "outboundType": "managedNATGateway" })));
    assert!(mended(json!({ "outboundType": "managedNATGateway",
        "natGatewayProfile": { "effectiveOutboundIPs": [{ "id": "/ip" }] } })));
    assert!(mended(json!({ "outboundType": "userAssignedNATGateway" })));
}
