//! All findings of one look at a cluster, over one set of observations.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterId, Digest, Finding, Observation, Principal, Symptom};
use crate::error::Error;

/// Id of a diagnosis: `dia-<uuid v7>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DiagnosisId(pub String);

/// One look at a cluster. Immutable once stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Its id.
    pub id: DiagnosisId,
    /// The cluster looked at.
    pub cluster: ClusterId,
    /// What the user saw.
    pub symptom: Symptom,
    /// Who asked.
    pub requester: Principal,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Confirmed first, ruled out last.
    pub findings: Vec<Finding>,
    /// Plugins that gave no finding, and why.
    pub failures: Vec<PluginFailure>,
    /// Every read, in the order of the queries.
    pub observations: Vec<Observation>,
    /// Digest over the observations.
    pub observations_digest: Digest,
}

/// A plugin that gave no finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginFailure {
    /// Its id.
    pub plugin: String,
    /// Why.
    pub error: Error,
}
