//! The plugin's judgement and proposal on recorded metrics.

use naosu_plugin::{
    Effect, Finding, Judgement, MetricQuery, ObserveError, Plugin, PluginError, Query, Symptom,
    testing::{Estate, Recorded},
};
use naosu_snat_outbound_ports::SnatOutboundPorts;
use serde_json::{Value, json};

fn metric(name: &str, aggregation: &str, filter: &str) -> Query {
    Query::AzureMetric(MetricQuery {
        resource: "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/MC_rg_aks/providers/Microsoft.Network/loadBalancers/kubernetes".into(),
        metric: name.into(),
        aggregation: aggregation.into(),
        filter: filter.into(),
        window_minutes: 60,
    })
}

fn answer(key: &str, values: &[f64]) -> Value {
    let mut data = vec![json!({ "timeStamp": "2026-01-01T00:00:00Z" })];
    data.extend(
        values
            .iter()
            .map(|value| json!({ "timeStamp": "2026-01-01T00:01:00Z", key: value })),
    );
    json!({ "value": [{ "name": { "value": "m" }, "timeseries": [{ "data": data }] }] })
}

fn recorded(cluster: Value, failed: f64, used: f64, allocated: f64) -> Recorded {
    let estate = Estate {
        cluster,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    let failures = metric(
        "SnatConnectionCount",
        "Total",
        "ConnectionState eq 'Failed'",
    );
    recorded.put(failures, answer("total", &[0.0, failed]));
    recorded.put(
        metric("UsedSnatPorts", "Average", ""),
        answer("average", &[used]),
    );
    recorded.put(
        metric("AllocatedSnatPorts", "Average", ""),
        answer("average", &[allocated]),
    );
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    let symptom = Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    SnatOutboundPorts::diagnose(recorded, &Estate::cluster(), &symptom).unwrap()
}

fn patch(recorded: &Recorded, parameters: &str) -> Result<Value, PluginError> {
    let finding = diagnose(recorded);
    let proposal = SnatOutboundPorts::plan(recorded, &Estate::cluster(), &finding, parameters)?;
    match &proposal.steps[0].effect {
        Effect::NetworkProfileSet(set) => Ok(serde_json::from_str(&set.patch).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn failed_connections_are_confirmed_and_the_ports_doubled() {
    let recorded = recorded(json!({}), 12.0, 1000.0, 1024.0);
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    assert_eq!(
        patch(&recorded, "{}").unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 2048 } })
    );
}

#[test]
fn nearly_all_ports_in_use_is_suspected_and_few_are_ruled_out() {
    let judgement = |used| diagnose(&recorded(json!({}), 0.0, used, 1024.0)).judgement;
    assert_eq!(judgement(1000.0), Judgement::Suspected);
    assert_eq!(judgement(100.0), Judgement::RuledOut);
}

#[test]
fn addresses_are_added_by_the_rule_of_aks_with_autoscaler_and_surge() {
    let cluster = json!({ "properties": { "agentPoolProfiles": [{ "name": "pool", "count": 3,
        "enableAutoScaling": true, "maxCount": 50, "upgradeSettings": { "maxSurge": "10%" } }] } });
    let recorded = recorded(cluster, 1.0, 0.0, 0.0);
    // 55 nodes have 512 ports each by default; 4096 × 55 = 225280 > 3 × 64000.
    assert_eq!(
        patch(&recorded, r#"{"ports": 4096}"#).unwrap(),
        json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 4096,
            "managedOutboundIPs": { "count": 4 } } })
    );
    for bad in [
        r#"{"ports": 4095}"#,
        r#"{"ports": 64008}"#,
        r#"{"ports": 0}"#,
    ] {
        assert!(
            matches!(patch(&recorded, bad), Err(PluginError::InvalidParameter(_))),
            "{bad}"
        );
    }
}

#[test]
fn private_clusters_and_other_outbound_types_are_ruled_out() {
    let private =
        json!({ "properties": { "apiServerAccessProfile": { "enablePrivateCluster": true } } });
    let gateway =
        json!({ "properties": { "networkProfile": { "outboundType": "managedNATGateway" } } });
    for cluster in [private, gateway] {
        assert_eq!(
            diagnose(&recorded(cluster, 99.0, 0.0, 0.0)).judgement,
            Judgement::RuledOut
        );
    }
}

#[test]
fn metrics_that_may_not_be_read_make_it_unknown() {
    let mut recorded = recorded(json!({}), 0.0, 0.0, 0.0);
    let query = metric(
        "SnatConnectionCount",
        "Total",
        "ConnectionState eq 'Failed'",
    );
    recorded.fail(query, ObserveError::Forbidden("AuthorizationFailed".into()));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
}
