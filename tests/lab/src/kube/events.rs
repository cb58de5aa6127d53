//! The events a user reads with `kubectl get events` and `describe`.

use serde_json::{Value, json};

use super::objects::Objects;
use super::pods::suffix;
use super::resource::ResourceType;
use super::state::meta;

/// What happened to a pod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happened {
    Started,
    Killed,
    Unschedulable,
}

impl Happened {
    fn words(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Started => ("Normal", "Started", "Started container", "kubelet"),
            Self::Killed => ("Normal", "Killing", "Stopping container", "kubelet"),
            Self::Unschedulable => (
                "Warning",
                "FailedScheduling",
                "0 nodes are available: no node has room for this pod.",
                "default-scheduler",
            ),
        }
    }
}

/// Writes an event about a pod.
pub(super) fn note(objects: &Objects, pod: &Value, happened: Happened) {
    let Some(resource) = ResourceType::find("", "events") else {
        return;
    };
    let (kind, reason, message, component) = happened.words();
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let event = json!({
        "metadata": {
            "name": format!("{}.{}", meta(pod, "name"), suffix()),
            "namespace": meta(pod, "namespace"),
        },
        "involvedObject": {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": meta(pod, "namespace"),
            "name": meta(pod, "name"),
            "uid": meta(pod, "uid"),
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": { "component": component },
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    if let Err(refusal) = objects.create(resource, event) {
        tracing::debug!(?refusal, "event not written");
    }
}
