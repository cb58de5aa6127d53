//! Plans: immutable, digested, ordered steps.

use jiff::Timestamp;
use naosu_flow::delta::DeltaReport;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Approval, ClusterId, Decision, DiagnosisId, Digest, Effect, Finding, Principal, Query, RunId,
};
use crate::error::Error;

/// Id of a plan: `plan-<uuid v7>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PlanId(pub String);

/// Where a plan stands. `Expired` is derived from the clock, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum PlanState {
    PendingApproval,
    Approved,
    Rejected,
    Expired,
}

/// How much can go wrong.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Risk {
    Low,
    Medium,
    High,
    Highest,
}

impl Risk {
    /// One level more, where there is one.
    #[must_use]
    pub fn raised(self) -> Self {
        match self {
            Self::Low => Self::Medium,
            Self::Medium => Self::High,
            Self::High | Self::Highest => Self::Highest,
        }
    }
}

/// Something the approver must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable code: "aks_unsupported", "managed_nsg_reset", "aks_reconciles",
    /// "wider_than_needed", "delta_partly_unknown", "disruption_budget", "lockdown",
    /// "plugin".
    pub code: String,
    /// One or two sentences.
    pub message: String,
}

/// What must still hold right before the step: the projection of this read has
/// this digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Precondition {
    /// What is read again.
    pub query: Query,
    /// In words: "NSG nsg-a still has ETag W/\"…\" and the same rules".
    pub description: String,
    /// Digest of the observed state that the step was computed from.
    pub digest: Digest,
    /// ETag or resourceVersion seen, to fence the write with.
    pub version: Option<String>,
}

/// How the step is taken back, fixed before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // few, and stored rather than moved
pub enum Inverse {
    /// By this effect, which removes nothing that someone else changed since.
    Effect {
        /// The taking back.
        effect: Effect,
    },
    /// It cannot be taken back; asks for a stronger approval.
    Irreversible {
        /// Why, and what happens instead.
        reason: String,
    },
}

/// What the system itself, or the host's simulation of it, says the step would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DryRun {
    /// "simulated" by the host, or "system" when the system's own dry run was asked.
    pub by: String,
    /// Method and URL, or the command line: exactly what would be sent.
    pub request: String,
    /// Body of the request, if any.
    pub body: Option<serde_json::Value>,
    /// State before, as text for a diff.
    pub before: String,
    /// State after, as text for a diff.
    pub after: String,
}

/// Packets whose verdict the step changes, computed by the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Delta {
    /// The effect touches no firewall.
    NotAFirewall,
    /// Exact, but for what `report` itself lists as unknown.
    Computed {
        /// Newly allowed, newly denied, unknown.
        report: DeltaReport,
        /// What becomes allowed beyond the finding's required flows; empty when nothing.
        excess: Vec<naosu_flow::delta::FlowBox>,
    },
    /// It could not be computed: everything about it is unknown.
    Unknown {
        /// Why.
        error: Error,
    },
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// One line in the imperative.
    pub title: String,
    /// The mutation.
    pub effect: Effect,
    /// What must still hold.
    pub precondition: Precondition,
    /// How it is taken back.
    pub inverse: Inverse,
    /// What it would do.
    pub dry_run: DryRun,
    /// Which packets it lets pass or stops.
    pub delta: Delta,
    /// How much can go wrong.
    pub risk: Risk,
}

/// What an approval binds to: the digest is taken of exactly this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanContent {
    /// The cluster to mend.
    pub cluster: ClusterId,
    /// The diagnosis whose observations it was made from.
    pub diagnosis: DiagnosisId,
    /// Digest over those observations.
    pub observations_digest: Digest,
    /// The finding to mend.
    pub finding: Finding,
    /// The plugin that proposed the steps.
    pub plugin: String,
    /// SHA-256 of its component.
    pub plugin_digest: Digest,
    /// Parameters, defaults filled in.
    pub parameters: serde_json::Value,
    /// One sentence.
    pub summary: String,
    /// In order.
    pub steps: Vec<Step>,
    /// What the approver must know.
    pub warnings: Vec<Warning>,
    /// The highest of the steps' risks.
    pub risk: Risk,
    /// Version of the approval policy in force.
    pub policy_version: String,
    /// How many approvals it needs (2 for what cannot be taken back or is unsupported,
    /// if the policy says so).
    pub approvals_needed: u32,
    /// Who asked for it.
    pub requester: Principal,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this it can be neither approved nor applied.
    pub expires_at: Timestamp,
}

/// A plan: content, its digest, and what was decided on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// SHA-256 over the canonical JSON of `content`.
    pub digest: Digest,
    /// Immutable.
    pub content: PlanContent,
    /// Where it stands now.
    pub state: PlanState,
    /// Approvals and rejections, in order.
    pub approvals: Vec<Approval>,
    /// The run that applies it; a plan is applied once.
    pub run: Option<RunId>,
}

impl Plan {
    /// Where a plan with these decisions stands at `now`. The one place that knows.
    pub fn state_at(content: &PlanContent, approvals: &[Approval], now: Timestamp) -> PlanState {
        if approvals.iter().any(|a| a.decision == Decision::Reject) {
            return PlanState::Rejected;
        }
        if now >= content.expires_at {
            return PlanState::Expired;
        }
        // One person with two names decides once.
        let mut people: Vec<&str> = approvals
            .iter()
            .map(|a| a.principal.person_behind())
            .collect();
        people.sort_unstable();
        people.dedup();
        if people.len() >= content.approvals_needed as usize {
            PlanState::Approved
        } else {
            PlanState::PendingApproval
        }
    }
}
