//! Pod disruption budgets and the evictions they allow.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::endings::is_going;
use super::objects::Objects;
use super::pods::is_ready;
use super::resource::ResourceType;
use super::selector::Selector;
use super::state::meta;
use super::status::Failure;

/// How a budget stands.
struct Standing {
    healthy: i64,
    desired: i64,
    expected: i64,
}

/// Whether a pod may be evicted now. One that does not run, or is going already, disrupts nothing.
pub(super) fn check(objects: &Objects, pod: &Value) -> Result<(), Failure> {
    if is_going(pod) || pod["status"]["phase"] != "Running" {
        return Ok(());
    }
    for budget in budgets(objects, meta(pod, "namespace")) {
        if !Selector::of_object(&budget["spec"]["selector"]).selects(pod) {
            continue;
        }
        let standing = standing(objects, &budget);
        let allowed = if is_ready(pod) {
            standing.healthy > standing.desired
        } else {
            budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
                || (standing.healthy >= standing.desired && standing.desired > 0)
                || standing.healthy > standing.desired
        };
        if allowed {
            continue;
        }
        return Err(Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
        .with_details(json!({ "causes": [{
            "reason": "DisruptionBudget",
            "message": format!(
                "The disruption budget {} needs {} healthy pods and has {} currently",
                meta(&budget, "name"),
                standing.desired,
                standing.healthy
            ),
        }]})));
    }
    Ok(())
}

/// Brings the status of every budget up to date.
pub(super) fn refresh(objects: &Objects) {
    let Some(resource) = ResourceType::find("policy", "poddisruptionbudgets") else {
        return;
    };
    let (all, _) = objects.list(resource, None, &Selector::default());
    for budget in all {
        let standing = standing(objects, &budget);
        let status = json!({
            "currentHealthy": standing.healthy,
            "desiredHealthy": standing.desired,
            "expectedPods": standing.expected,
            "disruptionsAllowed": (standing.healthy - standing.desired).max(0),
            "observedGeneration": budget["metadata"]["generation"],
        });
        if budget["status"] != status {
            let (namespace, name) = (meta(&budget, "namespace"), meta(&budget, "name"));
            objects.modify(resource, namespace, name, |budget| {
                budget["status"] = status.clone()
            });
        }
    }
}

fn budgets(objects: &Objects, namespace: &str) -> Vec<Value> {
    ResourceType::find("policy", "poddisruptionbudgets")
        .map(|resource| {
            objects
                .list(resource, Some(namespace), &Selector::default())
                .0
        })
        .unwrap_or_default()
}

fn standing(objects: &Objects, budget: &Value) -> Standing {
    let selector = Selector::of_object(&budget["spec"]["selector"]);
    let pods = ResourceType::find("", "pods")
        .map(|pods| {
            objects
                .list(pods, Some(meta(budget, "namespace")), &selector)
                .0
        })
        .unwrap_or_default();
    let expected = expected(objects, &pods);
    let healthy = pods
        .iter()
        .filter(|pod| is_ready(pod) && !is_going(pod))
        .count();
    let spec = &budget["spec"];
    let desired = match (spec.get("minAvailable"), spec.get("maxUnavailable")) {
        (Some(minimum), _) => amount(minimum, expected),
        (None, Some(maximum)) => expected - amount(maximum, expected),
        (None, None) => 0,
    };
    Standing {
        healthy: i64::try_from(healthy).unwrap_or(i64::MAX),
        desired: desired.max(0),
        expected,
    }
}

/// How many pods there should be: what their controllers are to keep, whether they are there or
/// not, and those of no controller.
fn expected(objects: &Objects, pods: &[Value]) -> i64 {
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    let mut alone = 0;
    for pod in pods {
        let owner = &pod["metadata"]["ownerReferences"][0];
        let (Some(uid), Some(name)) = (owner["uid"].as_str(), owner["name"].as_str()) else {
            alone += 1;
            continue;
        };
        wanted
            .entry(uid)
            .or_insert_with(|| replicas(objects, meta(pod, "namespace"), name).unwrap_or(1));
    }
    wanted.values().sum::<i64>() + alone
}

/// What the deployment above a replica set is to keep.
fn replicas(objects: &Objects, namespace: &str, replica_set: &str) -> Option<i64> {
    let set = objects.get(
        ResourceType::find("apps", "replicasets")?,
        namespace,
        replica_set,
    )?;
    let deployment = set["metadata"]["ownerReferences"][0]["name"].as_str()?;
    let deployments = ResourceType::find("apps", "deployments")?;
    let deployment = objects.get(deployments, namespace, deployment)?;
    deployment["spec"]["replicas"].as_i64()
}

/// A number, or a percentage rounded up.
fn amount(value: &Value, of: i64) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (of * percent + 99) / 100
        }
        other => other.as_i64().unwrap_or(0),
    }
}
