//! What the engine asks of the outside: one trait for reading, one for
//! writing. The server implements them for Azure, Kubernetes and nodes; tests
//! implement them by recordings.

use async_trait::async_trait;

use crate::{
    error::Error,
    model::{ClusterId, Digest, DryRun, Effect, Observation, ObserveError, Query, journal::Way},
};

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// JSON or text, as [`Query`] says.
    pub body: String,
    /// ETag or resourceVersion, when the peer gave one.
    pub version: Option<String>,
}

/// Reads. Never changes anything.
#[async_trait]
pub trait Observer: Send + Sync {
    /// Performs one read.
    ///
    /// # Guarantees
    /// Bounded in time. A node is asked one thing at a time; different nodes in parallel.
    ///
    /// # Errors
    /// Typed; a missing program on a node is `NotFound`, a cut answer `Truncated`.
    async fn observe(&self, cluster: &ClusterId, query: &Query) -> Result<Reading, ObserveError>;
}

/// Identifies one try of one step, for logs and for request ids: the same try
/// has the same key after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Digest of the approved plan.
    pub plan: Digest,
    /// Index of the step.
    pub step: u32,
    /// Forward or back.
    pub way: Way,
    /// Attempt epoch.
    pub attempt: u32,
}

/// The annotation of a pod template that a restart sets beside its moment: the
/// [`IdempotencyKey::mark`] of the step that restarted it. By nothing else is one
/// restart told from another.
pub const APPLIED_BY: &str = "naosu.dev/applied-by";

impl IdempotencyKey {
    /// Plan, step and way, the same for every try.
    pub fn mark(&self) -> String {
        mark(&self.plan, self.step, self.way)
    }
}

/// The mark that a step of a plan leaves on what it changes.
pub(crate) fn mark(plan: &Digest, step: u32, way: Way) -> String {
    let way = match way {
        Way::Forward => "forward",
        Way::Back => "back",
    };
    format!("{} step {step} {way}", plan.short())
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performed {
    /// True when nothing had to be written.
    pub already_in_place: bool,
    /// For a person: "201 Created, ETag W/\"…\"".
    pub detail: String,
}

/// How a write failed. The difference decides what the engine does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PerformError {
    /// The peer refused or it was never sent: certainly nothing changed.
    #[error("{0}")]
    NotApplied(Error),
    /// No answer, or a failed long operation: it may have changed something.
    /// The engine reads back before anything else.
    #[error("{0}")]
    Unknown(Error),
}

/// Writes. Called by the engine only, for a journaled intent of an approved step.
#[async_trait]
pub trait Effector: Send + Sync {
    /// Performs `effect`, fenced by what was just read: `before` is the
    /// observation of the effect's target (`effect::target`), whose
    /// digest the engine has compared with the plan's precondition.
    ///
    /// # Guarantees
    /// Sends If-Match / resourceVersion / compare-and-delete from `before`, so
    /// that a change in between makes it fail with [`PerformError::NotApplied`].
    async fn perform(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Result<Performed, PerformError>;

    /// Asks the system's own dry run where it has one (`ufw --dry-run`, for
    /// what it writes all the same on a copy of its files, `iptables-restore --test`,
    /// Kubernetes `dryRun=All`); `None` where it has none and the host's simulation
    /// stands.
    ///
    /// # Guarantees
    /// Changes nothing.
    async fn dry_run(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
    ) -> Result<Option<DryRun>, Error>;
}
