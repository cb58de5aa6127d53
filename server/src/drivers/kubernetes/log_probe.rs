//! The tunnel asked to carry what users ask it for: a line of a pod's log.

use std::time::Instant;

use http_body_util::{BodyExt, Limited};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
    client::Body,
};
use naosu_engine::{
    error::{Code, Error},
    model::{
        ClusterId, HintKind,
        query::{ObjectRef, ProbeResult},
    },
    symptom::{is_peer_fault, kind_of},
};
use serde_json::Value;

use super::{
    KubernetesDriver, KubernetesError,
    resource::{api_of, check_name},
};
use crate::drivers::{
    config::ms,
    text::{MESSAGE_LIMIT, printable},
};

/// How much of an answer is read; a line of a log is not kept.
const ANSWER_LIMIT_BYTES: usize = 16 << 10;
/// Pods of a node among which one is chosen.
const PODS_LISTED: u32 = 50;

/// A running container of a pod.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    namespace: String,
    pod: String,
    name: String,
}

impl KubernetesDriver {
    /// Reads a line of the log of a pod that runs on `node`.
    ///
    /// As of a probe, any answer of the kubelet shows that the tunnel carries.
    ///
    /// # Errors
    /// `kubernetes_not_found` where no pod runs; otherwise when the API server could
    /// not be asked, or may not be.
    pub async fn probe_log(&self, cluster: &ClusterId, node: &str) -> Result<ProbeResult, Error> {
        check_name(&ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: node.to_owned(),
        })?;
        let what = format!("log of a pod on node/{node}");
        let client = self.client(cluster).await?;
        let listed = tokio::time::timeout(self.request_timeout(), pods(&client, node, &what));
        let pods = listed
            .await
            .map_err(|_| KubernetesError::silent(&what, self.request_timeout()))??;
        let Some(container) = chosen(&pods) else {
            return Err(Error::new(
                Code::KubernetesNotFound,
                format!("no pod runs on node {node} whose log could be read"),
                "`kubectl get pods -A -o wide` shows where pods run",
            ));
        };
        let begun = Instant::now();
        let limit = ms(self.config.probe_timeout_ms);
        let error = match tokio::time::timeout(limit, log(&client, &container, &what)).await {
            Err(_) => Verdict::Silent(format!(
                "the API server had no answer after {} s",
                limit.as_secs()
            )),
            Ok(verdict) => verdict?,
        };
        let of = |words: String| {
            let Container { namespace, pod, .. } = &container;
            format!("log of pod {namespace}/{pod}: {words}")
        };
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(match error {
            Verdict::Read => ProbeResult::of_one_try(None, elapsed_ms),
            Verdict::Silent(words) => ProbeResult::of_one_try(Some(of(words)), elapsed_ms),
            Verdict::AtFault(words) => ProbeResult {
                error: of(words),
                ..ProbeResult::of_one_try(None, elapsed_ms)
            },
        })
    }
}

async fn pods(
    client: &Client,
    node: &str,
    what: &str,
) -> Result<Vec<DynamicObject>, KubernetesError> {
    let api: Api<DynamicObject> = api_of(client, "v1", "Pod", "").await?;
    let params = ListParams::default()
        .fields(&format!("spec.nodeName={node},status.phase=Running"))
        .limit(PODS_LISTED);
    let listed = api.list(&params).await;
    Ok(listed
        .map_err(|error| KubernetesError::of(what, error))?
        .items)
}

/// A running container, the first by name: the same each time as long as it runs.
fn chosen(pods: &[DynamicObject]) -> Option<Container> {
    let running = pods.iter().filter_map(|pod| {
        let statuses = pod.data.pointer("/status/containerStatuses")?.as_array()?;
        let is_running = |status: &&Value| {
            status
                .pointer("/state/running")
                .is_some_and(Value::is_object)
        };
        let status = statuses.iter().find(is_running)?;
        let container = Container {
            namespace: pod.metadata.namespace.clone()?,
            pod: pod.metadata.name.clone()?,
            name: status.get("name")?.as_str()?.to_owned(),
        };
        container.has_plain_names().then_some(container)
    });
    running.min_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)))
}

