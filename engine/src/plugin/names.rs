//! Which names a guest may have resolved. Whoever answers for a domain reads
//! what is asked below it, so that a free choice of names would be a way out for
//! all that a guest has read.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    effect::facts::ClusterFacts,
    model::{ClusterId, Observation, ObserveError, Query},
};

/// The name that a query has resolved, if it is one.
pub(super) fn resolved_by(query: &Query) -> Option<&str> {
    match query {
        Query::TcpProbe { to_host, .. } if to_host.parse::<IpAddr>().is_err() => Some(to_host),
        _ => None,
    }
}

/// The read that the cluster's own names come from.
pub(super) fn query(cluster: &ClusterId) -> Query {
    ClusterFacts::query(cluster)
}

/// Whether a name is one of the cluster's API server.
pub(super) fn is_own(name: &str, cluster: &Observation) -> Result<bool, ObserveError> {
    let body = cluster.answer.as_ref().map_err(Clone::clone)?;
    let resource: Value = serde_json::from_str(body).unwrap_or_default();
    Ok(["/properties/fqdn", "/properties/privateFQDN"]
        .iter()
        .filter_map(|pointer| resource.pointer(pointer)?.as_str())
        .any(|own| own.eq_ignore_ascii_case(name)))
}
