//! Runs: one execution of an approved plan.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClusterId, Digest, Entry, Event, Principal, TunnelAnswers, journal::Way, plan::PlanId,
};
use crate::error::Error;

/// Id of a run: `run-<uuid v7>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(pub String);

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum RunState {
    Applying,
    Verifying,
    Succeeded,
    RollingBack,
    RolledBack,
    Stuck,
    Cancelled,
}

impl RunState {
    /// Its name, the same in every face.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "APPLYING",
            Self::Verifying => "VERIFYING",
            Self::Succeeded => "SUCCEEDED",
            Self::RollingBack => "ROLLING_BACK",
            Self::RolledBack => "ROLLED_BACK",
            Self::Stuck => "STUCK",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::RolledBack | Self::Stuck | Self::Cancelled
        )
    }
}

/// Where one step of a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum StepState {
    Pending,
    /// An intent is journaled, no outcome yet.
    InFlight,
    Applied,
    Refused,
    TakenBack,
}

/// A run as folded from its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The plan it executes.
    pub plan: PlanId,
    /// Digest of that plan.
    pub plan_digest: Digest,
    /// The cluster it mends.
    pub cluster: ClusterId,
    /// Who applied.
    pub principal: Principal,
    /// Where it stands.
    pub state: RunState,
    /// One a step.
    pub steps: Vec<StepState>,
    /// Last word for a person: the verification's summary, why it is stuck.
    pub summary: String,
    /// First entry.
    pub started_at: Timestamp,
    /// Last entry.
    pub updated_at: Timestamp,
    /// The journal.
    pub entries: Vec<Entry>,
}

impl Run {
    /// What the tunnel answered before the first step.
    pub fn tunnel_before(&self) -> Option<&TunnelAnswers> {
        self.probed(Way::Forward)
    }

    /// What it answered when the run was verified.
    pub fn tunnel_after(&self) -> Option<&TunnelAnswers> {
        self.entries.iter().find_map(|entry| match &entry.event {
            Event::Verified { tunnel, .. } => tunnel.as_ref(),
            _ => None,
        })
    }

    /// What it answered after everything was taken back.
    pub fn tunnel_taken_back(&self) -> Option<&TunnelAnswers> {
        self.probed(Way::Back)
    }

    /// The refusal that ended it before anything was written; `None` for a run
    /// that was not cancelled by one.
    pub fn cancelled_by(&self) -> Option<&Error> {
        if self.state != RunState::Cancelled {
            return None;
        }
        self.entries
            .iter()
            .rev()
            .find_map(|entry| match &entry.event {
                Event::Refused { error, .. } => Some(error),
                _ => None,
            })
    }

    fn probed(&self, wanted: Way) -> Option<&TunnelAnswers> {
        self.entries.iter().find_map(|entry| match &entry.event {
            Event::Probed { way, tunnel } if *way == wanted => Some(tunnel),
            _ => None,
        })
    }
}
