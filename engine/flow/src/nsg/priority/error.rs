//! Why a rule gets no priority.

use crate::nsg::NsgError;
use crate::set::AnalysisTooComplex;

/// A rule that cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The required packets are no packets.
    #[error("no packet is required; name the flow the rule is for")]
    NothingRequired,
    /// Every required packet has the rule's verdict already.
    #[error("every required packet has this verdict already; no rule is needed in this group")]
    AlreadyInForce,
    /// The rule does not match a required packet that needs it.
    #[error(
        "rule {rule} does not certainly match {packet}, which is required; widen the rule, \
         or resolve the tags and groups it names"
    )]
    NotCovered {
        /// The rule.
        rule: String,
        /// A required packet outside its match.
        packet: String,
    },
    /// The group is full.
    #[error("the group has {rules} rules and may have {maximum}; remove one first")]
    TooManyRules {
        /// How many it has.
        rules: usize,
        /// How many it may have.
        maximum: usize,
    },
    /// No number would do, and no renumbering that frees one is known.
    #[error(
        "no priority would do and {}: at or after rule {blocking}, {still_stopped} \
         would still be decided by it{}; remove or renumber rules by hand",
        if *.all_were_tried {
            "none can be freed"
        } else {
            "no proved renumbering that frees one was found"
        },
        explain_stricter(.stricter, .wrongly_decided)
    )]
    NoFreePriority {
        /// The rule to come before.
        blocking: String,
        /// The rule to come after.
        stricter: Option<String>,
        /// A required packet that a later number leaves as it is.
        still_stopped: String,
        /// A packet of the rule's match that an earlier number would take from
        /// the stricter rule.
        wrongly_decided: Option<String>,
        /// Whether every renumbering was ruled out; else one may exist that was not
        /// tried.
        all_were_tried: bool,
    },
    /// The group cannot be read or analysed.
    #[error(transparent)]
    Nsg(#[from] NsgError),
}

impl From<AnalysisTooComplex> for PlacementError {
    fn from(error: AnalysisTooComplex) -> Self {
        Self::Nsg(error.into())
    }
}

impl PlacementError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingRequired => "nothing_required",
            Self::AlreadyInForce => "already_in_force",
            Self::NotCovered { .. } => "rule_does_not_cover_required",
            Self::TooManyRules { .. } => "nsg_rule_limit_reached",
            Self::NoFreePriority { .. } => "no_free_priority",
            Self::Nsg(error) => error.code(),
        }
    }
}

fn explain_stricter(stricter: &Option<String>, packet: &Option<String>) -> String {
    match (stricter, packet) {
        (Some(rule), Some(packet)) => {
            format!("; at or before rule {rule}, {packet} would no longer be")
        }
        _ => String::new(),
    }
}
