//! The observed state of a target, and how it is understood.

use std::sync::Arc;

use naosu_flow::field::parse_json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::{Code, Error},
    model::{Observation, ObserveError, ObserveErrorKind, Query, diagnosis::next_of},
};

/// What a read of a target gave, or would give after a simulated effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What was asked, in words.
    pub what: String,
    /// What came.
    pub answer: Result<Arc<str>, ObserveError>,
}

impl State {
    /// The state that was observed.
    pub fn of(observation: &Observation) -> Self {
        Self {
            what: observation.query.to_string(),
            answer: observation.answer.clone(),
        }
    }

    /// The same target with another body.
    #[must_use]
    pub fn with_body(&self, body: String) -> Self {
        Self {
            what: self.what.clone(),
            answer: Ok(body.into()),
        }
    }

    /// The same target with another JSON body.
    #[must_use]
    pub fn with_json(&self, body: &Value) -> Self {
        self.with_body(body.to_string())
    }

    /// The target gone.
    #[must_use]
    pub fn gone(&self, code: Code) -> Self {
        Self {
            what: self.what.clone(),
            answer: Err(ObserveError {
                kind: ObserveErrorKind::NotFound,
                code,
                message: format!("{} is not there", self.what),
            }),
        }
    }

    /// An observation of this state for the query it is about.
    pub fn observation(&self, like: &Observation) -> Observation {
        Observation {
            query: like.query.clone(),
            answer: self.answer.clone(),
            version: None,
            observed_at: like.observed_at,
            digest: Observation::digest_of(&self.answer),
        }
    }

    /// Whether the target is certainly not there.
    pub fn is_absent(&self) -> bool {
        matches!(&self.answer, Err(e) if e.kind == ObserveErrorKind::NotFound)
    }

    /// The text.
    ///
    /// # Errors
    /// The driver's error, when the read failed.
    pub fn text(&self) -> Result<&str, Error> {
        self.answer.as_deref().map_err(|e| {
            Error::new(
                e.code,
                format!("{}: {}", self.what, e.message),
                next_of(e.code),
            )
        })
    }

    /// The text as JSON of a type.
    ///
    /// # Errors
    /// The driver's error, or `ruleset_malformed` when it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // Of a field given twice one value would win in silence.
        let value = parse_json(self.text()?).map_err(|e| self.malformed(&e))?;
        serde_json::from_value(value).map_err(|e| self.malformed(&e))
    }

    /// The error for a body that makes no sense.
    pub fn malformed(&self, why: &dyn std::fmt::Display) -> Error {
        Error::new(
            Code::RulesetMalformed,
            format!("{}: {why}", self.what),
            "look at what was read; a fix cannot be computed from it",
        )
    }
}

/// An ARM resource.
pub(super) fn arm(resource: &str) -> Query {
    Query::AzureGet {
        resource: resource.to_owned(),
    }
}

/// An effect that no system would accept: the plugin's fault.
pub(super) fn refused_effect(why: &dyn std::fmt::Display) -> Error {
    Error::new(
        Code::PluginMisbehaved,
        format!("the plugin proposes what cannot be done: {why}"),
        "report it to the plugin's author",
    )
}
