//! What an approver is told of packets that were computed from reads.

use serde_json::json;

use super::{admin_rules, firewall, node, *};
use crate::{
    effect::{caution, facts::ClusterFacts},
    model::{Inverse, Risk, query::NodeObservation},
};

/// Risk and codes of the warnings.
async fn told(effect: &Effect, needed: &[Flow], recorded: &Recorded) -> (Risk, Vec<String>) {
    let delta = consequence(effect, needed, recorded).await.delta;
    let inverse = Inverse::Effect {
        effect: effect.clone(),
    };
    let caution = caution::assess(effect, &ClusterFacts::default(), &inverse, &delta).unwrap();
    let codes = caution.warnings.into_iter().map(|warning| warning.code);
    (caution.risk, codes.collect())
}

fn flow(source: &str, destination: &str) -> [Flow; 1] {
    [Flow {
        protocol: "Tcp".into(),
        source_prefixes: vec![source.into()],
        destination_prefixes: vec![destination.into()],
        destination_ports: vec!["10250".into()],
    }]
}

#[tokio::test]
async fn a_rule_of_a_security_group_is_riskier_where_admin_rules_could_not_be_read() {
    let needed = flow("10.1.0.0/16", "10.224.0.0/16");
    let mut recorded = admin_rules::recorded();
    let unread = told(&admin_rules::allow(), &needed, &recorded).await;
    assert_eq!(
        unread,
        (Risk::High, vec!["delta_partly_unknown".to_owned()])
    );
    recorded.put(admin_rules::admin_rules(), json!([]));
    let read = told(&admin_rules::allow(), &needed, &recorded).await;
    assert_eq!(read, (Risk::Medium, vec![]));
    let needed = flow("10.1.0.4", "10.224.0.5");
    let wider = told(&admin_rules::allow(), &needed, &recorded).await;
    assert_eq!(wider, (Risk::High, vec!["wider_than_needed".to_owned()]));
}

#[tokio::test]
async fn a_rule_of_a_firewall_is_riskier_where_its_service_tag_is_not_known() {
    let recorded = firewall::classic();
    let add = |to| Effect::FirewallRuleAdd(firewall::rule(&firewall::classic_id(), to));
    let told = async |to| {
        let needed = firewall::needed("10.224.0.0/16", to);
        told(&add(to), &needed, &recorded).await
    };
    assert_eq!(told("20.8.0.0/16").await, (Risk::Medium, vec![]));
    let (risk, codes) = told("AzureCloud.westeurope").await;
    assert_eq!(
        (risk, codes),
        (Risk::High, vec!["delta_partly_unknown".to_owned()])
    );
}

#[tokio::test]
async fn a_rule_of_a_node_is_riskier_where_its_interfaces_are_not_known() {
    let rule = "-i eth0 -s 10.224.0.4/32 -p tcp -m tcp --dport 10250 -j DROP";
    let rules = format!(":INPUT ACCEPT [0:0]\n-A INPUT {rule}\n");
    let mut recorded = node::recorded(&rules, "");
    let any = flow("0.0.0.0/0", "0.0.0.0/0");
    let deletion = node::deletion(rule);
    let known = told(&deletion, &any, &recorded).await;
    assert_eq!(known, (Risk::High, vec!["aks_unsupported".to_owned()]));
    let mut bare = node::kernel(&rules);
    bare["ipv4_routes"] = Value::Null;
    recorded.put(node::node(NodeObservation::FirewallRuleset), bare);
    let both = ["aks_unsupported", "delta_partly_unknown"].map(str::to_owned);
    let unknown = told(&deletion, &any, &recorded).await;
    assert_eq!(unknown, (Risk::Highest, both.to_vec()));
}
