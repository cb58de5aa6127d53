//! The `Table` form of objects, which `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::ResourceType;

/// Whether the `Accept` header asks for a table.
pub(super) fn is_wanted(accept: &str) -> bool {
    accept.contains("as=Table") && accept.contains("g=meta.k8s.io")
}

/// A table of objects.
pub(super) fn of(resource: &ResourceType, objects: &[Value], list_version: &str) -> Value {
    let columns: Vec<Value> = columns(resource)
        .iter()
        .map(|(name, priority)| {
            json!({
                "name": name,
                "type": if *name == "Restarts" { "integer" } else { "string" },
                "format": if *name == "Name" { "name" } else { "" },
                "description": "",
                "priority": priority,
            })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            json!({
                "cells": cells(resource, object),
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": object["metadata"],
                },
            })
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": { "resourceVersion": list_version },
        "columnDefinitions": columns,
        "rows": rows,
    })
}

#[rustfmt::skip]
fn columns(resource: &ResourceType) -> &'static [(&'static str, u32)] {
    match resource.plural {
        "nodes" => &[
            ("Name", 0), ("Status", 0), ("Roles", 0), ("Age", 0), ("Version", 0),
            ("Internal-IP", 1), ("External-IP", 1), ("OS-Image", 1), ("Kernel-Version", 1),
            ("Container-Runtime", 1),
        ],
        "pods" => &[
            ("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0),
            ("IP", 1), ("Node", 1), ("Nominated Node", 1), ("Readiness Gates", 1),
        ],
        "deployments" => &[
            ("Name", 0), ("Ready", 0), ("Up-to-date", 0), ("Available", 0), ("Age", 0),
        ],
        "poddisruptionbudgets" => &[
            ("Name", 0), ("Min Available", 0), ("Max Unavailable", 0), ("Allowed Disruptions", 0),
            ("Age", 0),
        ],
        _ => &[("Name", 0), ("Age", 0)],
    }
}

fn cells(resource: &ResourceType, object: &Value) -> Value {
    let name = &object["metadata"]["name"];
    let age = age(object);
    let (spec, status) = (&object["spec"], &object["status"]);
    match resource.plural {
        "nodes" => {
            let info = &status["nodeInfo"];
            json!([
                name,
                node_status(object),
                "<none>",
                age,
                info["kubeletVersion"],
                address(status, "InternalIP"),
                address(status, "ExternalIP"),
                info["osImage"],
                info["kernelVersion"],
                info["containerRuntimeVersion"],
            ])
        }
        "pods" => {
            let containers = status["containerStatuses"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let ready = containers.iter().filter(|one| one["ready"] == true).count();
            let total = spec["containers"].as_array().map_or(0, Vec::len);
            let restarts: u64 = containers
                .iter()
                .filter_map(|one| one["restartCount"].as_u64())
                .sum();
            json!([
                name,
                format!("{ready}/{total}"),
                pod_status(status),
                restarts,
                age,
                text_or_none(&status["podIP"]),
                text_or_none(&spec["nodeName"]),
                "<none>",
                "<none>",
            ])
        }
        "deployments" => {
            let count = |field: &str| status[field].as_u64().unwrap_or(0);
            let wanted = spec["replicas"].as_u64().unwrap_or(1);
            json!([
                name,
                format!("{}/{wanted}", count("readyReplicas")),
                count("updatedReplicas"),
                count("availableReplicas"),
                age,
            ])
        }
        "poddisruptionbudgets" => json!([
            name,
            number_or_na(&spec["minAvailable"]),
            number_or_na(&spec["maxUnavailable"]),
            status["disruptionsAllowed"],
            age,
        ]),
        _ => json!([name, age]),
    }
}

fn node_status(node: &Value) -> String {
    let ready = condition(&node["status"], "Ready") == Some("True");
    let mut text = if ready { "Ready" } else { "NotReady" }.to_owned();
    if node["spec"]["unschedulable"] == true {
        text.push_str(",SchedulingDisabled");
    }
    text
}

/// What kubectl shows as status: a waiting container's reason before the phase.
fn pod_status(status: &Value) -> String {
    let waiting = status["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|container| container["state"]["waiting"]["reason"].as_str());
    waiting
        .or_else(|| status["reason"].as_str())
        .or_else(|| status["phase"].as_str())
        .unwrap_or("Unknown")
        .to_owned()
}

/// The status of a condition of an object's status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    status["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)?["status"]
        .as_str()
}

fn address<'a>(status: &'a Value, kind: &str) -> &'a str {
    status["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|address| address["type"] == kind)
        .and_then(|address| address["address"].as_str())
        .unwrap_or("<none>")
}

fn text_or_none(value: &Value) -> &str {
    value.as_str().unwrap_or("<none>")
}

fn number_or_na(value: &Value) -> String {
    match value {
        Value::Null => "N/A".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Age in kubectl's short form.
fn age(object: &Value) -> String {
    let created = object["metadata"]["creationTimestamp"]
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok());
    let Some(created) = created else {
        return "<unknown>".to_owned();
    };
    let seconds = Timestamp::now().duration_since(created).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => format!("{}m{}s", seconds / 60, seconds % 60),
        600..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
