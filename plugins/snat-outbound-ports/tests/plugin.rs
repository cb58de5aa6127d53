//! The plugin's judgement, proposal and verdict on recorded metrics.

use naosu_plugin::{
    Effect, Finding, Judgement, NetworkProfileEffect, ObserveError, Plugin, PluginError, Query,
    Step, Verdict,
    kubernetes::system_pods,
    testing::{self, Estate, MeasuredNode, Recorded},
};
use naosu_snat_outbound_ports::SnatOutboundPorts;
use serde_json::{Value, json};

const AGENT_NODE: u32 = 0;
const OTHER_NODE: u32 = 1;

/// A cluster whose tunnel agent, on the first node, is ready or not.
fn recorded(cluster: Value, agent_ready: bool, nodes: &[MeasuredNode]) -> Recorded {
    let estate = Estate {
        cluster,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    let agents = json!([Estate::agent_pod(agent_ready)]);
    recorded.put(system_pods("app=konnectivity-agent"), agents);
    recorded.put_outbound_ports(nodes);
    recorded
}

/// The agent's node has no port left, and the agent none to come back on.
fn exhausted(cluster: Value) -> Recorded {
    let node = MeasuredNode::steady(AGENT_NODE, 12.0, 1024.0, 1024.0);
    recorded(cluster, false, &[node])
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<SnatOutboundPorts>(recorded).unwrap()
}

fn patch(recorded: &Recorded, parameters: &str) -> Result<Value, PluginError> {
    let proposal = testing::plan::<SnatOutboundPorts>(recorded, parameters)?;
    match &proposal.steps[0].effect {
        Effect::NetworkProfileSet(set) => Ok(serde_json::from_str(&set.patch).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn failures_where_an_agent_waits_are_confirmed_and_the_ports_doubled() {
    let recorded = exhausted(json!({}));
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.summary.contains(&Estate::node_name(AGENT_NODE)));
    assert_eq!(finding.infeasible, None);
    assert_eq!(
        patch(&recorded, "{}").unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 2048 } })
    );
}

#[test]
fn failures_elsewhere_or_where_the_agent_works_are_only_suspected() {
    let elsewhere = MeasuredNode::steady(OTHER_NODE, 12.0, 1024.0, 1024.0);
    let here = MeasuredNode::steady(AGENT_NODE, 12.0, 1024.0, 1024.0);
    for (agent_ready, node) in [(true, here), (true, elsewhere.clone()), (false, elsewhere)] {
        let finding = diagnose(&recorded(json!({}), agent_ready, &[node]));
        assert_eq!(
            finding.judgement,
            Judgement::Suspected,
            "{}",
            finding.summary
        );
    }
}

#[test]
fn failures_of_long_ago_do_not_explain_an_agent_that_waits_now() {
    let mut node = MeasuredNode::steady(AGENT_NODE, 0.0, 100.0, 1024.0);
    node.failed = vec![Some(12.0)];
    node.failed.resize(30, None);
    let finding = diagnose(&recorded(json!({}), false, &[node]));
    assert_eq!(finding.judgement, Judgement::Suspected);
}

#[test]
fn nearly_all_ports_of_one_node_in_use_is_suspected_and_few_are_ruled_out() {
    let judgement = |used| {
        let busy = MeasuredNode::steady(OTHER_NODE, 0.0, used, 1024.0);
        let idle = MeasuredNode::steady(AGENT_NODE, 0.0, 3.0, 1024.0);
        diagnose(&recorded(json!({}), true, &[busy, idle])).judgement
    };
    assert_eq!(judgement(1000.0), Judgement::Suspected);
    assert_eq!(judgement(100.0), Judgement::RuledOut);
}

