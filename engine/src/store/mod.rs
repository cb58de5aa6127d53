//! What is kept: diagnoses, plans, approvals and the journals of runs. The
//! trait is small and append-only; each call is atomic and durable when it
//! returns.

pub mod error;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use error::StoreError;
pub use sqlite::SqliteStore;

use crate::model::{
    Approval, ClusterId, Diagnosis, DiagnosisId, Digest, DryRun, Entry, Observation, Plan, PlanId,
    RunId, plan::PlanContent,
};

/// A plan as stored; its state is derived when it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRecord {
    /// Its id.
    pub id: PlanId,
    /// Digest over the canonical JSON of `content`; checked at every read.
    pub digest: Digest,
    /// Immutable.
    pub content: PlanContent,
    /// Decisions, in order.
    pub approvals: Vec<Approval>,
    /// The run that applies it.
    pub run: Option<RunId>,
}

impl PlanRecord {
    /// The plan as it stands at `now`.
    pub fn at(self, now: Timestamp) -> Plan {
        let state = Plan::state_at(&self.content, &self.approvals, now);
        Plan {
            id: self.id,
            digest: self.digest,
            content: self.content,
            state,
            approvals: self.approvals,
            run: self.run,
        }
    }
}

/// What from outside went into a plan beside its diagnosis, so that it can be
/// derived again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInputs {
    /// Every read of planning that the diagnosis had not made, in the order of the
    /// queries.
    pub observations: Vec<Arc<Observation>>,
    /// For each step what the system's own dry run said, where it has one.
    pub dry_runs: Vec<Option<DryRun>>,
    /// For each step the disruption budget that forbade its dry run, in the words of
    /// the API server.
    #[serde(default)]
    pub budgets: Vec<Option<String>>,
}

/// A run as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// The plan it executes.
    pub plan: PlanId,
    /// The cluster it mends.
    pub cluster: ClusterId,
    /// How many steps the plan has.
    pub step_count: u32,
    /// The journal, without a gap.
    pub entries: Vec<Entry>,
}

/// Whether a run still holds its cluster after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It goes on: no other run may begin on the cluster.
    Active,
    /// It ended.
    Ended,
}

/// Keeps what Naosu knows.
///
/// # Guarantees
/// A call that returned `Ok` is durable; one that returned an error changed
/// nothing, except [`StoreError::Failed`], after which it may or may not have.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds a diagnosis.
    async fn add_diagnosis(&self, diagnosis: &Diagnosis) -> Result<(), StoreError>;
    /// One diagnosis.
    async fn diagnosis(&self, id: &DiagnosisId) -> Result<Option<Diagnosis>, StoreError>;
    /// At most `limit` diagnoses, newest first, without their observations.
    async fn diagnoses(
        &self,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<Diagnosis>, StoreError>;

    /// Adds a plan, without decisions.
    async fn add_plan(&self, plan: &PlanRecord, inputs: &PlanInputs) -> Result<(), StoreError>;
    /// One plan.
    async fn plan(&self, id: &PlanId) -> Result<Option<PlanRecord>, StoreError>;
    /// What a plan was derived from.
    async fn plan_inputs(&self, id: &PlanId) -> Result<Option<PlanInputs>, StoreError>;
    /// At most `limit` plans, newest first.
    async fn plans(
        &self,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<PlanRecord>, StoreError>;
    /// Adds the `number`th decision (from 0) on a plan, or fails with
    /// [`StoreError::Taken`] when someone else added it first.
    async fn add_approval(
        &self,
        plan: &PlanId,
        number: u32,
        approval: &Approval,
    ) -> Result<(), StoreError>;

    /// Begins a run with its first entry; a plan is applied at most once and not
    /// when it was rejected, and a cluster has at most one active run. Fails with
    /// [`StoreError::NotTheExecutor`] as [`Self::append`] does.
    async fn add_run(&self, run: &RunRecord) -> Result<(), StoreError>;
    /// Adds an entry, or fails with [`StoreError::Taken`] when the run has one
    /// of this sequence number, or with [`StoreError::NotTheExecutor`] when another
    /// became the executor since this one did.
    async fn append(&self, entry: &Entry, activity: Activity) -> Result<(), StoreError>;
    /// One run.
    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError>;
    /// At most `limit` runs, newest first.
    async fn runs(
        &self,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError>;
    /// Every run that has not ended, oldest first.
    async fn active_runs(&self) -> Result<Vec<RunRecord>, StoreError>;

    /// Makes this process the one that executes the store's runs, until it
    /// ends or drops the store; `false` while another process is.
    fn try_become_executor(&self) -> Result<bool, StoreError>;

    /// The process that executes the runs of this store, where it is known.
    fn executor(&self) -> Option<u32> {
        None
    }
}
