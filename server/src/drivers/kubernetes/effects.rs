//! Writes of Kubernetes objects, each fenced by what was read, each with the API
//! server's own dry run.

use http::Method;
use naosu_engine::{
    driver::{APPLIED_BY, IdempotencyKey, PerformError, Performed},
    error::{Code, Error},
    model::{ClusterId, DryRun, Effect, Observation, ObserveErrorKind, query::ObjectRef},
};
use serde_json::{Value, json};

use super::{
    KubernetesDriver, KubernetesError,
    evict::{Evicted, pause},
    resource::{api_of, check_name},
};

/// What `kubectl rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Under this name the API server records whose the fields are.
const FIELD_MANAGER: &str = "naosu";

/// Where pods are evicted.
const EVICTION: &str = "eviction";

/// One request to the API server.
#[derive(Clone, Debug, PartialEq)]
struct Write {
    object: ObjectRef,
    method: Method,
    subresource: &'static str,
    content_type: &'static str,
    body: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Planned {
    InPlace(String),
    Write(Box<Write>),
}

impl KubernetesDriver {
    /// Performs an effect on Kubernetes; `None` when it is not Kubernetes'.
    pub async fn perform(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Option<Result<Performed, PerformError>> {
        let planned = plan(effect, before, &key.mark())?;
        Some(match planned {
            Err(error) => Err(PerformError::NotApplied(error)),
            Ok(Planned::InPlace(detail)) => Ok(Performed {
                already_in_place: true,
                detail,
            }),
            Ok(Planned::Write(write)) if write.subresource == EVICTION => {
                self.evict(cluster, &write, before).await
            }
            Ok(Planned::Write(write)) => self.write(cluster, &write).await,
        })
    }

    /// The API server's own dry run; `None` when the effect is not Kubernetes'.
    ///
    /// # Errors
    /// What the API server would refuse the effect with.
    pub async fn dry_run(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
    ) -> Option<Result<Option<DryRun>, Error>> {
        let write = match plan(effect, before, "dry run")? {
            Err(error) => return Some(Err(error)),
            Ok(Planned::InPlace(_)) => return Some(Ok(None)),
            Ok(Planned::Write(write)) => write,
        };
        Some(
            self.send(cluster, &write, true)
                .await
                .map_err(Error::from)
                .map(|(request, mut after)| {
                    if let Some(Value::Object(metadata)) = after.get_mut("metadata") {
                        metadata.remove("managedFields");
                    }
                    let gone = write.subresource == EVICTION;
                    Some(DryRun {
                        by: "system".to_owned(),
                        request,
                        body: Some(write.body.clone()),
                        before: before
                            .answer
                            .as_deref()
                            .ok()
                            .and_then(|text| serde_json::from_str::<Value>(text).ok())
                            .map(|value| pretty(&value))
                            .unwrap_or_default(),
                        after: if gone { String::new() } else { pretty(&after) },
                    })
                }),
        )
    }

    /// Evicts, waiting for the others of the workload before and for a successor
    /// after, and while a disruption budget forbids it; each within a bound.
    async fn evict(
        &self,
        cluster: &ClusterId,
        write: &Write,
        before: &Observation,
    ) -> Result<Performed, PerformError> {
        let pod = observed(before).map_err(PerformError::NotApplied)?;
        let evicted = Evicted::of(&pod);
        let workload = self.wait_for_siblings(cluster, &evicted).await;
        let workload = workload.map_err(PerformError::NotApplied)?;
        if workload.as_ref().is_some_and(|workload| workload.is_going) {
            return Ok(Performed {
                already_in_place: true,
                detail: "the pod is on its way out".to_owned(),
            });
        }
        let deadline = self.eviction_deadline();
        let mut performed = loop {
            match self.write(cluster, write).await {
                // A budget that forbids it now may allow it when other pods are ready.
                Err(PerformError::NotApplied(error))
                    if error.code == Code::KubernetesDisruptionBudget =>
                {
                    if !pause(deadline).await {
                        return Err(PerformError::NotApplied(error));
                    }
                }
                other => break other?,
            }
        };
        if let Some(workload) = workload
            && !performed.already_in_place
        {
            let uids = &workload.uids;
            let waited = self.wait_for_successor(cluster, &evicted, uids).await;
            performed.detail.push_str(&waited);
        }
        Ok(performed)
    }

    async fn write(&self, cluster: &ClusterId, write: &Write) -> Result<Performed, PerformError> {
        tracing::info!(object = %write.object, "writing to Kubernetes");
        match self.send(cluster, write, false).await {
            Ok((request, after)) => {
                let version = after
                    .pointer("/metadata/resourceVersion")
                    .and_then(Value::as_str)
                    .map(|version| format!(", resourceVersion {version}"))
                    .unwrap_or_default();
                Ok(Performed {
                    already_in_place: false,
                    detail: format!("{request}{version}"),
                })
            }
            // The pod went away by itself between the read and now.
            Err(Failure::Kubernetes(KubernetesError::Refused { status: 404, .. }))
                if write.subresource == EVICTION =>
            {
                Ok(Performed {
                    already_in_place: true,
                    detail: "the pod is gone already".to_owned(),
                })
            }
            Err(Failure::Kubernetes(error)) => Err(error.into()),
            // Without a client nothing was sent.
            Err(Failure::Connect(error)) => Err(PerformError::NotApplied(error)),
        }
    }

    async fn send(
        &self,
        cluster: &ClusterId,
        write: &Write,
        dry_run: bool,
    ) -> Result<(String, Value), Failure> {
        let what = write.object.to_string();
        check_name(&write.object)?;
        let client = self.client(cluster).await.map_err(Failure::Connect)?;
        let ObjectRef {
            api_version,
            kind,
            namespace,
            name,
        } = &write.object;
        let api = api_of(&client, api_version, kind, namespace).await?;
        let mut path = format!("{}/{name}", api.resource_url());
        if !write.subresource.is_empty() {
            path = format!("{path}/{}", write.subresource);
        }
        path = format!("{path}?fieldManager={FIELD_MANAGER}");
        if dry_run {
            path.push_str("&dryRun=All");
        }
        let shown = format!("{} {path}", write.method);
        let request = http::Request::builder()
            .method(write.method.clone())
            .uri(&path)
            .header("content-type", write.content_type)
            .body(write.body.to_string().into_bytes())
            .map_err(|error| KubernetesError::Invalid {
                what: what.clone(),
                reason: error.to_string(),
            })?;
        let waited = self.request_timeout();
        match tokio::time::timeout(waited, client.request::<Value>(request)).await {
            Err(_) => Err(KubernetesError::silent(&what, waited).into()),
            Ok(Ok(after)) => Ok((shown, after)),
            Ok(Err(error)) => Err(refused(&what, write, error).into()),
        }
    }
}

/// Why nothing was written, or may not have been.
enum Failure {
    Connect(Error),
    Kubernetes(KubernetesError),
}

impl From<KubernetesError> for Failure {
    fn from(error: KubernetesError) -> Self {
        Self::Kubernetes(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect(error) => error,
            Failure::Kubernetes(error) => error.into(),
        }
    }
}

/// 429 on an eviction is not about how fast one asks.
fn refused(what: &str, write: &Write, error: kube::Error) -> KubernetesError {
    match KubernetesError::of(what, error) {
        KubernetesError::Refused {
            what,
            status: 429,
            message,
            ..
        } if write.subresource == EVICTION => KubernetesError::DisruptionBudget { what, message },
        other => other,
    }
}

fn plan(effect: &Effect, before: &Observation, mark: &str) -> Option<Result<Planned, Error>> {
    Some(match effect {
        Effect::PodEvict { namespace, name } => evict(namespace, name, before),
        Effect::RolloutRestart {
            workload,
            namespace,
            name,
        } => restart(workload, namespace, name, before, mark),
        Effect::ConfigMapSet {
            namespace,
            name,
            key,
            value,
        } => {
            let object = object("v1", "ConfigMap", namespace, name);
            merge(object, &json!({ "data": { key: value } }), before)
        }
        Effect::KubernetesPatch { object, patch } => merge(object.clone(), patch, before),
        _ => return None,
    })
}

fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn evict(namespace: &str, name: &str, before: &Observation) -> Result<Planned, Error> {
    if matches!(&before.answer, Err(error) if error.kind == ObserveErrorKind::NotFound) {
        return Ok(Planned::InPlace("the pod is gone already".to_owned()));
    }
    let pod = observed(before)?;
    if pod
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(Value::is_string)
    {
        return Ok(Planned::InPlace("the pod is on its way out".to_owned()));
    }
    let Some(uid) = pod.pointer("/metadata/uid").and_then(Value::as_str) else {
        return Err(malformed("the pod was read without a uid"));
    };
    // By its uid, so that a new pod of the same name is not evicted in its place.
    // kube's own eviction spells `deleteOptions` so that the API server ignores it.
    Ok(Planned::Write(Box::new(Write {
        object: object("v1", "Pod", namespace, name),
        method: Method::POST,
        subresource: EVICTION,
        content_type: "application/json",
        body: json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": name, "namespace": namespace },
            "deleteOptions": { "preconditions": { "uid": uid } },
        }),
    })))
}