impl Container {
    /// Whether its names can stand in a path as they are.
    fn has_plain_names(&self) -> bool {
        [&self.namespace, &self.pod, &self.name]
            .into_iter()
            .all(|name| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
                    && !name.starts_with('.')
            })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Read,
    /// Reached, and whoever answered did it wrongly.
    AtFault(String),
    Silent(String),
}

async fn log(
    client: &Client,
    container: &Container,
    what: &str,
) -> Result<Verdict, KubernetesError> {
    let Container {
        namespace,
        pod,
        name,
    } = container;
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={name}&tailLines=1&limitBytes=1024"
    );
    let request = http::Request::get(path)
        .header("accept", "*/*")
        .body(Body::empty())
        .map_err(|error| KubernetesError::Invalid {
            what: what.to_owned(),
            reason: error.to_string(),
        })?;
    let response = client
        .send(request)
        .await
        .map_err(|error| KubernetesError::of(what, error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect();
    let body = body.await.map(|body| body.to_bytes().to_vec());
    verdict(status, &body.unwrap_or_default(), what)
}

/// What the answer says. Of a failure only the words tell whether the API server
/// did not reach the kubelet, or relays what it said.
fn verdict(status: u16, body: &[u8], what: &str) -> Result<Verdict, KubernetesError> {
    if status < 400 {
        return Ok(Verdict::Read);
    }
    let text = String::from_utf8_lossy(body);
    let own = serde_json::from_slice::<Value>(body).ok();
    let message = own
        .as_ref()
        .and_then(|value| value.get("message")?.as_str())
        .unwrap_or(&text);
    let message = printable(message, MESSAGE_LIMIT);
    match (status, kind_of(&message)) {
        (401 | 403 | 404, _) => Err(KubernetesError::Refused {
            what: what.to_owned(),
            status,
            reason: String::new(),
            message,
        }),
        (_, _) if is_peer_fault(&message) => Ok(Verdict::AtFault(message)),
        (
            _,
            HintKind::DialTimeout
            | HintKind::ConnectionLost
            | HintKind::NoAgent
            | HintKind::Refused,
        ) => Ok(Verdict::Silent(message)),
        _ => Ok(Verdict::Read),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own(code: u16, message: &str) -> Vec<u8> {
        json!({ "kind": "Status", "code": code, "message": message })
            .to_string()
            .into()
    }

    #[test]
    fn a_failed_dial_is_silence_and_what_the_kubelet_says_is_an_answer() {
        let seen = |status, message: &str| verdict(status, &own(status, message), "w");
        let dial = "Get \"https://10.224.0.5:10250/containerLogs/a/b/c\": dial tcp \
                    10.224.0.5:10250: i/o timeout";
        assert_eq!(seen(500, dial), Ok(Verdict::Silent(dial.into())));
        assert_eq!(
            seen(500, "No agent available"),
            Ok(Verdict::Silent("No agent available".into()))
        );
        let tls = "Get \"https://10.224.0.5:10250/\": remote error: tls: internal error";
        assert_eq!(seen(500, tls), Ok(Verdict::AtFault(tls.into())));
        for relayed in [
            "container \"c\" in pod \"p\" is waiting to start",
            "an error on the server (\"unknown\") has prevented the request from succeeding",
        ] {
            assert_eq!(seen(400, relayed), Ok(Verdict::Read));
        }
        assert_eq!(
            verdict(200, b"dial tcp: i/o timeout", "w"),
            Ok(Verdict::Read)
        );
        assert!(seen(403, "pods \"p\" is forbidden").is_err());
        assert!(seen(404, "pods \"p\" not found").is_err());
    }

    #[test]
    fn the_first_running_container_is_chosen_and_no_name_that_leaves_its_path() {
        let pod = |name: &str, container: &str, state: &str| {
            serde_json::from_value::<DynamicObject>(json!({
                "metadata": { "name": name, "namespace": "kube-system" },
                "status": { "containerStatuses": [
                    { "name": container, "state": { state: {} } }] } }))
            .unwrap()
        };
        let pods = [
            pod("b", "main", "running"),
            pod("a", "main", "waiting"),
            pod("a/../x", "main", "running"),
            pod("aa", "m&follow=true", "running"),
        ];
        assert_eq!(chosen(&pods).unwrap().pod, "b");
        assert_eq!(chosen(&pods[1..]), None);
    }
}
