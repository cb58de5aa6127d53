//! Pods that go: their grace, what budgets say to it, and taints that put them out.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use cluster::*;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams,
};
use naosu_lab::{Scenario, builtin_scenario};
use serde_json::{Value, json};

const AGENTS: &str = "app=konnectivity-agent";

fn pods_of(cluster: &Cluster) -> Api<Pod> {
    Api::namespaced(cluster.client.clone(), "kube-system")
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

async fn ready_agents(cluster: &Cluster, count: usize) -> Vec<Value> {
    eventually("ready agents", async || {
        let agents = cluster.server.pods("kube-system", AGENTS);
        agents.len() == count && agents.iter().all(is_ready)
    })
    .await;
    cluster.server.pods("kube-system", AGENTS)
}

fn budget(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": name, "namespace": "kube-system" }, "spec": spec })
}

fn standing(cluster: &Cluster, name: &str) -> Value {
    let kind = "PodDisruptionBudget";
    let budget = cluster
        .server
        .object("policy/v1", kind, "kube-system", name);
    budget.unwrap_or_default()["status"].clone()
}

/// A scenario with two agents.
fn two_agents() -> Scenario {
    builtin_scenario("two-agents").unwrap()
}

#[tokio::test]
async fn a_deleted_pod_stays_listed_for_its_grace_beside_its_successor() {
    let cluster = cluster(&builtin_scenario("healthy").unwrap()).await;
    let before = name(&ready_agents(&cluster, 1).await[0]);
    let params = ListParams::default().labels(AGENTS);
    let listed = pods_of(&cluster).list(&params).await.unwrap();
    let version = listed.metadata.resource_version.unwrap();
    let params = WatchParams::default().labels(AGENTS).timeout(20);
    let pods = pods_of(&cluster);
    let mut events = pods.watch(&params, &version).await.unwrap().boxed();
    let deleted = pods_of(&cluster)
        .delete(&before, &DeleteParams::default())
        .await
        .unwrap();
    let going = deleted.left().unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    // In the order in which it happened, however late it is looked at.
    let (mut was_going, mut were_both_there) = (false, false);
    loop {
        let event = events.next().await.expect("the old pod goes").unwrap();
        let is_old = |pod: &Pod| pod.metadata.name.as_deref() == Some(&before);
        match event {
            WatchEvent::Modified(pod) if is_old(&pod) => {
                was_going |= pod.metadata.deletion_timestamp.is_some();
            }
            WatchEvent::Added(pod) if !is_old(&pod) => were_both_there = was_going,
            WatchEvent::Deleted(pod) if is_old(&pod) => break,
            _ => {}
        }
    }
    assert!(were_both_there, "its successor came while it was going");
    let at_once = DeleteParams::default().grace_period(0);
    let now = name(&ready_agents(&cluster, 1).await[0]);
    assert_ne!(now, before);
    pods_of(&cluster).delete(&now, &at_once).await.unwrap();
    assert!(pods_of(&cluster).get(&now).await.is_err(), "no grace");
}

#[tokio::test]
async fn a_budget_counts_what_should_be_there_and_takes_expressions() {
    let cluster = cluster(&two_agents()).await;
    let agents = ready_agents(&cluster, 2).await;
    let selector = json!({ "matchExpressions": [
        { "key": "app", "operator": "In", "values": ["konnectivity-agent"] }] });
    let spec = json!({ "maxUnavailable": 1, "selector": selector });
    cluster.server.put(budget("by-expression", spec));
    eventually("a standing", async || {
        let standing = standing(&cluster, "by-expression");
        standing["expectedPods"] == 2 && standing["disruptionsAllowed"] == 1
    })
    .await;
    // No successor finds a place: two are still to be there, and one is.
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    for node in nodes.list(&ListParams::default()).await.unwrap() {
        let name = node.metadata.name.unwrap();
        let cordon = Patch::Merge(json!({ "spec": { "unschedulable": true } }));
        let params = PatchParams::default();
        nodes.patch(&name, &params, &cordon).await.unwrap();
    }
    let evict = EvictParams::default();
    let pods = pods_of(&cluster);
    pods.evict(&name(&agents[0]), &evict).await.unwrap();
    let second = pods.evict(&name(&agents[1]), &evict).await;
    let Err(kube::Error::Api(refused)) = second else {
        panic!("one of two was away already: {second:?}");
    };
    assert_eq!(refused.code, 429);
    eventually("the standing without the first", async || {
        let standing = standing(&cluster, "by-expression");
        standing["expectedPods"] == 2 && standing["currentHealthy"] == 1
    })
    .await;
}

#[tokio::test]
async fn unhealthy_pods_go_while_enough_others_are_healthy_or_the_policy_lets_them() {
    let cluster = cluster(&two_agents()).await;
    let agents = ready_agents(&cluster, 2).await;
    let selector = json!({ "matchLabels": { "of": "this-test" } });
    let pod = |name: &str, ready: bool| {
        let status = if ready { "True" } else { "False" };
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "kube-system",
                "labels": { "of": "this-test" } },
            "spec": { "nodeName": agents[0]["spec"]["nodeName"],
                "containers": [{ "name": "c", "image": "lab/c" }] },
            "status": { "phase": "Running",
                "conditions": [{ "type": "Ready", "status": status }] } })
    };
    cluster.server.put(pod("healthy", true));
    cluster.server.put(pod("unhealthy", false));
    let spec = json!({ "minAvailable": 1, "selector": selector });
    cluster.server.put(budget("one-healthy", spec));
    let evict = EvictParams::default();
    let pods = pods_of(&cluster);
    assert!(pods.evict("healthy", &evict).await.is_err());
    assert!(pods.evict("unhealthy", &evict).await.is_ok());
    cluster.server.put(pod("unhealthy-too", false));
    let spec = json!({ "minAvailable": 2, "selector": selector });
    cluster.server.put(budget("one-healthy", spec.clone()));
    assert!(pods.evict("unhealthy-too", &evict).await.is_err());
    let mut spec = spec;
    spec["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
    cluster.server.put(budget("one-healthy", spec));
    assert!(pods.evict("unhealthy-too", &evict).await.is_ok());
}

#[tokio::test]
async fn a_taint_that_is_not_tolerated_puts_a_pod_out_and_keeps_its_successor_away() {
    let cluster = cluster(&builtin_scenario("healthy").unwrap()).await;
    let agent = ready_agents(&cluster, 1).await.remove(0);
    let node = agent["spec"]["nodeName"].as_str().unwrap();
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let taint = |key: &str| {
        Patch::Merge(json!({ "spec": { "taints": [
            { "key": key, "value": "batch", "effect": "NoExecute" }] } }))
    };
    let params = PatchParams::default();
    // The agents' template tolerates this one.
    let patch = taint("CriticalAddonsOnly");
    nodes.patch(node, &params, &patch).await.unwrap();
    assert_eq!(name(&ready_agents(&cluster, 1).await[0]), name(&agent));
    nodes
        .patch(node, &params, &taint("dedicated"))
        .await
        .unwrap();
    eventually("an agent elsewhere", async || {
        let agents = cluster.server.pods("kube-system", AGENTS);
        agents.len() == 1 && agents[0]["spec"]["nodeName"] != node && is_ready(&agents[0])
    })
    .await;
    let proxies = cluster.server.pods("kube-system", "component=kube-proxy");
    let is_there = |pod: &Value| pod["spec"]["nodeName"] == node;
    assert!(proxies.iter().any(is_there), "it tolerates everything");
}
