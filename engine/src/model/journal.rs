//! Journal entries. The status of a run is folded from these and nothing else.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Principal, TunnelAnswers, plan::PlanId, run::RunId};
use crate::error::Error;

/// One durable line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The run it belongs to.
    pub run: RunId,
    /// 0, 1, 2 … without a gap.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Whether a step goes forward or is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Way {
    Forward,
    Back,
}

/// What can happen in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// First entry: an approved plan began to be executed.
    Started {
        /// The plan.
        plan: PlanId,
        /// Its digest.
        digest: Digest,
        /// Who applied it.
        principal: Principal,
    },
    /// What the tunnel answered before the first step, or after everything was
    /// taken back. That it does not answer stops nothing.
    Probed {
        /// Before the steps, or after the way back.
        way: Way,
        /// What it answered.
        tunnel: TunnelAnswers,
    },
    /// Durable before the effect: from here on its outcome is unknown until
    /// an outcome entry.
    Intent {
        /// Index of the step.
        step: u32,
        /// Forward, or back.
        way: Way,
        /// 1, 2 … counts the tries of this step on this way.
        attempt: u32,
    },
    /// The effect is in place.
    Applied {
        /// Index of the step.
        step: u32,
        /// Forward, or back.
        way: Way,
        /// True when it was found already in place (by reading back, or because
        /// someone did the same): then Naosu wrote nothing.
        already_in_place: bool,
        /// For a person.
        detail: String,
    },
    /// The effect is certainly not in place and nothing was changed.
    Refused {
        /// Index of the step.
        step: u32,
        /// Forward, or back.
        way: Way,
        /// Why: drift, conflict, forbidden …
        error: Error,
    },
    /// All steps are in place; now it is verified.
    VerifyStarted,
    /// The verdict of plugin and probe.
    Verified {
        /// Whether the cause is gone and the tunnel answers where the plan is about it;
        /// nodes may remain that are silent for another reason.
        mended: bool,
        /// For a person.
        summary: String,
        /// What the tunnel answered; `None` in journals of before it was kept.
        #[serde(default)]
        tunnel: Option<TunnelAnswers>,
    },
    /// Steps in place are taken back, last first.
    RollbackStarted {
        /// Why: verification failed, a step was refused, a person asked.
        reason: String,
        /// Who asked, when a person did.
        principal: Option<Principal>,
    },
    /// The end of a run, with every effect in place and verified.
    Succeeded,
    /// The end: every step that was in place is taken back.
    RolledBack,
    /// The end before any effect.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// A person must look.
    Stuck {
        /// What is not known or could not be taken back, and what to do.
        error: Error,
    },
}
