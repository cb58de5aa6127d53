//! What can be wrong with a network security group.

use super::rule::Direction;
use crate::set::AnalysisTooComplex;

/// A network security group that cannot be read, written or analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NsgError {
    /// Not JSON at all.
    #[error("not JSON: {message}; pass the security group as ARM returns it")]
    Json {
        /// What the parser says, with line and column.
        message: String,
    },
    /// A field is not there.
    #[error("{place} has no {field}; pass the security group as ARM returns it")]
    Missing {
        /// The rule, or the group.
        place: String,
        /// The field.
        field: String,
    },
    /// A field holds something of another type or form.
    #[error("{place}: {field} is {value}, which is not {expected}")]
    Invalid {
        /// The rule, or the group.
        place: String,
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A number lies outside its range.
    #[error("{place}: {field} is {value}, but must be from {minimum} to {maximum}")]
    OutOfRange {
        /// The rule.
        place: String,
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// The smallest allowed.
        minimum: u32,
        /// The largest allowed.
        maximum: u32,
    },
    /// A list that must not be empty is.
    #[error("{place}: {field} is empty; give at least one value or \"*\"")]
    Empty {
        /// The rule.
        place: String,
        /// The field.
        field: String,
    },
    /// Two fields say different things.
    #[error("{place}: {field} and {other} are both set; keep one of them")]
    Contradictory {
        /// The rule.
        place: String,
        /// One field.
        field: String,
        /// The other field.
        other: String,
    },
    /// A prefix names a host, not a network.
    #[error("{place}: {field} is {value}, which has host bits set; write {corrected}")]
    HostBits {
        /// The rule.
        place: String,
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// The prefix without host bits.
        corrected: String,
    },
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
    /// The same error about another place.
    #[must_use]
    pub(crate) fn at(mut self, there: String) -> Self {
        match &mut self {
            Self::Missing { place, .. }
            | Self::Invalid { place, .. }
            | Self::OutOfRange { place, .. }
            | Self::Empty { place, .. }
            | Self::Contradictory { place, .. }
            | Self::HostBits { place, .. } => *place = there,
            _ => {}
        }
        self
    }

    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "nsg_json_invalid",
            Self::Missing { .. } => "nsg_field_missing",
            Self::Invalid { .. } => "nsg_value_invalid",
            Self::OutOfRange { .. } => "nsg_value_out_of_range",
            Self::Empty { .. } => "nsg_field_empty",
            Self::Contradictory { .. } => "nsg_fields_contradict",
            Self::HostBits { .. } => "nsg_prefix_has_host_bits",
            Self::DuplicatePriority { .. } => "nsg_priority_duplicate",
            Self::DuplicateName { .. } => "nsg_name_duplicate",
            Self::TooComplex(error) => error.code(),
        }
    }
}

/// Cuts a value from outside to what a message can show.
pub(crate) fn excerpt(value: &str) -> String {
    const SHOWN: usize = 80;
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    let start: String = value.chars().take(SHOWN).collect();
    format!("{start}…")
}
