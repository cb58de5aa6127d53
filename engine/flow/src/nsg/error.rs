//! What can be wrong with a network security group.

use super::rule::{Direction, NsgRule};
use crate::field::FieldError;
use crate::set::AnalysisTooComplex;

/// A network security group that cannot be read, written or analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NsgError {
    /// A field of the group or of a rule is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Two rules of one direction have one priority.
    #[error("rules {first} and {second} both have {direction} priority {priority}; change one")]
    DuplicatePriority {
        /// The rule that comes first.
        first: String,
        /// The other rule.
        second: String,
        /// Their direction.
        direction: Direction,
        /// Their priority.
        priority: u16,
    },
    /// Two rules have one name.
    #[error("two rules are named {name}, case aside; rename one")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The exact answer costs too much.
    #[error(transparent)]
    TooComplex(#[from] AnalysisTooComplex),
}

impl NsgError {
    /// The same error; when it is about cost, naming these rules unless it
    /// names some already.
    #[must_use]
    pub(super) fn naming<'a>(self, rules: impl IntoIterator<Item = &'a NsgRule>) -> Self {
        match self {
            Self::TooComplex(error) => {
                Self::TooComplex(error.naming(rules.into_iter().map(|rule| rule.name.as_str())))
            }
            other => other,
        }
    }

    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Field(error) => error.code(),
            Self::DuplicatePriority { .. } => "nsg_priority_duplicate",
            Self::DuplicateName { .. } => "nsg_name_duplicate",
            Self::TooComplex(error) => error.code(),
        }
    }
}
