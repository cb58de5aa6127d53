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
    /// The parent of a policy, whose rules come first, was not given.
    #[error("firewall policy {policy} has the parent {parent}, which was not given")]
    ParentMissing {
        /// The policy.
        policy: String,
        /// Its parent's id.
        parent: String,
    },
    /// Policies are each other's parents.
    #[error("firewall policies are each other's parents: {policies}")]
    PolicyCircle {
        /// Their names.
        policies: String,
    },
    /// Two policies were given of which neither is an ancestor of the other.
    #[error(
        "firewall policies {first} and {second} are not of one firewall: neither has the other \
         for a parent"
    )]
    PoliciesUnrelated {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// One policy was given twice.
    #[error("firewall policy {policy} is given twice")]
    PolicyRepeated {
        /// The policy.
        policy: String,
    },
    /// A rule collection group is of a policy that was not given.
    #[error("rule collection group {group} is of policy {policy}, which was not given")]
    ForeignGroup {
        /// The group.
        group: String,
        /// The id of its policy.
        policy: String,
    },
    /// A rule collection group that a policy names was not given.
    #[error("firewall policy {policy} has the rule collection group {group}, which was not given")]
    GroupMissing {
        /// The policy.
        policy: String,
        /// The group.
        group: String,
    },
    /// A route is for a service tag whose prefixes are not known.
    #[error("route {route} is for service tag {tag}: {reason}")]
    RouteTagUnknown {
        /// The route.
        route: String,
        /// The service tag.
        tag: String,
        /// Why its prefixes are not known.
        reason: String,
    },
    /// Two routes of one table are for the same prefix and disagree.
    #[error(
        "routes {first} and {second} are both for {prefix} and send it to different next hops; \
         keep one of them"
    )]
    RouteConflict {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// Their prefix.
        prefix: String,
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
            Self::ParentMissing { .. } => "firewall_parent_missing",
            Self::PolicyCircle { .. } => "firewall_policy_circle",
            Self::PoliciesUnrelated { .. } => "firewall_policies_unrelated",
            Self::PolicyRepeated { .. } => "firewall_policy_repeated",
            Self::ForeignGroup { .. } => "firewall_group_foreign",
            Self::GroupMissing { .. } => "firewall_group_missing",
            Self::RouteTagUnknown { .. } => "route_tag_unknown",
            Self::RouteConflict { .. } => "route_conflict",
            Self::TooComplex(error) => error.code(),
        }
    }
}
