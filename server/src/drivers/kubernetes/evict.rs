//! Evictions, one after the other: a ready pod goes only while the others of its
//! workload are ready, and the next step waits until its successor is.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use naosu_engine::{error::Error, model::ClusterId};
use serde_json::Value;

use super::{KubernetesDriver, KubernetesError};
use crate::drivers::config::ms;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// A pod and the workload it belongs to, as the pod says itself.
pub(super) struct Evicted {
    namespace: String,
    name: String,
    uid: String,
    is_ready: bool,
    /// Uid of the controller; `None` for a pod that nobody replaces.
    owner: Option<String>,
    /// Selects the pods of one template, where the workload labels them so.
    selector: String,
}

/// The pods of the same workload.
struct Siblings {
    /// Those that are not on their way out.
    staying: Vec<Pod>,
    /// Uids of those that are being deleted.
    going: BTreeSet<String>,
}

/// What a pod is evicted from.
pub(super) struct Workload {
    /// Uids of its pods that are not on their way out.
    pub(super) uids: BTreeSet<String>,
    /// Whether the pod itself is on its way out already.
    pub(super) is_going: bool,
}

struct Pod {
    name: String,
    uid: String,
    is_ready: bool,
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn owner(pod: &Value) -> Option<&str> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    owners.iter().find(controls)?.get("uid")?.as_str()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
    })
}

impl Evicted {
    /// Of a pod as it was read.
    pub(super) fn of(pod: &Value) -> Self {
        let hash = text(pod, "/metadata/labels/pod-template-hash");
        Self {
            namespace: text(pod, "/metadata/namespace").to_owned(),
            name: text(pod, "/metadata/name").to_owned(),
            uid: text(pod, "/metadata/uid").to_owned(),
            is_ready: is_ready(pod),
            owner: owner(pod).map(str::to_owned),
            selector: if hash.is_empty() {
                String::new()
            } else {
                format!("pod-template-hash={hash}")
            },
        }
    }
}

impl Siblings {
    fn among(pods: &[Value], owner_uid: &str) -> Self {
        let going = |pod: &Value| {
            !text(pod, "/metadata/deletionTimestamp").is_empty()
                || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
        };
        let own = pods.iter().filter(|pod| owner(pod) == Some(owner_uid));
        let (going, staying): (Vec<&Value>, Vec<&Value>) = own.partition(|pod| going(pod));
        let uid = |pod: &Value| text(pod, "/metadata/uid").to_owned();
        Self {
            staying: staying
                .into_iter()
                .map(|pod| Pod {
                    name: text(pod, "/metadata/name").to_owned(),
                    uid: uid(pod),
                    is_ready: is_ready(pod),
                })
                .collect(),
            going: going
                .into_iter()
                .filter(|pod| !text(pod, "/metadata/deletionTimestamp").is_empty())
                .map(uid)
                .collect(),
        }
    }

    /// One that is not ready, other than the pod itself.
    fn unready(&self, but: &str) -> Option<&Pod> {
        self.staying
            .iter()
            .find(|pod| !pod.is_ready && pod.uid != but)
    }

    /// Whether a pod is there, and not on its way out.
    fn has_staying(&self, uid: &str) -> bool {
        self.staying.iter().any(|pod| pod.uid == uid)
    }

    fn uids(&self) -> BTreeSet<String> {
        self.staying.iter().map(|pod| pod.uid.clone()).collect()
    }

    /// Whether the evicted pod is gone and as many as before are there again,
    /// the new ones ready.
    fn are_whole_again(&self, before: &BTreeSet<String>, evicted: &str) -> bool {
        let mut new = self.staying.iter().filter(|pod| !before.contains(&pod.uid));
        self.staying.len() >= before.len()
            && self.staying.iter().all(|pod| pod.uid != evicted)
            && new.all(|pod| pod.is_ready)
    }
}

/// The longest that is waited, whatever is configured.
const WAIT_AT_MOST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment when so much time has passed, also where no clock could show it.
fn in_time(wait: Duration) -> Instant {
    Instant::now() + wait.min(WAIT_AT_MOST)
}

impl KubernetesDriver {
    async fn siblings(
        &self,
        cluster: &ClusterId,
        evicted: &Evicted,
        owner: &str,
    ) -> Result<Siblings, Error> {
        let namespace = &evicted.namespace;
        let listed = self.list(cluster, "v1", "Pod", namespace, &evicted.selector);
        let pods: Vec<Value> = serde_json::from_str(&listed.await?.body).unwrap_or_default();
        Ok(Siblings::among(&pods, owner))
    }

    pub(super) fn eviction_deadline(&self) -> Instant {
        in_time(ms(self.config.eviction_timeout_ms))
    }

