//! The emulated Kubernetes API, as kube-rs and a real kubectl see it, over a
//! simulated data plane: the fabric's verdicts without namespaces.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use std::process::Command;

use cluster::*;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod};
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams,
    WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use naosu_lab::data_plane::DataPlane;
use serde_json::json;

const AGENTS: &str = "app=konnectivity-agent";

fn proxy_of(cluster: &Cluster, instance: usize) -> String {
    let pods = cluster.server.pods("kube-system", "component=kube-proxy");
    let node = format!("aks-nodepool1-28341567-vmss00000{instance}");
    pods.iter()
        .find(|pod| pod["spec"]["nodeName"] == node)
        .and_then(|pod| pod["metadata"]["name"].as_str())
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn lists_and_gets_parse_as_the_real_types() {
    let cluster = blocked().await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let all = nodes.list(&ListParams::default()).await.unwrap();
    assert_eq!(all.items.len(), 3);
    let spec = all.items[0].spec.as_ref().unwrap();
    assert!(
        spec.provider_id
            .as_ref()
            .unwrap()
            .starts_with("azure:///subscriptions/")
    );
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "kube-system");
    let agents = pods
        .list(&ListParams::default().labels(AGENTS))
        .await
        .unwrap();
    assert_eq!(agents.items.len(), 1);
    let on_node = ListParams::default().fields("spec.nodeName=aks-nodepool1-28341567-vmss000001");
    assert!(
        pods.list(&on_node).await.unwrap().items.len()
            < pods.list(&ListParams::default()).await.unwrap().items.len()
    );
    let paged = pods.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(paged.items.len(), 2);
    assert!(paged.metadata.continue_.is_some());
    let missing = pods.get("no-such-pod").await.unwrap_err();
    assert!(
        matches!(missing, kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound")
    );
}

#[tokio::test]
async fn a_wrong_token_is_answered_unauthorized() {
    let cluster = blocked().await;
    let text = cluster
        .server
        .kubeconfig()
        .replace("lab-token", "other-token");
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let nodes: Api<Node> = Api::all(kube::Client::try_from(config).unwrap());
    let error = nodes.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 401));
}

#[tokio::test]
async fn logs_work_on_the_agents_node_and_time_out_on_the_others() {
    let cluster = blocked().await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "kube-system");
    let near = pods
        .logs(&proxy_of(&cluster, 0), &LogParams::default())
        .await
        .unwrap();
    assert!(!near.is_empty());
    let pod = proxy_of(&cluster, 1);
    let far = pods.logs(&pod, &LogParams::default()).await.unwrap_err();
    let expected = format!(
        "Get \"https://10.224.0.5:10250/containerLogs/kube-system/{pod}/kube-proxy\": dial tcp 10.224.0.5:10250: i/o timeout"
    );
    match far {
        kube::Error::Api(status) => {
            assert_eq!(
                (status.code, status.message.as_str()),
                (500, expected.as_str())
            );
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_node_proxy_reaches_the_kubelet_or_says_why_not() {
    let cluster = blocked().await;
    let proxy = |instance: u32| {
        let path =
            format!("/api/v1/nodes/aks-nodepool1-28341567-vmss00000{instance}/proxy/healthz");
        http::Request::get(path).body(Vec::new()).unwrap()
    };
    assert_eq!(cluster.client.request_text(proxy(0)).await.unwrap(), "ok");
    let error = cluster.client.request_text(proxy(2)).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status)
        if status.code == 503
            && status.message == "error trying to reach service: dial tcp 10.224.0.6:10250: i/o timeout"));
}

