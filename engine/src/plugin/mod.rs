//! Plugins as the engine sees them: four calls over recorded reads. The
//! WebAssembly host implements this; tests may implement it natively.

mod bindings;
mod cache;
mod compile;
mod component;
mod convert;
pub mod error;
mod failures;
pub mod grants;
pub mod host;
mod imports;
pub mod limits;
mod names;
mod output;
pub mod parameters;
mod sandbox;
mod state;
mod ticker;
mod validate;
mod wasi;

pub use error::PluginError;
pub use grants::{Grant, Grants};
pub use host::{CONTRACT, HostSettings, Origin, PluginHost};
pub use limits::Limits;

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    model::{ClusterId, Effect, Evidence, Finding, Observation, PluginInfo, Query, Symptom},
};

/// The recorded reads that a plugin sees: the same query gives the same
/// observation for as long as one diagnosis or plan lasts.
#[async_trait]
pub trait Reads: Send + Sync {
    /// Reads, or replays.
    async fn read(&self, query: &Query) -> Arc<Observation>;
}

/// One step as a plugin proposes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProposedStep {
    /// One line in the imperative.
    pub title: String,
    /// The mutation.
    pub effect: Effect,
}

/// What a plugin proposes. The engine makes a plan of it, or refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// One sentence.
    pub summary: String,
    /// In order.
    pub steps: Vec<ProposedStep>,
    /// For the approver.
    pub warnings: Vec<String>,
}

/// What a plugin says after the steps ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Whether the cause is gone.
    pub mended: bool,
    /// One sentence.
    pub summary: String,
    /// What decides.
    pub evidence: Vec<Evidence>,
}

/// A loaded plugin. A trap or a broken limit is an error of that call and
/// leaves nothing behind.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// What is known of it.
    fn info(&self) -> &PluginInfo;

    /// Judges its cause.
    async fn diagnose(
        &self,
        cluster: &ClusterId,
        symptom: &Symptom,
        reads: Arc<dyn Reads>,
    ) -> Result<Finding, Error>;

    /// Proposes steps for its finding.
    async fn plan(
        &self,
        cluster: &ClusterId,
        finding: &Finding,
        parameters: &serde_json::Map<String, serde_json::Value>,
        reads: Arc<dyn Reads>,
    ) -> Result<Proposal, Error>;

    /// Judges with fresh reads whether the cause is gone.
    async fn verify(
        &self,
        cluster: &ClusterId,
        finding: &Finding,
        steps: &[ProposedStep],
        reads: Arc<dyn Reads>,
    ) -> Result<Verdict, Error>;
}