    /// Waits until the pod may go: not while another of its workload is missing
    /// already. Nothing is waited for where the pod itself is on its way out or no longer
    /// there: its own successor may be what is missing. Gives the workload as it then is;
    /// `None` where nobody replaces the pod.
    ///
    /// # Errors
    /// `kubernetes_disruption_budget` when that takes too long, or why the
    /// workload's pods could not be listed. Nothing was written.
    pub(super) async fn wait_for_siblings(
        &self,
        cluster: &ClusterId,
        evicted: &Evicted,
    ) -> Result<Option<Workload>, Error> {
        let Some(owner) = &evicted.owner else {
            return Ok(None);
        };
        let deadline = self.eviction_deadline();
        loop {
            let siblings = self.siblings(cluster, evicted, owner).await?;
            match siblings.unready(&evicted.uid) {
                Some(unready) if evicted.is_ready && siblings.has_staying(&evicted.uid) => {
                    if !pause(deadline).await {
                        return Err(KubernetesError::DisruptionBudget {
                            what: format!("pod/{}/{}", evicted.namespace, evicted.name),
                            message: format!(
                                "{} of the same workload is not ready, and was not within {} ms",
                                unready.name, self.config.eviction_timeout_ms
                            ),
                        }
                        .into());
                    }
                }
                _ => {
                    return Ok(Some(Workload {
                        uids: siblings.uids(),
                        is_going: siblings.going.contains(&evicted.uid),
                    }));
                }
            }
        }
    }

    /// Waits until a successor of the evicted pod is ready, and says how that went.
    pub(super) async fn wait_for_successor(
        &self,
        cluster: &ClusterId,
        evicted: &Evicted,
        before: &BTreeSet<String>,
    ) -> String {
        let Some(owner) = &evicted.owner else {
            return String::new();
        };
        let begun = Instant::now();
        let deadline = self.eviction_deadline();
        loop {
            // What cannot be read now may be in a moment; the deadline bounds it.
            if let Ok(siblings) = self.siblings(cluster, evicted, owner).await
                && siblings.are_whole_again(before, &evicted.uid)
            {
                return format!(
                    ", a successor is ready after {} ms",
                    begun.elapsed().as_millis()
                );
            }
            if !pause(deadline).await {
                return format!(
                    ", no successor is ready after {} ms",
                    self.config.eviction_timeout_ms
                );
            }
        }
    }
}

/// Waits a moment; `false` when the time is over.
pub(super) async fn pause(deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    tokio::time::sleep(PAUSE.min(left)).await;
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, ready: &str) -> Value {
        json!({ "metadata": { "name": uid, "namespace": "kube-system", "uid": uid,
                "ownerReferences": [{ "uid": "set", "controller": true }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    fn whole(pods: &[Value]) -> bool {
        let before = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        Siblings::among(pods, "set").are_whole_again(&before, "a")
    }

    #[test]
    fn a_workload_is_whole_again_when_the_new_pod_is_ready_and_the_old_one_gone() {
        assert!(whole(&[pod("b", "True"), pod("c", "True")]));
        // The other one was not ready before either: that is not the successor's fault.
        assert!(whole(&[pod("b", "False"), pod("c", "True")]));
        assert!(!whole(&[pod("a", "True"), pod("b", "True")]));
        assert!(!whole(&[pod("b", "True")]));
        assert!(!whole(&[pod("b", "True"), pod("c", "False")]));
        let mut going = pod("c", "True");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(!whole(&[pod("b", "True"), going.clone()]));
        let ended = json!({ "metadata": { "uid": "d", "ownerReferences": [
            { "uid": "set", "controller": true }] }, "status": { "phase": "Failed" } });
        let siblings = Siblings::among(&[going, ended], "set");
        assert_eq!(siblings.going, BTreeSet::from(["c".to_owned()]));
        let mut foreign = pod("c", "True");
        foreign["metadata"]["ownerReferences"][0]["uid"] = json!("another");
        assert!(!whole(&[pod("b", "True"), foreign]));
    }

    #[test]
    fn a_wait_longer_than_any_clock_shows_is_only_a_long_one() {
        let deadline = in_time(Duration::from_millis(u64::MAX));
        assert!(deadline > Instant::now() + Duration::from_secs(24 * 3600));
    }

    #[test]
    fn a_pod_without_a_controller_has_no_siblings_to_wait_for() {
        let mut bare = pod("a", "True");
        bare["metadata"]["ownerReferences"][0]["controller"] = json!(false);
        assert!(Evicted::of(&bare).owner.is_none());
        assert_eq!(Evicted::of(&pod("a", "True")).owner.as_deref(), Some("set"));
    }
}