#[tokio::test]
async fn an_evicted_agent_comes_back_as_a_new_pod_and_becomes_ready() {
    let cluster = blocked().await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "kube-system");
    let ready = |pod: &serde_json::Value| {
        pod["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    eventually("a ready agent", async || {
        cluster.server.pods("kube-system", AGENTS).iter().all(ready)
    })
    .await;
    let before = cluster.server.pods("kube-system", AGENTS)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let dry = EvictParams {
        post_options: PostParams {
            dry_run: true,
            ..PostParams::default()
        },
        ..EvictParams::default()
    };
    pods.evict(&before, &dry).await.unwrap();
    assert!(pods.get(&before).await.is_ok(), "a dry run evicts nothing");
    pods.evict(&before, &EvictParams::default()).await.unwrap();
    eventually("a new ready agent", async || {
        let now = cluster.server.pods("kube-system", AGENTS);
        now.len() == 1
            && now
                .iter()
                .all(|pod| ready(pod) && pod["metadata"]["name"] != before.as_str())
    })
    .await;
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), "kube-system");
    let about = ListParams::default().fields(&format!("involvedObject.name={before}"));
    let reasons: Vec<_> = events
        .list(&about)
        .await
        .unwrap()
        .items
        .into_iter()
        .filter_map(|event| event.reason)
        .collect();
    assert!(reasons.contains(&"Killing".to_owned()), "{reasons:?}");
    assert!(
        cluster
            .data_plane
            .agents()
            .await
            .iter()
            .any(|agent| agent.connected)
    );
}

#[tokio::test]
async fn an_eviction_the_budget_forbids_is_answered_too_many_requests() {
    let cluster = blocked().await;
    cluster.server.put(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "strict", "namespace": "kube-system" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "konnectivity-agent" } } },
    }));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "kube-system");
    let name = cluster.server.pods("kube-system", AGENTS)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let error = pods
        .evict(&name, &EvictParams::default())
        .await
        .unwrap_err();
    match error {
        kube::Error::Api(status) => {
            assert_eq!(
                (status.code, status.reason.as_str()),
                (429, "TooManyRequests")
            );
            assert_eq!(status.details.unwrap().causes[0].reason, "DisruptionBudget");
        }
        other => panic!("{other}"),
    }
    assert!(pods.get(&name).await.is_ok());
}

#[tokio::test]
async fn a_watch_sees_a_pod_go_and_its_successor_come() {
    let cluster = blocked().await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "kube-system");
    let listed = pods
        .list(&ListParams::default().labels(AGENTS))
        .await
        .unwrap();
    let name = listed.items[0].metadata.name.clone().unwrap();
    let version = listed.metadata.resource_version.unwrap();
    let params = WatchParams::default().labels(AGENTS).timeout(20);
    let mut events = pods.watch(&params, &version).await.unwrap().boxed();
    pods.delete(&name, &DeleteParams::default()).await.unwrap();
    let (mut gone, mut come) = (false, false);
    while !(gone && come) {
        match events
            .try_next()
            .await
            .unwrap()
            .expect("the watch ended early")
        {
            WatchEvent::Deleted(pod) => gone |= pod.metadata.name.as_deref() == Some(&name),
            WatchEvent::Added(pod) => come |= pod.metadata.name.as_deref() != Some(&name),
            _ => {}
        }
    }
}

#[tokio::test]
async fn scaling_and_restarting_a_deployment_replaces_its_pods() {
    let cluster = blocked().await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), "kube-system");
    let merge = |patch: serde_json::Value| Patch::Merge(patch);
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = merge(json!({ "spec": { "replicas": 2 } }));
    let shown = deployments
        .patch("konnectivity-agent", &dry, &patch)
        .await
        .unwrap();
    assert_eq!(shown.spec.unwrap().replicas, Some(2));
    assert_eq!(cluster.server.pods("kube-system", AGENTS).len(), 1);
    deployments
        .patch("konnectivity-agent", &PatchParams::default(), &patch)
        .await
        .unwrap();
    eventually("two agents on two nodes", async || {
        let agents = cluster.data_plane.agents().await;
        agents.len() == 2 && agents.iter().all(|agent| agent.connected)
    })
    .await;
    eventually("a settled deployment", async || {
        let deployment = deployments.get("konnectivity-agent").await.unwrap();
        deployment.status.unwrap().ready_replicas == Some(2)
    })
    .await;
    let before: Vec<_> = cluster.server.pods("kube-system", AGENTS);
    deployments.restart("konnectivity-agent").await.unwrap();
    eventually("every pod replaced", async || {
        let now = cluster.server.pods("kube-system", AGENTS);
        now.len() == 2
            && now.iter().all(|pod| {
                before
                    .iter()
                    .all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"])
            })
    })
    .await;
}

