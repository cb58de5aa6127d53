//! Pods on their way out: they stay listed for a grace, while their successors are made at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::objects::Objects;
use super::resource::ResourceType;
use super::selector::Selector;
use super::state::meta;

/// The seconds of grace that a pod says it was given.
const GRACE_SECONDS: i64 = 30;

/// The grace that a lab really waits.
const GRACE: Duration = Duration::from_millis(300);

/// When pods that were seen on their way out will be gone, by their uids.
pub(super) type Endings = BTreeMap<String, Instant>;

/// Whether a pod is on its way out.
pub(super) fn is_going(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// Begins the way out of a pod, and gives it as it then is. One without a node has nothing to
/// end, nor has one that is given no grace.
pub(super) fn begin(
    objects: &Objects,
    pods: &'static ResourceType,
    pod: &Value,
    grace_seconds: Option<i64>,
) -> Value {
    let (namespace, name) = (meta(pod, "namespace"), meta(pod, "name"));
    let seconds = grace_seconds.unwrap_or(GRACE_SECONDS);
    if seconds == 0 || !pod["spec"]["nodeName"].is_string() {
        objects.remove(pods, namespace, name);
        return pod.clone();
    }
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    objects.modify(pods, namespace, name, |pod| {
        if !is_going(pod) {
            pod["metadata"]["deletionTimestamp"] = json!(until);
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
        }
    });
    objects
        .get(pods, namespace, name)
        .unwrap_or_else(|| pod.clone())
}

/// Takes away the pods whose grace is over.
pub(super) fn finish(objects: &Objects, pods: &'static ResourceType, endings: &mut Endings) {
    let (mut all, _) = objects.list(pods, None, &Selector::default());
    all.retain(is_going);
    endings.retain(|uid, _| all.iter().any(|pod| meta(pod, "uid") == uid));
    for pod in &all {
        let until = endings
            .entry(meta(pod, "uid").to_owned())
            .or_insert_with(|| Instant::now() + GRACE);
        if *until <= Instant::now() {
            objects.remove(pods, meta(pod, "namespace"), meta(pod, "name"));
        }
    }
}