fn restart(
    workload: &str,
    namespace: &str,
    name: &str,
    before: &Observation,
    mark: &str,
) -> Result<Planned, Error> {
    if !matches!(workload, "Deployment" | "DaemonSet" | "StatefulSet") {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("{workload:?} cannot be restarted"),
            "give Deployment, DaemonSet or StatefulSet",
        ));
    }
    let now = observed(before)?;
    let applied_by = now
        .pointer("/spec/template/metadata/annotations")
        .and_then(|annotations| annotations.get(APPLIED_BY))
        .and_then(Value::as_str);
    if applied_by == Some(mark) {
        return Ok(Planned::InPlace(
            "this step has restarted it already".to_owned(),
        ));
    }
    let annotations = json!({
        RESTARTED_AT: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        APPLIED_BY: mark,
    });
    merge(
        object("apps/v1", workload, namespace, name),
        &json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }),
        before,
    )
}

/// A merge patch under the resourceVersion that was read.
fn merge(object: ObjectRef, patch: &Value, before: &Observation) -> Result<Planned, Error> {
    let now = observed(before)?;
    let mut after = now.clone();
    json_patch::merge(&mut after, patch);
    if after == now {
        return Ok(Planned::InPlace(
            "the object is like that already".to_owned(),
        ));
    }
    let version = now
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .or(before.version.as_deref())
        .ok_or_else(|| malformed("the object was read without a resourceVersion"))?;
    let mut body = patch.clone();
    json_patch::merge(
        &mut body,
        &json!({ "metadata": { "resourceVersion": version } }),
    );
    Ok(Planned::Write(Box::new(Write {
        object,
        method: Method::PATCH,
        subresource: "",
        content_type: "application/merge-patch+json",
        body,
    })))
}

