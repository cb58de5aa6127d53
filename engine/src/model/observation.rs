//! Recorded reads.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{digest::Digest, query::Query};
use crate::error::{Code, Error};

/// One recorded read: what was asked, what came, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// What was asked.
    pub query: Query,
    /// What came, or why nothing did. Both are replayed, to many readers.
    pub answer: Result<Arc<str>, ObserveError>,
    /// ETag or resourceVersion to fence a write with, when the peer gave one.
    pub version: Option<String>,
    /// When it was read.
    pub observed_at: Timestamp,
    /// Digest of the answer: of the bytes of what came, or of the canonical JSON of
    /// why nothing did.
    pub digest: Digest,
}

impl Observation {
    /// The digest of an answer.
    pub fn digest_of(answer: &Result<Arc<str>, ObserveError>) -> Digest {
        match answer {
            Ok(body) => Digest::of_bytes(body.as_bytes()),
            // An error always has a JSON form.
            Err(error) => Digest::of_value(error).unwrap_or_else(|_| Digest::of_bytes(b"")),
        }
    }

    /// Whether the answer is still the one that the digest was taken of.
    pub fn is_intact(&self) -> bool {
        Self::digest_of(&self.answer) == self.digest
    }
}

/// What of an observation goes into a digest over many.
#[derive(Serialize)]
struct Digested<'a> {
    query: &'a Query,
    is_answered: bool,
    answer: &'a Digest,
    version: Option<&'a str>,
    observed_at: Timestamp,
}

/// Digest over observations: every query, answer, version and time. Answers go in
/// by their own digests: those of a thousand nodes have megabytes.
///
/// # Errors
/// `internal`, which cannot happen for observations that were read.
pub fn observations_digest(observations: &[Arc<Observation>]) -> Result<Digest, Error> {
    let digested = observations.iter().map(|observation| Digested {
        query: &observation.query,
        is_answered: observation.answer.is_ok(),
        answer: &observation.digest,
        version: observation.version.as_deref(),
        observed_at: observation.observed_at,
    });
    let digested: Vec<Digested<'_>> = digested.collect();
    Digest::of_value(&digested).map_err(|e| {
        Error::new(
            Code::Internal,
            format!("observations have no canonical form: {e}"),
            "report this",
        )
    })
}

/// Why a read gave nothing. A fact like any other: a plugin may conclude from
/// `not_found` that a cause is ruled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ObserveError {
    /// Which kind.
    pub kind: ObserveErrorKind,
    /// Stable code of the driver's error: "azure_forbidden".
    pub code: Code,
    /// What was wrong, with the value.
    pub message: String,
}

/// The kinds of [`ObserveError`], as the plugin contract has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObserveErrorKind {
    /// There is no such thing.
    NotFound,
    /// The host's credentials may not read it.
    Forbidden,
    /// The plugin lacks the grant.
    NotGranted,
    /// The answer was cut short.
    Truncated,
    /// The query is malformed.
    Invalid,
    /// The peer did not answer, or answered garbage.
    Unavailable,
}
