//! What can be wrong with a field of an ARM resource.

/// A field that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Not JSON at all.
    #[error("not JSON: {message}; pass the resource as ARM returns it")]
    Json {
        /// What the parser says, with line and column.
        message: String,
    },
    /// A field is not there.
    #[error("{place} has no {field}; pass the resource as ARM returns it")]
    Missing {
        /// The resource or rule.
        place: String,
        /// The field.
        field: String,
    },
    /// A field holds something of another type or form.
    #[error("{place}: {field} is {value}, which is not {expected}")]
    Invalid {
        /// The resource or rule.
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
    /// A field is given twice in one object.
    #[error("{place}: {field} is given twice; keep one of them")]
    Repeated {
        /// Where in the text.
        place: String,
        /// The field.
        field: String,
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
}

impl FieldError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "resource_json_invalid",
            Self::Missing { .. } => "field_missing",
            Self::Invalid { .. } => "field_value_invalid",
            Self::OutOfRange { .. } => "field_value_out_of_range",
            Self::Empty { .. } => "field_empty",
            Self::Contradictory { .. } => "fields_contradict",
            Self::Repeated { .. } => "field_repeated",
            Self::HostBits { .. } => "prefix_has_host_bits",
        }
    }

    /// The same error about another place.
    #[must_use]
    pub(crate) fn at(mut self, there: String) -> Self {
        match &mut self {
            Self::Json { .. } => {}
            Self::Missing { place, .. }
            | Self::Invalid { place, .. }
            | Self::OutOfRange { place, .. }
            | Self::Empty { place, .. }
            | Self::Contradictory { place, .. }
            | Self::Repeated { place, .. }
            | Self::HostBits { place, .. } => *place = there,
        }
        self
    }
}

/// Cuts a value from outside to what a message can show.
pub(crate) fn excerpt(value: &str) -> String {
    start_of(value, 80)
}

/// Cuts an ARM id only where it is longer than ids are: all of it is needed to find the
/// resource.
pub(crate) fn excerpt_of_id(id: &str) -> String {
    start_of(id, 500)
}

fn start_of(value: &str, shown: usize) -> String {
    if value.chars().count() <= shown {
        return value.to_owned();
    }
    let start: String = value.chars().take(shown).collect();
    format!("{start}…")
}