#[test]
fn addresses_are_added_by_the_rule_of_aks_with_autoscaler_and_surge() {
    let cluster = json!({ "properties": { "agentPoolProfiles": [{ "name": "pool", "count": 3,
        "enableAutoScaling": true, "maxCount": 50, "upgradeSettings": { "maxSurge": "10%" } }] } });
    let recorded = exhausted(cluster);
    // 4096 × 55 = 225280 > 3 × 64000.
    assert_eq!(
        patch(&recorded, r#"{"ports": 4096}"#).unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 4096,
            "managedOutboundIPs": { "count": 4 } } })
    );
    for bad in [
        r#"{"ports": 4095}"#,
        r#"{"ports": 64008}"#,
        r#"{"ports": 0}"#,
        // A node has 1024 now.
        r#"{"ports": 8}"#,
        r#"{"ports": 1024}"#,
    ] {
        assert!(
            matches!(patch(&recorded, bad), Err(PluginError::InvalidParameter(_))),
            "{bad}"
        );
    }
}

#[test]
fn nodes_with_ports_of_azures_own_choice_are_never_given_fewer_however_far_the_pool_may_grow() {
    // 900 nodes would have 32 ports each, and 60 would have 512; these three have 1024.
    for (most, addresses) in [(900, json!({ "count": 32 })), (60, json!({ "count": 3 }))] {
        let cluster = json!({ "properties": { "agentPoolProfiles": [{ "name": "pool", "count": 3,
            "enableAutoScaling": true, "maxCount": most }] } });
        assert_eq!(
            patch(&exhausted(cluster), "{}").unwrap(),
            json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 2048,
                "managedOutboundIPs": addresses } })
        );
    }
}

#[test]
fn a_prefix_of_the_owners_own_holds_ports_for_each_of_its_addresses() {
    let prefix = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/publicIPPrefixes/p";
    let cluster = json!({ "properties": { "networkProfile": { "loadBalancerProfile": {
        "allocatedOutboundPorts": 16_000, "managedOutboundIPs": null,
        "outboundIPPrefixes": { "publicIPPrefixes": [{ "id": prefix }] },
        "effectiveOutboundIPs": [{ "id": prefix }] } } } });
    let mut recorded = exhausted(cluster);
    recorded.put(
        Query::AzureGet(prefix.into()),
        json!({ "properties": { "prefixLength": 28, "publicIPAddressVersion": "IPv4" } }),
    );
    assert_eq!(diagnose(&recorded).infeasible, None);
    assert_eq!(
        patch(&recorded, "{}").unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 32_000 } })
    );
}

#[test]
fn the_most_that_fits_is_proposed_and_where_nothing_more_does_it_is_infeasible() {
    let cluster = |ports: u64| {
        json!({ "properties": {
            "agentPoolProfiles": [{ "name": "pool", "count": 3, "enableAutoScaling": true,
                "maxCount": 5000, "upgradeSettings": { "maxSurge": "10%" } }],
            "networkProfile": { "loadBalancerProfile": { "allocatedOutboundPorts": ports,
                "managedOutboundIPs": { "count": 100 } } },
        }})
    };
    // 64000 × 100 / 5500 = 1163.6, and the next multiple of 8 below is 1160.
    assert_eq!(
        patch(&exhausted(cluster(1000)), "{}").unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 1160 } })
    );
    let finding = diagnose(&exhausted(cluster(1160)));
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let why = finding.infeasible.unwrap();
    assert!(why.contains("1160 for each of up to 5500 nodes"), "{why}");
}

#[test]
fn addresses_of_the_owners_own_are_not_added_to() {
    let own = json!({ "properties": { "networkProfile": { "loadBalancerProfile": {
        "allocatedOutboundPorts": 16_000, "managedOutboundIPs": null,
        "effectiveOutboundIPs": [{ "id": "/own" }] } } } });
    let why = diagnose(&exhausted(own)).infeasible.unwrap();
    assert!(why.contains("owner's own"), "{why}");
}

#[test]
fn private_clusters_and_other_outbound_types_are_ruled_out() {
    let private =
        json!({ "properties": { "apiServerAccessProfile": { "enablePrivateCluster": true } } });
    let integrated =
        json!({ "properties": { "apiServerAccessProfile": { "enableVnetIntegration": true } } });
    let gateway =
        json!({ "properties": { "networkProfile": { "outboundType": "managedNATGateway" } } });
    for cluster in [private, integrated, gateway] {
        assert_eq!(diagnose(&exhausted(cluster)).judgement, Judgement::RuledOut);
    }
}

