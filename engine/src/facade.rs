//! The one interface that every face translates to. Implemented by the engine
//! in this process and by the gRPC client for a server elsewhere.

use std::pin::Pin;

use async_trait::async_trait;
use futures::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    model::{
        ClusterId, Diagnosis, DiagnosisId, Digest, Judgement, Plan, PlanId, PlanState, PluginInfo,
        Principal, Run, RunId, Symptom,
    },
};

/// What to look at.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DiagnoseRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// What was seen.
    #[serde(default)]
    pub symptom: Symptom,
    /// Only these plugins; empty for all.
    #[serde(default)]
    pub plugins: Vec<String>,
}

/// What to plan.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanRequest {
    /// The diagnosis.
    pub diagnosis: DiagnosisId,
    /// The plugin whose finding to mend, also a suspected one; when absent, the first confirmed
    /// finding that has a feasible fix.
    #[serde(default)]
    pub plugin: Option<String>,
    /// JSON object of the plugin's parameters.
    #[serde(default)]
    pub parameters: serde_json::Map<String, serde_json::Value>,
}

/// What a diagnosis in progress tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DiagnoseProgress {
    /// A read began.
    Reading {
        /// What, in words.
        what: String,
    },
    /// A read ended.
    Read {
        /// What, in words.
        what: String,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
        /// Whether it gave something.
        ok: bool,
    },
    /// A plugin judged.
    Judged {
        /// Its id.
        plugin: String,
        /// Its judgement; absent when it failed.
        judgement: Option<Judgement>,
    },
    /// The end.
    Finished {
        /// The stored diagnosis.
        diagnosis: Box<Diagnosis>,
    },
}

/// Which plans to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlanFilter {
    /// Of this cluster.
    pub cluster: Option<ClusterId>,
    /// In this state.
    pub state: Option<PlanState>,
}

/// A stream of items that may end with an error.
pub type ItemStream<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// All that Naosu does for anyone.
#[async_trait]
pub trait Naosu: Send + Sync {
    /// Loaded plugins, by id.
    async fn plugins(&self) -> Result<Vec<PluginInfo>, Error>;
    /// One plugin, or `plugin_not_found`.
    async fn plugin(&self, id: &str) -> Result<PluginInfo, Error>;

    /// Diagnoses; the stream ends with `Finished` or an error.
    async fn diagnose(
        &self,
        principal: &Principal,
        request: DiagnoseRequest,
    ) -> Result<ItemStream<DiagnoseProgress>, Error>;
    /// A stored diagnosis, or `diagnosis_not_found`.
    async fn diagnosis(&self, id: &DiagnosisId) -> Result<Diagnosis, Error>;
    /// Stored diagnoses, newest first, without their observations.
    async fn diagnoses(&self, cluster: Option<&ClusterId>) -> Result<Vec<Diagnosis>, Error>;

    /// Makes a plan of a finding.
    async fn create_plan(&self, principal: &Principal, request: PlanRequest)
    -> Result<Plan, Error>;
    /// A stored plan, or `plan_not_found`.
    async fn plan(&self, id: &PlanId) -> Result<Plan, Error>;
    /// Stored plans, newest first.
    async fn plans(&self, filter: &PlanFilter) -> Result<Vec<Plan>, Error>;
    /// Approves exactly the plan with this digest.
    async fn approve(
        &self,
        principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        comment: &str,
    ) -> Result<Plan, Error>;
    /// Rejects it, for good.
    async fn reject(
        &self,
        principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        comment: &str,
    ) -> Result<Plan, Error>;

    /// Begins the run of an approved plan; returns at once.
    async fn apply(&self, principal: &Principal, id: &PlanId) -> Result<Run, Error>;
    /// A run as its journal has it, or `run_not_found`.
    async fn run(&self, id: &RunId) -> Result<Run, Error>;
    /// Runs, newest first.
    async fn runs(&self, cluster: Option<&ClusterId>) -> Result<Vec<Run>, Error>;
    /// The run now and after each further entry, until it is final.
    async fn watch_run(&self, id: &RunId) -> Result<ItemStream<Run>, Error>;
    /// Takes a run back that succeeded or is stuck; returns at once.
    async fn rollback(&self, principal: &Principal, id: &RunId) -> Result<Run, Error>;
}
