//! How the store fails.

use crate::error::{Code, Error};

/// A failure of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It could not be read or written.
    #[error("the store failed: {0}")]
    Failed(String),
    /// It holds what this version cannot read.
    #[error("{0}")]
    Corrupt(String),
    /// The plan was applied before.
    #[error("plan {plan} was already applied, in {run}")]
    PlanAlreadyApplied {
        /// The plan.
        plan: String,
        /// Its run.
        run: String,
    },
    /// The plan was rejected before its run began.
    #[error("plan {plan} was rejected")]
    PlanRejected {
        /// The plan.
        plan: String,
    },
    /// Another run holds the cluster.
    #[error("{run} is at work on this cluster")]
    ClusterBusy {
        /// That run.
        run: String,
    },
    /// Another opening of the store became the executor since.
    #[error("another Naosu process executes the runs of this store by now")]
    NotTheExecutor,
    /// Someone else wrote this number first.
    #[error("number {number} of {owner} is already written")]
    Taken {
        /// A run or a plan.
        owner: String,
        /// The sequence number.
        number: u64,
    },
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let (code, next) = match &error {
            StoreError::Failed(_) => (
                Code::StoreFailed,
                "check that the disk has room and the store's directory can be written",
            ),
            StoreError::Corrupt(_) => (
                Code::StoreCorrupt,
                "the file was left as it is: restore a backup, or name another store",
            ),
            StoreError::PlanAlreadyApplied { .. } => (
                Code::PlanAlreadyApplied,
                "look at that run; to try again, diagnose and make a new plan",
            ),
            StoreError::PlanRejected { .. } => (Code::PlanRejected, "make a new plan"),
            StoreError::ClusterBusy { .. } => {
                (Code::ClusterBusy, "wait until that run ends, or look at it")
            }
            StoreError::NotTheExecutor => {
                (Code::ExecutorElsewhere, "ask that process, or end it first")
            }
            StoreError::Taken { .. } => (
                Code::ClusterBusy,
                "someone else acted at the same time: look again, then decide",
            ),
        };
        Self::new(code, error.to_string(), next)
    }
}
