//! What an analysis may cost, and the error when it would cost more.

use std::fmt;

/// How much one [`Space`](super::Space) may hold and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Edges of all diagram nodes together; about 30 bytes each.
    pub edges: usize,
    /// Elementary steps of all operations together; some 10 to 50 ns each.
    pub steps: u64,
    /// Named unknown atoms.
    pub atoms: usize,
    /// Boxes of one rendering, with some 16 ranges each.
    pub boxes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            edges: 1_000_000,
            steps: 6_000_000,
            // Operations recurse once an atom; a plugin's stack is 1 MiB.
            atoms: 512,
            boxes: 20_000,
        }
    }
}

/// Which part of the [`Budget`] ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetPart {
    /// [`Budget::edges`].
    Edges,
    /// [`Budget::steps`].
    Steps,
    /// [`Budget::atoms`].
    Atoms,
    /// [`Budget::boxes`].
    Boxes,
}

impl fmt::Display for BudgetPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edges => "diagram edges",
            Self::Steps => "operation steps",
            Self::Atoms => "unknown atoms",
            Self::Boxes => "boxes of one rendering",
        })
    }
}

/// The exact answer would cost more than the budget allows. No part of an
/// answer is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rules overlap in too many ways to analyse exactly: more than {limit} {part}{}; \
     ask about fewer packets, or simplify the rules",
    name_rules(.rules)
)]
pub struct AnalysisTooComplex {
    /// What ran out.
    pub part: BudgetPart,
    /// How much of it there was.
    pub limit: u64,
    /// The rules under analysis when it ran out, by name, in order.
    pub rules: Vec<String>,
}

impl AnalysisTooComplex {
    /// The stable code of this error.
    pub const CODE: &'static str = "analysis_too_complex";

    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        Self::CODE
    }

    /// The same error naming the rules that were being analysed, unless it
    /// names some already.
    #[must_use]
    pub fn naming<S: Into<String>>(mut self, rules: impl IntoIterator<Item = S>) -> Self {
        if self.rules.is_empty() {
            self.rules = rules.into_iter().map(Into::into).collect();
        }
        self
    }
}

fn name_rules(rules: &[String]) -> String {
    const SHOWN: usize = 8;
    match rules.len() {
        0 => String::new(),
        count if count <= SHOWN => format!(", in rules {}", rules.join(", ")),
        count => {
            let shown: Vec<&str> = rules.iter().take(SHOWN).map(String::as_str).collect();
            format!(", in rules {} and {} more", shown.join(", "), count - SHOWN)
        }
    }
}
