//! Watches: the changes of a selection, as a stream of JSON lines.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::objects::{Change, Objects};
use super::resource::ResourceType;
use super::selector::Selector;
use super::status::Failure;
use super::table;
use crate::wire::Received;

const DEFAULT_SECONDS: u64 = 1800;

/// What is watched, and how it is shown.
struct Watch {
    resource: &'static ResourceType,
    namespace: Option<String>,
    selector: Selector,
    as_table: bool,
}

/// Answers a watch request.
pub(super) fn answer(
    objects: &Arc<Objects>,
    request: &Received,
    resource: &'static ResourceType,
    namespace: Option<String>,
    selector: Selector,
) -> Response<Body> {
    let watch = Watch {
        resource,
        namespace,
        selector,
        as_table: table::is_wanted(request.header("accept").unwrap_or_default()),
    };
    let from = request
        .query("resourceVersion")
        .and_then(|version| version.parse::<u64>().ok())
        .filter(|version| *version > 0);
    let initial_events = request.query("sendInitialEvents").as_deref() == Some("true");
    let seconds = request
        .query("timeoutSeconds")
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(DEFAULT_SECONDS);
    let (lines, stream) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(64);
    let objects = objects.clone();
    tokio::spawn(async move {
        let sending = send_all(&objects, &watch, from, initial_events, &lines);
        // Ends by its own time limit, or when the client is gone.
        tokio::select! {
            _ = tokio::time::timeout(Duration::from_secs(seconds), sending) => {}
            () = lines.closed() => {}
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(stream)));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}

type Lines = mpsc::Sender<Result<Bytes, std::convert::Infallible>>;

async fn send_all(
    objects: &Objects,
    watch: &Watch,
    from: Option<u64>,
    initial_events: bool,
    lines: &Lines,
) -> Option<()> {
    let mut changed = objects.subscribe();
    let mut version = match from {
        Some(version) if !initial_events => version,
        _ => {
            let (there, version) =
                objects.list(watch.resource, watch.namespace.as_deref(), &watch.selector);
            for object in there {
                send(lines, watch.event("ADDED", object)).await?;
            }
            if initial_events {
                send(lines, watch.bookmark(version)).await?;
            }
            version
        }
    };
    loop {
        match objects.since(version) {
            Ok(changes) => {
                for change in changes {
                    version = change.version;
                    if let Some(event) = watch.event_of(&change) {
                        send(lines, event).await?;
                    }
                }
            }
            Err(oldest) => {
                let status = Failure::expired(version, oldest).status();
                send(lines, json!({ "type": "ERROR", "object": status })).await?;
                return None;
            }
        }
        changed.changed().await.ok()?;
    }
}

async fn send(lines: &Lines, event: Value) -> Option<()> {
    lines.send(Ok(Bytes::from(format!("{event}\n")))).await.ok()
}

impl Watch {
    fn event_of(&self, change: &Change) -> Option<Value> {
        if change.resource != self.resource {
            return None;
        }
        let selected = |object: &Value| {
            let namespace = object["metadata"]["namespace"].as_str();
            self.namespace
                .as_deref()
                .is_none_or(|wanted| namespace == Some(wanted))
                && self.selector.selects(object)
        };
        let before = change.before.as_ref().filter(|object| selected(object));
        let after = change.after.as_ref().filter(|object| selected(object));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(self.event("ADDED", after.clone())),
            (Some(_), Some(after)) => Some(self.event("MODIFIED", after.clone())),
            (Some(before), None) => {
                let mut last = change.after.clone().unwrap_or_else(|| before.clone());
                last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                Some(self.event("DELETED", last))
            }
        }
    }

    fn event(&self, kind: &str, object: Value) -> Value {
        let object = if self.as_table {
            table::of(self.resource, &[object], "")
        } else {
            object
        };
        json!({ "type": kind, "object": object })
    }

    fn bookmark(&self, version: u64) -> Value {
        json!({ "type": "BOOKMARK", "object": {
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version(),
            "metadata": {
                "resourceVersion": version.to_string(),
                "annotations": { "k8s.io/initial-events-end": "true" },
            },
        }})
    }
}
