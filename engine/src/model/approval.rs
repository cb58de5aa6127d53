//! Decisions on a plan.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Principal};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Decision {
    Approve,
    Reject,
}

/// One decision, bound to the digest of the plan that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Who decided.
    pub principal: Principal,
    /// What.
    pub decision: Decision,
    /// Digest of the plan as the approver saw it.
    pub digest: Digest,
    /// Why, in the approver's words; may be empty.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}