#[tokio::test]
async fn the_ladder_config_map_scales_the_agents_and_a_stale_write_conflicts() {
    let cluster = blocked().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "kube-system");
    let stale = maps.get("konnectivity-agent-autoscaler").await.unwrap();
    let patch = json!({ "data": { "ladder": "{\"nodesToReplicas\":[[1,1],[3,3]]}" } });
    maps.patch(
        "konnectivity-agent-autoscaler",
        &PatchParams::default(),
        &Patch::Merge(&patch),
    )
    .await
    .unwrap();
    eventually("three agents", async || {
        cluster.server.pods("kube-system", AGENTS).len() == 3
    })
    .await;
    let error = maps
        .replace(
            "konnectivity-agent-autoscaler",
            &PostParams::default(),
            &stale,
        )
        .await
        .unwrap_err();
    assert!(
        matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict")
    );
}

/// Runs kubectl; `None` when the machine has none.
fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, cluster.server.kubeconfig()).unwrap();
    let program = std::env::var_os("NAOSU_KUBECTL").unwrap_or_else(|| "kubectl".into());
    let output = Command::new(program)
        .arg("--kubeconfig")
        .arg(&file)
        .arg("--cache-dir")
        .arg(folder.path().join("cache"))
        .args(arguments)
        .env("HOME", folder.path())
        .output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        }
        Err(error) => {
            println!("skipped: no kubectl ({error}); it is in Debian's package kubernetes-client");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_kubectl_gets_nodes_pods_and_logs() {
    let cluster = blocked().await;
    let Some((ok, nodes)) = kubectl(&cluster, &["get", "nodes", "-o", "wide"]) else {
        return;
    };
    assert!(ok, "{nodes}");
    let row = nodes.lines().nth(1).unwrap();
    assert!(
        row.starts_with("aks-nodepool1-28341567-vmss000000 ") && row.contains("Ready"),
        "{nodes}"
    );
    assert!(row.contains("10.224.0.4"), "{nodes}");
    let run = |arguments: &[&str]| kubectl(&cluster, arguments).unwrap();
    let (ok, pods) = run(&["get", "pods", "-A", "-l", "component=kube-proxy"]);
    assert!(ok && pods.matches("1/1").count() == 3, "{pods}");
    let (ok, json) = run(&["get", "po", "-n", "kube-system", "-o", "json"]);
    assert!(ok && json.contains("konnectivity-agent"), "{json}");
    let (ok, log) = run(&["logs", "-n", "kube-system", &proxy_of(&cluster, 0)]);
    assert!(ok && !log.is_empty(), "{log}");
    let (ok, log) = run(&["logs", "-n", "kube-system", &proxy_of(&cluster, 1)]);
    assert!(
        !ok && log.starts_with("Error from server: Get \"https://10.224.0.5:10250/containerLogs/"),
        "{log}"
    );
    assert!(
        log.contains("dial tcp 10.224.0.5:10250: i/o timeout"),
        "{log}"
    );
    let (ok, text) = run(&[
        "rollout",
        "restart",
        "-n",
        "kube-system",
        "deployment/konnectivity-agent",
    ]);
    assert!(ok, "{text}");
    let (ok, text) = run(&[
        "scale",
        "-n",
        "kube-system",
        "deployment/coredns",
        "--replicas=1",
    ]);
    assert!(ok, "{text}");
    let (ok, text) = run(&["delete", "pod", "-n", "kube-system", &proxy_of(&cluster, 2)]);
    assert!(ok, "{text}");
    let (ok, text) = run(&["describe", "node", "aks-nodepool1-28341567-vmss000000"]);
    assert!(ok, "{text}");
}