#[test]
fn metrics_that_may_not_be_read_make_it_unknown() {
    let mut recorded = exhausted(json!({}));
    let metrics: Vec<Query> = recorded.0.iter().map(|(query, _)| query.clone()).collect();
    let metric = metrics
        .into_iter()
        .find(|query| matches!(query, Query::AzureMetric(_)))
        .unwrap();
    recorded.fail(
        metric,
        ObserveError::Forbidden("AuthorizationFailed".into()),
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
}

#[test]
fn metrics_without_a_value_make_it_unknown_and_nothing_is_planned() {
    let silent = MeasuredNode {
        index: AGENT_NODE,
        failed: vec![Some(0.0); 2],
        used: vec![None; 2],
        allocated: vec![None; 2],
    };
    for nodes in [vec![], vec![silent]] {
        let recorded = recorded(json!({}), true, &nodes);
        let finding = diagnose(&recorded);
        assert_eq!(finding.judgement, Judgement::Unknown, "{finding:?}");
        assert_eq!(finding.evidence[0].value, "no value in 60 minutes");
        let planned = patch(&recorded, "{}");
        assert!(
            matches!(planned, Err(PluginError::NothingToDo(_))),
            "{planned:?}"
        );
    }
}

#[test]
fn failures_count_though_no_ports_are_measured() {
    let mut node = MeasuredNode::steady(AGENT_NODE, 12.0, 0.0, 0.0);
    (node.used, node.allocated) = (vec![None], vec![None]);
    let recorded = recorded(json!({}), false, &[node]);
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    // Three nodes have 1024 ports each where none are set.
    assert_eq!(
        patch(&recorded, "{}").unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 2048 } })
    );
}

fn verify(ports_now: u32, failed: &[Option<f64>], allocated: &[Option<f64>]) -> Verdict {
    let cluster = json!({ "properties": { "networkProfile": { "loadBalancerProfile": {
        "allocatedOutboundPorts": ports_now } } } });
    let node = MeasuredNode {
        index: AGENT_NODE,
        failed: failed.to_vec(),
        used: vec![Some(64.0)],
        allocated: allocated.to_vec(),
    };
    let recorded = recorded(cluster, true, &[node]);
    let steps = [Step {
        title: "Allocate".into(),
        effect: Effect::NetworkProfileSet(NetworkProfileEffect {
            cluster: Estate::cluster().id,
            patch: json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 128 } }).to_string(),
        }),
    }];
    let finding = diagnose(&recorded);
    SnatOutboundPorts::verify(&recorded, &Estate::cluster(), &finding, &steps).unwrap()
}

#[test]
fn what_failed_before_the_ports_were_raised_does_not_count_against_them() {
    // The minute of the change is measured in between, and may have failures of before.
    let failed = [Some(50.0), Some(9.0), Some(0.0), None];
    let allocated = [Some(64.0), Some(100.0), Some(128.0), None];
    let verdict = verify(128, &failed, &allocated);
    assert!(verdict.mended, "{}", verdict.summary);
    assert!(
        verdict.summary.contains("in the 1 minutes since"),
        "{}",
        verdict.summary
    );
}

#[test]
fn what_fails_after_the_ports_were_raised_shows_that_they_are_not_enough() {
    let failed = [Some(50.0), Some(9.0), Some(3.0)];
    let allocated = [Some(64.0), Some(100.0), Some(128.0)];
    assert!(!verify(128, &failed, &allocated).mended);
}

#[test]
fn without_a_minute_measured_since_the_verdict_says_so() {
    let verdict = verify(128, &[Some(50.0), Some(9.0)], &[Some(64.0), Some(100.0)]);
    assert!(verdict.mended);
    assert!(
        verdict.summary.contains("no whole minute"),
        "{}",
        verdict.summary
    );
}

#[test]
fn ports_that_are_not_there_are_not_mended() {
    assert!(!verify(64, &[Some(0.0)], &[Some(64.0)]).mended);
}
