//! Reads: what a guest asks, and what it is given.

use super::super::{
    bindings::naosu::plugin::types as guest,
    validate::{
        Checked, NAME_BYTES, TEXT_BYTES, arm_path, kubernetes_name, kubernetes_name_or_empty, line,
        malformed, text,
    },
};
use crate::model::{
    Observation, ObserveError, ObserveErrorKind, Query,
    query::{NodeObservation, ObjectRef},
};

/// Longest time a metric is asked for: 30 days.
const WINDOW_MINUTES: u32 = 30 * 24 * 60;

pub(in super::super) fn query(query: guest::Query) -> Checked<Query> {
    Ok(match query {
        guest::Query::AzureGet(id) => Query::AzureGet {
            resource: arm_path("azure-get", id)?,
        },
        guest::Query::AzureList(path) => Query::AzureList {
            path: arm_path("azure-list", path)?,
        },
        guest::Query::AzureMetric(metric) => metric_query(metric)?,
        guest::Query::KubernetesGet(object) => Query::KubernetesGet {
            object: object_ref("kubernetes-get", object)?,
        },
        guest::Query::KubernetesList(list) => Query::KubernetesList {
            api_version: api_version("api-version", list.api_version)?,
            object_kind: kind("kind", list.kind)?,
            namespace: kubernetes_name_or_empty("namespace", list.namespace)?,
            label_selector: text("label-selector", list.label_selector, TEXT_BYTES)?,
        },
        guest::Query::Node(node) => Query::Node {
            node: kubernetes_name("node", node.node)?,
            what: node_observation(node.what),
        },
        guest::Query::TcpProbe(probe) => Query::TcpProbe {
            from_node: kubernetes_name("from-node", probe.from_node)?,
            to_host: host(probe.to_host)?,
            port: probe.port,
        },
        guest::Query::TunnelProbe(node) => Query::TunnelProbe {
            node: kubernetes_name("tunnel-probe", node)?,
        },
    })
}

fn metric_query(metric: guest::MetricQuery) -> Checked<Query> {
    let is_word = |word: &str| {
        !word.is_empty() && word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if !is_word(&metric.metric) || !is_word(&metric.aggregation) {
        return malformed("azure-metric", "metric and aggregation are one word each");
    }
    if metric.window_minutes == 0 || metric.window_minutes > WINDOW_MINUTES {
        let reason = format!("{} is not 1 to {WINDOW_MINUTES}", metric.window_minutes);
        return malformed("window-minutes", reason);
    }
    Ok(Query::AzureMetric {
        resource: arm_path("resource", metric.resource)?,
        metric: metric.metric,
        aggregation: metric.aggregation,
        filter: text("filter", metric.filter, TEXT_BYTES)?,
        window_minutes: metric.window_minutes,
    })
}

fn node_observation(what: guest::NodeObservation) -> NodeObservation {
    match what {
        guest::NodeObservation::UfwStatus => NodeObservation::UfwStatus,
        guest::NodeObservation::UfwRules => NodeObservation::UfwRules,
        guest::NodeObservation::FirewallRuleset => NodeObservation::FirewallRuleset,
        guest::NodeObservation::ListeningSockets => NodeObservation::ListeningSockets,
        guest::NodeObservation::OutboundConnections => NodeObservation::OutboundConnections,
    }
}

/// A host name or address: it becomes an argument of a command on a node.
fn host(value: String) -> Checked<String> {
    let value = line("to-host", value, NAME_BYTES)?;
    let is_host = !value.starts_with('-')
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'));
    if is_host {
        Ok(value)
    } else {
        malformed("to-host", "not a host name or address")
    }
}

fn api_version(field: &str, value: String) -> Checked<String> {
    let is_version = !value.is_empty()
        && value.len() <= NAME_BYTES
        && value.bytes().filter(|b| *b == b'/').count() <= 1
        && !value.starts_with(['/', '.'])
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/'));
    if is_version && !value.contains("..") {
        Ok(value)
    } else {
        malformed(field, "not a Kubernetes API version")
    }
}

fn kind(field: &str, value: String) -> Checked<String> {
    let is_kind =
        !value.is_empty() && value.len() <= 63 && value.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_kind {
        Ok(value)
    } else {
        malformed(field, "not a Kubernetes kind")
    }
}

pub(super) fn object_ref(field: &str, object: guest::ObjectRef) -> Checked<ObjectRef> {
    Ok(ObjectRef {
        api_version: api_version(&format!("{field}.api-version"), object.api_version)?,
        kind: kind(&format!("{field}.kind"), object.kind)?,
        namespace: kubernetes_name_or_empty(&format!("{field}.namespace"), object.namespace)?,
        name: kubernetes_name(&format!("{field}.name"), object.name)?,
    })
}

pub(super) fn object_ref_to_guest(object: &ObjectRef) -> guest::ObjectRef {
    guest::ObjectRef {
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    }
}

/// What came of a read, copied for the guest.
pub(in super::super) fn observation_to_guest(
    observation: &Observation,
    body: &str,
) -> guest::Observation {
    guest::Observation {
        body: body.to_owned(),
        observed_at: u64::try_from(observation.observed_at.as_millisecond()).unwrap_or(0),
        digest: observation.digest.as_str().to_owned(),
    }
}

pub(in super::super) fn observe_error_to_guest(error: &ObserveError) -> guest::ObserveError {
    let message = error.message.clone();
    match error.kind {
        ObserveErrorKind::NotFound => guest::ObserveError::NotFound(message),
        ObserveErrorKind::Forbidden => guest::ObserveError::Forbidden(message),
        ObserveErrorKind::NotGranted => guest::ObserveError::NotGranted(message),
        ObserveErrorKind::Truncated => guest::ObserveError::Truncated(message),
        ObserveErrorKind::Invalid => guest::ObserveError::Invalid(message),
        ObserveErrorKind::Unavailable => guest::ObserveError::Unavailable(message),
    }
}

/// The kind and the message of a failed read that a guest hands on.
pub(in super::super) fn observe_error_of_guest(
    error: guest::ObserveError,
) -> (ObserveErrorKind, String) {
    match error {
        guest::ObserveError::NotFound(message) => (ObserveErrorKind::NotFound, message),
        guest::ObserveError::Forbidden(message) => (ObserveErrorKind::Forbidden, message),
        guest::ObserveError::NotGranted(message) => (ObserveErrorKind::NotGranted, message),
        guest::ObserveError::Truncated(message) => (ObserveErrorKind::Truncated, message),
        guest::ObserveError::Invalid(message) => (ObserveErrorKind::Invalid, message),
        guest::ObserveError::Unavailable(message) => (ObserveErrorKind::Unavailable, message),
    }
}
