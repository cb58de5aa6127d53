//! A parsed observation that remembers where it came from.

use serde::de::DeserializeOwned;

use crate::{Evidence, Observation, ObserveError, PluginError, Query, Reads};

/// A parsed observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed<T> {
    /// What was read.
    pub value: T,
    /// Of what: an ARM id, `node/<name>`, `pod/<namespace>/<name>`.
    pub resource: String,
    /// When, in milliseconds since 1970.
    pub observed_at: u64,
}

impl<T> Observed<T> {
    /// Of what it was read and when, without what was.
    pub fn without_value(&self) -> Observed<()> {
        Observed {
            value: (),
            resource: self.resource.clone(),
            observed_at: self.observed_at,
        }
    }

    /// Evidence from a field of this observation.
    pub fn evidence(
        &self,
        field: impl Into<String>,
        value: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Evidence {
        Evidence {
            resource: self.resource.clone(),
            field: field.into(),
            value: value.into(),
            observed_at: self.observed_at,
            meaning: meaning.into(),
        }
    }
}

fn resource(query: &Query) -> String {
    match query {
        Query::AzureGet(id) => id.clone(),
        Query::AzureList(path) => path.clone(),
        Query::AzureMetric(metric) => metric.resource.clone(),
        Query::KubernetesGet(object) if object.namespace.is_empty() => {
            format!("{}/{}", object.kind.to_lowercase(), object.name)
        }
        Query::KubernetesGet(object) => format!(
            "{}/{}/{}",
            object.kind.to_lowercase(),
            object.namespace,
            object.name
        ),
        Query::KubernetesList(list) => {
            format!("{}/{}", list.kind.to_lowercase(), list.namespace)
        }
        Query::Node(node) => format!("node/{}", node.node),
        Query::TcpProbe(probe) => format!("node/{}", probe.from_node),
        Query::TunnelProbe(node) => format!("node/{node}"),
    }
}

fn parse<T: DeserializeOwned>(
    query: &Query,
    answer: Result<Observation, ObserveError>,
) -> Result<Observed<T>, PluginError> {
    let observation = answer.map_err(PluginError::Observation)?;
    let resource = resource(query);
    let value = serde_json::from_str(&observation.body)
        .map_err(|e| PluginError::Malformed(format!("{resource}: {e}")))?;
    Ok(Observed {
        value,
        resource,
        observed_at: observation.observed_at,
    })
}

/// Reads JSON.
///
/// # Errors
/// [`PluginError::Observation`] or, when it has another shape, [`PluginError::Malformed`].
pub fn read_json<T: DeserializeOwned>(
    reads: &dyn Reads,
    query: &Query,
) -> Result<Observed<T>, PluginError> {
    parse(query, reads.read(query))
}

/// Reads that are asked for at once: as many as the host makes in parallel, so
/// that the bodies of thousands are never held together.
const READ_AT_ONCE: usize = 32;

/// Reads JSON of several resources of one type, in parallel.
pub fn read_json_many<T: DeserializeOwned>(
    reads: &dyn Reads,
    queries: &[Query],
) -> Vec<Result<Observed<T>, PluginError>> {
    let some = queries.chunks(READ_AT_ONCE);
    some.flat_map(|queries| {
        let answers = reads.read_many(queries);
        let read = queries.iter().zip(answers);
        read.map(|(query, answer)| parse(query, answer))
    })
    .collect()
}
