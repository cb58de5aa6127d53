//! The Kubernetes driver against a scripted peer.

mod support;

use base64::Engine as _;
use naosu_engine::{
    driver::{Effector, Observer, PerformError},
    error::Code,
    model::{
        Effect, EffectKind, ObserveErrorKind, Query,
        query::{ObjectRef, ProbeResult},
    },
};
use naosu_server::drivers::{Drivers, config::KubeconfigSource};
use serde_json::{Value, json};
use support::{
    Action, Files, Peer, answer, answer_with, cluster, config, drivers, key, kubeconfig,
    observation,
};

fn body(status: u16, value: &Value) -> Action {
    answer_with(
        status,
        &[("content-type", "application/json")],
        &value.to_string(),
    )
}

fn failure(code: u16, reason: &str, message: &str) -> Action {
    body(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

fn pod() -> Query {
    Query::KubernetesGet {
        object: ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: "kube-system".to_owned(),
            name: "agent".to_owned(),
        },
    }
}

fn evict() -> Effect {
    Effect::PodEvict {
        namespace: "kube-system".to_owned(),
        name: "agent".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_with_its_version_and_without_managed_fields() {
    let peer = Peer::script(vec![body(
        200,
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "resourceVersion": "42", "managedFields": [{}]}, "status": {"phase": "Running"}}),
    )])
    .await;
    let files = Files::new();
    let reading = drivers(&peer, &files)
        .observe(&cluster(), &pod())
        .await
        .unwrap();
    assert_eq!(reading.version.as_deref(), Some("42"));
    let value: Value = serde_json::from_str(&reading.body).unwrap();
    assert_eq!(value["status"]["phase"], "Running");
    assert!(value["metadata"].get("managedFields").is_none());
    assert_eq!(
        peer.received()[0].path,
        "/api/v1/namespaces/kube-system/pods/agent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_a_list_become_one_array_whose_items_say_what_they_are() {
    let page = |name: &str, next: &str| {
        body(
            200,
            &json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {"resourceVersion": "9", "continue": next}, "items": [{"metadata": {"name": name}}]}),
        )
    };
    let peer = Peer::script(vec![page("a", "token"), page("b", "")]).await;
    let files = Files::new();
    let query = Query::KubernetesList {
        api_version: "apps/v1".to_owned(),
        object_kind: "Deployment".to_owned(),
        namespace: String::new(),
        label_selector: "app=konnectivity-agent".to_owned(),
    };
    let reading = drivers(&peer, &files)
        .observe(&cluster(), &query)
        .await
        .unwrap();
    let items: Value = serde_json::from_str(&reading.body).unwrap();
    assert_eq!(items[1]["metadata"]["name"], "b");
    assert_eq!(items[1]["kind"], "Deployment");
    let received = peer.received();
    assert!(received[0].path.starts_with("/apis/apps/v1/deployments?"));
    assert!(
        received[0]
            .path
            .contains("labelSelector=app%3Dkonnectivity-agent")
    );
    assert!(received[1].path.contains("continue=token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_has_its_code_and_only_failures_that_pass_are_asked_again() {
    for (status, code, kind, requests) in [
        (
            401,
            Code::KubernetesUnauthenticated,
            ObserveErrorKind::Forbidden,
            1,
        ),
        (
            403,
            Code::KubernetesForbidden,
            ObserveErrorKind::Forbidden,
            1,
        ),
        (404, Code::KubernetesNotFound, ObserveErrorKind::NotFound, 1),
        (
            500,
            Code::KubernetesUnavailable,
            ObserveErrorKind::Unavailable,
            3,
        ),
    ] {
        let peer = Peer::with(move |_| failure(status, "R", "why")).await;
        let files = Files::new();
        let error = drivers(&peer, &files)
            .observe(&cluster(), &pod())
            .await
            .unwrap_err();
        assert_eq!((error.code, error.kind), (code, kind), "{error}");
        assert_eq!(peer.received().len(), requests, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_garbage_are_unavailable() {
    for action in [Action::Hang, Action::Close, answer(200, "<html>")] {
        let peer = Peer::with(move |_| action.clone()).await;
        let files = Files::new();
        let mut config = config(&peer, &files);
        config.kubernetes.request_timeout_ms = 200;
        let drivers = Drivers::connect(config).unwrap();
        let error = drivers.observe(&cluster(), &pod()).await.unwrap_err();
        assert_eq!(error.code, Code::KubernetesUnavailable, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_does_not_parse_is_told_to_whoever_asks() {
    let peer = Peer::with(|_| answer(200, "{}")).await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    let path = files.write("broken", "clusters: [");
    config.kubernetes.source = KubeconfigSource::File {
        path: Some(path.clone()),
        context: None,
    };
    let drivers = Drivers::connect(config).unwrap();
    let error = drivers.observe(&cluster(), &pod()).await.unwrap_err();
    assert_eq!(error.code, Code::KubeconfigInvalid);
    assert!(
        error.message.contains(&path.display().to_string()),
        "{error}"
    );
    assert!(peer.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn arm_gives_the_credentials_of_the_cluster_asked_about_once() {
    let peer = Peer::with(|request| {
        if request.method == "POST" {
            let url = format!("http://{}", request.header("host").unwrap());
            let encoded = base64::engine::general_purpose::STANDARD.encode(kubeconfig(&url));
            return answer(
                200,
                &json!({"kubeconfigs": [{"name": "clusterUser", "value": encoded}]}).to_string(),
            );
        }
        body(
            200,
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent"}}),
        )
    })
    .await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.kubernetes.source = KubeconfigSource::Arm;
    let drivers = Drivers::connect(config).unwrap();
    drivers.observe(&cluster(), &pod()).await.unwrap();
    drivers.observe(&cluster(), &pod()).await.unwrap();
    assert_eq!(peer.count("POST"), 1);
    let path = &peer.received()[0].path;
    assert!(
        path.starts_with(&format!("{}/listClusterUserCredential?", cluster())),
        "{path}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_pod_on_the_node_is_read_through_the_tunnel() {
    let pods = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [{
        "metadata": {"name": "agent", "namespace": "kube-system"},
        "status": {"containerStatuses": [{"name": "main", "state": {"running": {}}}]}}]});
    let none = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []});
    let dial = "Get \"https://10.224.0.5:10250/containerLogs/kube-system/agent/main\": dial tcp \
                10.224.0.5:10250: i/o timeout";
    let files = Files::new();
    let query = Query::LogProbe {
        node: "aks-1".to_owned(),
    };
    let silent = failure(500, "InternalError", dial);
    let words = format!("log of pod kube-system/agent: {dial}");
    for (log, reached, words) in [
        (
            answer(200, "a line that says i/o timeout"),
            true,
            String::new(),
        ),
        (silent, false, words),
    ] {
        let peer = Peer::script(vec![body(200, &pods), log]).await;
        let reading = drivers(&peer, &files)
            .observe(&cluster(), &query)
            .await
            .unwrap();
        let result: ProbeResult = serde_json::from_str(&reading.body).unwrap();
        assert_eq!((result.reached, result.error), (reached, words));
        let received = peer.received();
        assert!(received[0].path.contains("spec.nodeName%3Daks-1"));
        assert_eq!(
            received[1].path,
            "/api/v1/namespaces/kube-system/pods/agent/log?container=main&tailLines=1&limitBytes=1024"
        );
    }
    let peer = Peer::with(move |_| body(200, &none)).await;
    let absent = drivers(&peer, &files).observe(&cluster(), &query).await;
    assert_eq!(absent.unwrap_err().code, Code::KubernetesNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_returns_the_api_servers_own_words() {
    let dial = "error trying to reach service: dial tcp 10.224.0.5:10250: i/o timeout";
    let files = Files::new();
    let query = Query::TunnelProbe {
        node: "aks-1".to_owned(),
    };
    for (action, reached, words) in [
        (answer(200, "ok"), true, ""),
        (answer(503, dial), false, dial),
        (
            failure(500, "InternalError", "No agent available"),
            false,
            "No agent available",
        ),
        (
            failure(
                503,
                "ServiceUnavailable",
                "remote error: tls: internal error",
            ),
            true,
            "remote error: tls: internal error",
        ),
    ] {
        let peer = Peer::with(move |_| action.clone()).await;
        let reading = drivers(&peer, &files)
            .observe(&cluster(), &query)
            .await
            .unwrap();
        let result: ProbeResult = serde_json::from_str(&reading.body).unwrap();
        assert_eq!((result.reached, result.error.as_str()), (reached, words));
        assert_eq!(peer.received()[0].path, "/api/v1/nodes/aks-1/proxy/healthz");
        let tries = u32::try_from(peer.received().len()).unwrap();
        let answered = if reached { tries } else { 0 };
        assert_eq!((result.tries, result.answered), (tries, answered));
    }
    // One of two agents is deaf.
    let mut number = 0;
    let peer = Peer::with(move |_| {
        number += 1;
        if number % 2 == 0 {
            answer(200, "ok")
        } else {
            answer(503, dial)
        }
    })
    .await;
    let reading = drivers(&peer, &files)
        .observe(&cluster(), &query)
        .await
        .unwrap();
    let result: ProbeResult = serde_json::from_str(&reading.body).unwrap();
    assert_eq!((result.reached, result.error.as_str()), (false, dial));
    assert_eq!((result.tries, result.answered), (4, 2));
    let peer = Peer::with(|_| Action::Hang).await;
    let mut config = config(&peer, &files);
    config.kubernetes.probe_timeout_ms = 200;
    let drivers = Drivers::connect(config).unwrap();
    let reading = drivers.observe(&cluster(), &query).await.unwrap();
    assert!(
        !serde_json::from_str::<ProbeResult>(&reading.body)
            .unwrap()
            .reached
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_is_of_the_pod_that_was_read_and_sent_once() {
    let before = observation(
        pod(),
        r#"{"metadata":{"name":"agent","uid":"u-1","resourceVersion":"5"}}"#,
        Some("5"),
    );
    let files = Files::new();
    let peer = Peer::with(|_| body(201, &json!({"kind": "Status", "status": "Success"}))).await;
    let performed = drivers(&peer, &files)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap();
    assert!(!performed.already_in_place);
    let sent = peer.received().remove(0);
    assert!(
        sent.path
            .starts_with("/api/v1/namespaces/kube-system/pods/agent/eviction?")
    );
    let sent: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(sent["deleteOptions"]["preconditions"]["uid"], "u-1");

    for (action, unknown, code) in [
        (
            failure(
                409,
                "Conflict",
                "the UID in the precondition does not match",
            ),
            false,
            Code::KubernetesConflict,
        ),
        (
            failure(403, "Forbidden", "no"),
            false,
            Code::KubernetesForbidden,
        ),
        (
            failure(500, "InternalError", "etcd"),
            true,
            Code::KubernetesUnavailable,
        ),
        (Action::Close, true, Code::KubernetesUnavailable),
    ] {
        let peer = Peer::with(move |_| action.clone()).await;
        let error = drivers(&peer, &files)
            .perform(&cluster(), &evict(), &before, &key())
            .await
            .unwrap_err();
        let (is_unknown, error) = match error {
            PerformError::Unknown(error) => (true, error),
            PerformError::NotApplied(error) => (false, error),
        };
        assert_eq!((is_unknown, error.code), (unknown, code), "{error}");
        assert_eq!(peer.received().len(), 1, "{code:?}");
    }
    let peer = Peer::with(|_| failure(404, "NotFound", "gone")).await;
    let performed = drivers(&peer, &files)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap();
    assert!(performed.already_in_place);
}

fn agent(uid: &str, ready: &str) -> Value {
    json!({"metadata": {"name": uid, "namespace": "kube-system", "uid": uid, "resourceVersion": "5",
            "labels": {"pod-template-hash": "5b8f9"},
            "ownerReferences": [{"kind": "ReplicaSet", "uid": "set", "controller": true}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
}

/// Drivers that wait this long around an eviction.
fn patient(peer: &Peer, files: &Files, milliseconds: u64) -> Drivers {
    let mut config = config(peer, files);
    config.kubernetes.eviction_timeout_ms = milliseconds;
    Drivers::connect(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disruption_budget_is_waited_for_and_then_refuses_with_its_code() {
    let forbidden = || {
        failure(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
    };
    let bare = r#"{"metadata":{"name":"agent","uid":"u-1","resourceVersion":"5"}}"#;
    let before = observation(pod(), bare, Some("5"));
    let files = Files::new();
    let mut asked = 0;
    let peer = Peer::with(move |_| {
        asked += 1;
        if asked < 3 {
            forbidden()
        } else {
            body(201, &json!({"kind": "Status", "status": "Success"}))
        }
    })
    .await;
    let performed = patient(&peer, &files, 60_000)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap();
    assert!(!performed.already_in_place);
    assert_eq!(peer.count("POST"), 3);

    let peer = Peer::with(move |_| forbidden()).await;
    let refused = patient(&peer, &files, 50)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap_err();
    let PerformError::NotApplied(error) = refused else {
        panic!("{refused}");
    };
    assert_eq!(error.code, Code::KubernetesDisruptionBudget);
}

/// A list of pods, as the API server answers it.
fn list(pods: Value) -> Action {
    body(
        200,
        &json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_pod_waits_for_its_siblings_and_the_next_step_for_its_successor() {
    let files = Files::new();
    let before = observation(pod(), &agent("a", "True").to_string(), Some("5"));
    let peer = Peer::script(vec![
        // Another one is still starting, then it serves.
        list(json!([agent("a", "True"), agent("b", "False")])),
        list(json!([agent("a", "True"), agent("b", "True")])),
        body(201, &json!({"kind": "Status", "status": "Success"})),
        // The successor is there, then it is ready.
        list(json!([agent("b", "True"), agent("c", "False")])),
        list(json!([agent("b", "True"), agent("c", "True")])),
    ])
    .await;
    let performed = patient(&peer, &files, 60_000)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap();
    assert!(
        performed.detail.contains("a successor is ready"),
        "{}",
        performed.detail
    );
    assert_eq!(peer.received().len(), 5);
    assert!(
        peer.received()[0]
            .path
            .contains("labelSelector=pod-template-hash%3D5b8f9")
    );

    // Never ready: nothing is evicted, and the pod that is in the way is named.
    let peer = Peer::with(move |_| list(json!([agent("a", "True"), agent("b", "False")]))).await;
    let refused = patient(&peer, &files, 50)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap_err();
    let PerformError::NotApplied(error) = refused else {
        panic!("{refused}");
    };
    assert_eq!(error.code, Code::KubernetesDisruptionBudget);
    assert!(error.message.contains("b of the same workload"), "{error}");
    assert_eq!(peer.count("POST"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_somebody_else_deleted_is_neither_evicted_nor_waited_for() {
    let files = Files::new();
    let before = observation(pod(), &agent("a", "True").to_string(), Some("5"));
    let mut going = agent("a", "True");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    // Alone with the others of its workload, and beside a successor that never is ready.
    for pods in [
        json!([going, agent("b", "True")]),
        json!([going, agent("b", "True"), agent("c", "False")]),
    ] {
        let peer = Peer::with(move |_| list(pods.clone())).await;
        let performed = patient(&peer, &files, 60_000)
            .perform(&cluster(), &evict(), &before, &key())
            .await
            .unwrap();
        assert!(performed.already_in_place);
        assert_eq!(performed.detail, "the pod is on its way out");
        assert_eq!(peer.received().len(), 1, "one look, and nothing written");
    }
    // Gone altogether: the API server says so, its unready successor is no reason to wait.
    let peer = Peer::script(vec![
        list(json!([agent("b", "True"), agent("c", "False")])),
        failure(404, "NotFound", "gone"),
    ])
    .await;
    let performed = patient(&peer, &files, 60_000)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap();
    assert!(performed.already_in_place);
    assert_eq!(performed.detail, "the pod is gone already");
    assert_eq!(peer.received().len(), 2);
}

fn deployment() -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "kube-system".to_owned(),
        name: "m".to_owned(),
    }
}

/// Something of every kind that the API server performs, the object as it is before,
/// and the method it is sent with.
fn written() -> Vec<(Effect, Value, &'static str)> {
    let template = json!({"metadata": {}, "spec": {}});
    let workload = json!({"metadata": {"resourceVersion": "5"}, "spec": {"template": template}});
    let restart = |kind: &str| Effect::RolloutRestart {
        workload: kind.to_owned(),
        namespace: "kube-system".to_owned(),
        name: "m".to_owned(),
    };
    let set = Effect::ConfigMapSet {
        namespace: "kube-system".to_owned(),
        name: "m".to_owned(),
        key: "k".to_owned(),
        value: "new".to_owned(),
    };
    let patch = Effect::KubernetesPatch {
        object: deployment(),
        patch: json!({"metadata": {"labels": {"a": "new"}}}),
    };
    let map = json!({"metadata": {"resourceVersion": "5"}, "data": {"k": "old"}});
    let pod = json!({"metadata": {"name": "agent", "uid": "u-1", "resourceVersion": "5"}});
    vec![
        (evict(), pod, "POST"),
        (restart("Deployment"), workload.clone(), "PATCH"),
        (restart("DaemonSet"), workload.clone(), "PATCH"),
        (restart("StatefulSet"), workload.clone(), "PATCH"),
        (set, map, "PATCH"),
        (patch, workload, "PATCH"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dry_run_asks_the_api_server_to_change_nothing_and_shows_what_is_sent() {
    let files = Files::new();
    for (effect, object, method) in written() {
        let kind = effect.kind();
        let after = json!({"kind": "X", "metadata": {"managedFields": [1], "name": "answered"}});
        let peer = Peer::with(move |_| body(200, &after)).await;
        let query = naosu_engine::effect::target(&effect);
        let before = observation(query, &object.to_string(), Some("5"));
        let drivers = drivers(&peer, &files);
        let shown = drivers.dry_run(&cluster(), &effect, &before).await;
        let shown = shown.unwrap().unwrap();
        assert_eq!(shown.by, "system", "{kind:?}");
        let [asked] = &peer.received()[..] else {
            panic!("{kind:?} {:?}", peer.received());
        };
        assert_eq!(asked.method, method, "{kind:?}");
        assert!(asked.path.ends_with("&dryRun=All"), "{}", asked.path);
        assert_eq!(shown.request, format!("{method} {}", asked.path));
        let asked_body: Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(shown.body.as_ref(), Some(&asked_body), "{kind:?}");
        assert!(!shown.after.contains("managedFields"), "{}", shown.after);
        if kind == EffectKind::PodEvict {
            assert!(shown.after.is_empty(), "{}", shown.after);
        } else {
            assert!(shown.after.contains("answered"), "{}", shown.after);
            assert_eq!(asked_body["metadata"]["resourceVersion"], "5", "{kind:?}");
        }
        // What is sent then is the same, but for the question, and for when and by
        // whom something is restarted.
        let performed = drivers.perform(&cluster(), &effect, &before, &key()).await;
        performed.unwrap();
        let sent = peer.received().pop().unwrap();
        let asked_path = asked.path.strip_suffix("&dryRun=All").unwrap();
        assert_eq!(
            (sent.method.as_str(), sent.path.as_str()),
            (method, asked_path)
        );
        assert_eq!(sent.header("content-type"), asked.header("content-type"));
        let timeless = |text: &str| {
            let mut body: Value = serde_json::from_str(text).unwrap();
            if let Some(template) = body.pointer_mut("/spec/template/metadata/annotations") {
                let annotations = template.as_object_mut().unwrap();
                assert_eq!(annotations.len(), 2, "{kind:?}");
                annotations
                    .values_mut()
                    .for_each(|value| *value = json!("some"));
            }
            body
        };
        assert_eq!(timeless(&sent.body), timeless(&asked.body), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_would_refuse_is_refused_by_the_dry_run() {
    let files = Files::new();
    for (effect, object, _) in written() {
        let kind = effect.kind();
        let peer = Peer::with(|_| failure(403, "Forbidden", "admission says no")).await;
        let query = naosu_engine::effect::target(&effect);
        let before = observation(query, &object.to_string(), Some("5"));
        let refused = drivers(&peer, &files)
            .dry_run(&cluster(), &effect, &before)
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::KubernetesForbidden, "{kind:?}");
        assert!(refused.message.contains("admission says no"), "{refused}");
    }
}

/// A peer whose managed cluster has another API server than the kubeconfig's, and
/// whose nodes are these virtual machines.
async fn with_nodes(fqdn: &'static str, groups: &'static [&'static str]) -> Peer {
    Peer::with_all(move |request| {
        if request.path.contains("/managedClusters/") {
            let cluster = json!({"properties": {"nodeResourceGroup": "MC_rg", "fqdn": fqdn}});
            return body(200, &cluster);
        }
        if !request.path.starts_with("/api/v1/nodes") {
            let agent = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent"}});
            return body(200, &agent);
        }
        let node = |group: &&str| {
            let machine = "providers/Microsoft.Compute/virtualMachines/m";
            json!({
                "metadata": {"name": "n"},
                "spec": {"providerID": format!("azure:///subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{group}/{machine}")},
            })
        };
        let items: Vec<Value> = groups.iter().map(node).collect();
        body(200, &json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": items}))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_behind_another_name_is_told_by_its_nodes() {
    let files = Files::new();
    let fqdn = "aks-1.hcp.eu.azmk8s.io";
    for (groups, is_own) in [
        (&["mc_RG"] as &[&str], true),
        (&["mc_rg", "evil", "mc_rg"], true),
        (&["mc_other"], false),
        (&["mc_other", "mc_rg"], false),
        (&[], false),
    ] {
        let peer = with_nodes(fqdn, groups).await;
        let read = drivers(&peer, &files).observe(&cluster(), &pod()).await;
        assert_eq!(read.is_ok(), is_own, "{groups:?}");
        let Err(error) = read else { continue };
        assert_eq!(error.code, Code::KubeconfigOfAnotherCluster, "{error}");
        assert!(error.message.contains("127.0.0.1"), "{error}");
        assert!(error.message.contains(cluster().as_str()), "{error}");
        let asked = peer.received();
        let read = asked.iter().any(|request| request.path.contains("/pods/"));
        assert!(!read, "{groups:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_through_the_kubeconfig_of_another_cluster() {
    let peer = with_nodes("aks-1.hcp.eu.azmk8s.io", &["mc_other"]).await;
    let files = Files::new();
    let before = observation(pod(), &agent("1", "True").to_string(), Some("1"));
    let error = drivers(&peer, &files)
        .perform(&cluster(), &evict(), &before, &key())
        .await
        .unwrap_err();
    assert!(matches!(error, PerformError::NotApplied(error)
        if error.code == Code::KubeconfigOfAnotherCluster));
    assert_eq!(peer.count("POST"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aks_name_that_is_not_the_clusters_needs_no_further_question() {
    let peer = with_nodes("aks-1.hcp.eu.azmk8s.io", &["mc_rg"]).await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    let other = kubeconfig("https://aks-2.hcp.eu.azmk8s.io:443");
    config.kubernetes.source = KubeconfigSource::File {
        path: Some(files.write("other", &other)),
        context: None,
    };
    let drivers = Drivers::connect(config).unwrap();
    let error = drivers.observe(&cluster(), &pod()).await.unwrap_err();
    assert_eq!(error.code, Code::KubeconfigOfAnotherCluster, "{error}");
    for name in ["aks-1.hcp.eu.azmk8s.io", "aks-2.hcp.eu.azmk8s.io"] {
        assert!(error.message.contains(name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_from_arm_starts_no_program_of_this_machine() {
    let files = Files::new();
    let mark = files.write("mark", "untouched");
    let program = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
         clusters: [{{name: t, cluster: {{server: \"https://127.0.0.1:1\"}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n\
         users: [{{name: t, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, \
         command: rm, args: [\"{}\"]}}}}}}]\n",
        mark.display()
    );
    let encoded = base64::engine::general_purpose::STANDARD.encode(program);
    let given = json!({"kubeconfigs": [{"name": "clusterUser", "value": encoded}]});
    let peer = Peer::with(move |_| body(200, &given)).await;
    let mut config = config(&peer, &files);
    config.kubernetes.source = KubeconfigSource::Arm;
    let drivers = Drivers::connect(config).unwrap();
    let error = drivers.observe(&cluster(), &pod()).await.unwrap_err();
    assert_eq!(error.code, Code::KubeconfigInvalid, "{error}");
    assert!(error.message.contains("it would start \"rm\""), "{error}");
    assert!(mark.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_go_on_for_ever_end_at_a_number_of_bytes() {
    let note = "x".repeat(20 << 20);
    let page = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": {"continue": "more"},
        "items": [{"metadata": {"name": "a", "annotations": {"note": note}}}],
    });
    let page = body(200, &page);
    let peer = Peer::with(move |_| page.clone()).await;
    let files = Files::new();
    let mut config = config(&peer, &files);
    config.kubernetes.request_timeout_ms = 60_000;
    let query = Query::KubernetesList {
        api_version: "v1".to_owned(),
        object_kind: "Pod".to_owned(),
        namespace: String::new(),
        label_selector: String::new(),
    };
    let drivers = Drivers::connect(config).unwrap();
    let error = drivers.observe(&cluster(), &query).await.unwrap_err();
    assert_eq!(error.code, Code::KubernetesUnavailable);
    assert!(
        error.message.contains("more than 67108864 bytes"),
        "{error}"
    );
    assert_eq!(peer.count("GET"), 4);
}