fn observed(before: &Observation) -> Result<Value, Error> {
    let text = before.answer.as_ref().map_err(|error| {
        Error::new(
            error.code,
            format!("{}: {}", before.query, error.message),
            "see that it can be read, then plan again",
        )
    })?;
    serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))
}

fn malformed(reason: &str) -> Error {
    Error::new(
        Code::RulesetMalformed,
        format!("the object cannot be understood: {reason}"),
        "diagnose and plan again",
    )
}

/// Names a step; not the attempt, so that a second attempt recognises the first.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use naosu_engine::model::{Digest, ObserveError, Query};

    use super::*;

    fn before(answer: Result<Value, ObserveErrorKind>) -> Observation {
        Observation {
            query: Query::TunnelProbe { node: "n".into() },
            answer: answer
                .map(|value| value.to_string().into())
                .map_err(|kind| ObserveError {
                    kind,
                    code: Code::KubernetesNotFound,
                    message: "no".into(),
                }),
            version: None,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            digest: Digest::of_bytes(b""),
        }
    }

    fn body(planned: Result<Planned, Error>) -> Value {
        match planned.unwrap() {
            Planned::Write(write) => write.body,
            Planned::InPlace(why) => panic!("{why}"),
        }
    }

    #[test]
    fn an_eviction_is_of_this_very_pod() {
        let pod = before(Ok(json!({"metadata": {"uid": "u-1"}})));
        let sent = body(evict("kube-system", "agent", &pod));
        assert_eq!(sent["deleteOptions"]["preconditions"]["uid"], "u-1");
        let gone = before(Err(ObserveErrorKind::NotFound));
        let going = before(Ok(json!({"metadata": {
            "uid": "u-1", "deletionTimestamp": "2026-01-01T00:00:00Z"}})));
        for done in [gone, going] {
            let planned = evict("ns", "agent", &done);
            assert!(matches!(planned, Ok(Planned::InPlace(_))));
        }
    }

    #[test]
    fn a_patch_is_fenced_and_the_second_one_is_not_sent() {
        let map = |value: &str| {
            before(Ok(
                json!({"metadata": {"resourceVersion": "7"}, "data": {"ladder": value}}),
            ))
        };
        let effect = Effect::ConfigMapSet {
            namespace: "kube-system".into(),
            name: "m".into(),
            key: "ladder".into(),
            value: "new".into(),
        };
        let sent = body(plan(&effect, &map("old"), "").unwrap());
        assert_eq!(
            sent,
            json!({"metadata": {"resourceVersion": "7"}, "data": {"ladder": "new"}})
        );
        assert!(matches!(
            plan(&effect, &map("new"), "").unwrap(),
            Ok(Planned::InPlace(_))
        ));
    }

    #[test]
    fn a_restart_recognises_its_own_work() {
        let fresh = before(Ok(
            json!({"metadata": {"resourceVersion": "7"}, "spec": {}}),
        ));
        let sent = body(restart("Deployment", "ns", "d", &fresh, "mine"));
        let mut after = json!({"metadata": {"resourceVersion": "8"}, "spec": {}});
        json_patch::merge(&mut after, &sent);
        assert!(matches!(
            restart("Deployment", "ns", "d", &before(Ok(after.clone())), "mine"),
            Ok(Planned::InPlace(_))
        ));
        assert!(matches!(
            restart("Deployment", "ns", "d", &before(Ok(after)), "another"),
            Ok(Planned::Write(_))
        ));
    }
}
