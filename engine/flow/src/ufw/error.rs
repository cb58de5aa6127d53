//! Why ufw's output or files could not be read.

/// Something ufw wrote that could not be read, with the line that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct UfwError {
    /// The 1-based line of the text.
    pub line: usize,
    /// What is wrong there.
    pub kind: UfwErrorKind,
}

impl UfwError {
    /// The stable, machine-readable code of the error.
    pub fn code(&self) -> &'static str {
        match self.kind {
            UfwErrorKind::NotEnglish { .. } => "ufw_output_translated",
            UfwErrorKind::Unreadable { .. } => "ufw_output_unreadable",
            UfwErrorKind::BadValue { .. } => "ufw_bad_value",
            UfwErrorKind::LineTooLong { .. } => "line_too_long",
            UfwErrorKind::Empty => "ufw_output_empty",
        }
    }
}

/// What is wrong with a line of ufw's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UfwErrorKind {
    /// The output is not in English.
    #[error("{text:?} is not ufw's English output; run it with LC_ALL=C")]
    NotEnglish {
        /// The line.
        text: String,
    },
    /// The line has another shape than ufw's.
    #[error("{text:?} is not a line ufw writes here")]
    Unreadable {
        /// The line.
        text: String,
    },
    /// A value in the line is out of range or malformed.
    #[error("{value:?} is not a valid {field}")]
    BadValue {
        /// What it stands for.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// A line no ufw writes.
    #[error("{length} bytes long; ufw writes no such line")]
    LineTooLong {
        /// The length in bytes.
        length: usize,
    },
    /// There is no output at all.
    #[error("there is no output; ufw always writes its status")]
    Empty,
}

impl UfwErrorKind {
    pub(super) fn at(self, line: usize) -> UfwError {
        UfwError { line, kind: self }
    }

    pub(super) fn unreadable(text: &str) -> Self {
        Self::Unreadable {
            text: excerpt(text),
        }
    }

    pub(super) fn bad(field: &'static str, value: &str) -> Self {
        Self::BadValue {
            field,
            value: excerpt(value),
        }
    }
}

/// The longest line accepted, in bytes.
pub(super) const LINE_LIMIT_BYTES: usize = 4_096;

/// The lines with their numbers.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Result<(usize, &str), UfwError>> {
    text.lines()
        .enumerate()
        .map(|(index, line)| match line.len() {
            length if length > LINE_LIMIT_BYTES => {
                Err(UfwErrorKind::LineTooLong { length }.at(index + 1))
            }
            _ => Ok((index + 1, line.trim_end())),
        })
}

pub(super) use crate::iptables::excerpt;
