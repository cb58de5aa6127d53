//! All that is wrong with a configuration, together.

use std::fmt;

use naosu_engine::{Code, Error};

use super::origin::Place;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; absent when a setting is missing everywhere.
    pub place: Option<Place>,
    /// Which setting: "listen.tcp"; empty for the text as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// The one error of all problems.
pub fn error_of_problems(problems: &[Problem]) -> Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Error::new(
        Code::InvalidConfiguration,
        lines.join("\n"),
        "correct them; `naosu config example` prints every setting with its meaning, and \
         `naosu config check` checks again",
    )
}
