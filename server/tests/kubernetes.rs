//! The Kubernetes driver against a scripted peer.

mod support;

use base64::Engine as _;
use naosu_engine::{
    driver::{Effector, Observer, PerformError},
    error::Code,
    model::{
        Effect, ObserveErrorKind, Query,
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
    ] {
        let peer = Peer::with(move |_| action.clone()).await;
        let reading = drivers(&peer, &files)
            .observe(&cluster(), &query)
            .await
            .unwrap();
        let result: ProbeResult = serde_json::from_str(&reading.body).unwrap();
        assert_eq!((result.reached, result.error.as_str()), (reached, words));
        assert_eq!(peer.received()[0].path, "/api/v1/nodes/aks-1/proxy/healthz");
        assert_eq!(peer.received().len(), 1, "a probe is one try");
    }
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
                429,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
            ),
            false,
            Code::KubernetesDisruptionBudget,
        ),
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

#[tokio::test(flavor = "multi_thread")]
async fn the_dry_run_asks_the_api_server_to_change_nothing() {
    let after = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "new"}});
    let peer = Peer::with(move |_| body(200, &after)).await;
    let files = Files::new();
    let effect = Effect::ConfigMapSet {
        namespace: "kube-system".to_owned(),
        name: "m".to_owned(),
        key: "k".to_owned(),
        value: "new".to_owned(),
    };
    let query = Query::KubernetesGet {
        object: ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: "kube-system".to_owned(),
            name: "m".to_owned(),
        },
    };
    let before = observation(
        query,
        r#"{"metadata":{"resourceVersion":"5"},"data":{"k":"old"}}"#,
        Some("5"),
    );
    let shown = drivers(&peer, &files)
        .dry_run(&cluster(), &effect, &before)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(shown.by, "system");
    assert!(shown.after.contains("new"));
    let sent = peer.received().remove(0);
    assert!(sent.path.contains("dryRun=All"), "{}", sent.path);
    let sent: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(sent["metadata"]["resourceVersion"], "5");
}
