//! What can be wrong with a firewall.

use crate::field::FieldError;
use crate::set::AnalysisTooComplex;

/// A firewall, policy or route table that cannot be read or analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// A field is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Two collections or groups at one level share a priority, so which comes
    /// first would be a guess.
    #[error("{first} and {second} both have priority {priority}; change one")]
    DuplicatePriority {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// Their priority.
        priority: u32,
    },
    /// A firewall uses a policy, which was not given.
    #[error("firewall {firewall} is governed by policy {policy}; read the policy instead")]
    GovernedByPolicy {
        /// The firewall.
        firewall: String,
        /// The policy's id.
        policy: String,
    },
    /// The exact answer costs too much.
    #[error(transparent)]
    TooComplex(#[from] AnalysisTooComplex),
}

impl FirewallError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Field(error) => error.code(),
            Self::DuplicatePriority { .. } => "firewall_priority_duplicate",
            Self::GovernedByPolicy { .. } => "firewall_governed_by_policy",
            Self::TooComplex(error) => error.code(),
        }
    }
}
