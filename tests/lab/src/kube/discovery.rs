//! Discovery: which groups and resources there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resource::TYPES;

const AUTHORIZATION: &str = "authorization.k8s.io";

/// Answers a discovery path; `None` for any other.
pub(super) fn answer(path: &str, kubernetes_version: &str) -> Option<Value> {
    let path = path.trim_end_matches('/');
    match path {
        "/version" => return Some(version(kubernetes_version)),
        "/api" => {
            return Some(json!({
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [],
            }));
        }
        "/apis" => {
            let groups: Vec<Value> = groups().into_iter().map(group).collect();
            return Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }));
        }
        "/api/v1" => return Some(resources("")),
        _ => {}
    }
    let mut parts = path.strip_prefix("/apis/")?.split('/');
    let name = parts.next()?;
    let known = groups().into_iter().find(|group| *group == name)?;
    match (parts.next(), parts.next()) {
        (None, None) => {
            let mut group = group(known);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Some(group)
        }
        (Some("v1"), None) => Some(resources(known)),
        _ => None,
    }
}

fn groups() -> BTreeSet<&'static str> {
    TYPES
        .iter()
        .map(|one| one.group)
        .filter(|group| !group.is_empty())
        .chain([AUTHORIZATION])
        .collect()
}

fn group(name: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn resources(group: &str) -> Value {
    let mut resources = Vec::new();
    for one in TYPES.iter().filter(|one| one.group == group) {
        resources.push(json!({
            "name": one.plural,
            "singularName": one.kind.to_lowercase(),
            "namespaced": one.namespaced,
            "kind": one.kind,
            "shortNames": one.short,
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        }));
        for subresource in one.subresources {
            let (kind, group, verbs) = match *subresource {
                "eviction" => ("Eviction", "policy", json!(["create"])),
                "log" => ("Pod", "", json!(["get"])),
                "scale" => ("Scale", "autoscaling", json!(["get", "patch", "update"])),
                _ => (one.kind, one.group, json!(["get", "patch", "update"])),
            };
            let mut entry = json!({
                "name": format!("{}/{subresource}", one.plural),
                "singularName": "",
                "namespaced": one.namespaced,
                "kind": kind,
                "verbs": verbs,
            });
            if !group.is_empty() {
                entry["group"] = json!(group);
                entry["version"] = json!("v1");
            }
            resources.push(entry);
        }
    }
    if group == AUTHORIZATION {
        resources.push(json!({
            "name": "selfsubjectaccessreviews",
            "singularName": "selfsubjectaccessreview",
            "namespaced": false,
            "kind": "SelfSubjectAccessReview",
            "verbs": ["create"],
        }));
    }
    let group_version = match group {
        "" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    })
}

fn version(kubernetes_version: &str) -> Value {
    let mut numbers = kubernetes_version.split('.');
    json!({
        "major": numbers.next().unwrap_or("1"),
        "minor": numbers.next().unwrap_or("34"),
        "gitVersion": format!("v{kubernetes_version}"),
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z",
        "goVersion": "go1.24",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}
