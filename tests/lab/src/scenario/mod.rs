//! Scenarios: a small file each, stating an estate, a fault and what a diagnosis must find.

mod catalog;
mod check;
mod expectations;
mod kind;
mod switches;

use serde::{Deserialize, Serialize};

pub use catalog::{builtin_scenario, builtin_scenario_names};
pub use check::{ScenarioError, ScenarioProblem};
pub use expectations::{Cause, Expectations, ExpectedAdvice, ExpectedFix, Judgement};
pub use kind::{Case, ScenarioKind};
pub use switches::Switches;

use crate::estate::Estate;

/// A scenario, read and checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name of the file without its extension.
    #[serde(skip)]
    pub name: String,
    /// One line for a list.
    pub title: String,
    /// What it is there for.
    #[serde(default)]
    pub kind: ScenarioKind,
    /// The public threads that it stands for; a real case has at least one.
    #[serde(default)]
    pub cases: Vec<Case>,
    /// What went wrong, and what a user sees of it.
    pub story: String,
    /// What exists.
    #[serde(default)]
    pub estate: Estate,
    /// How the emulated APIs and nodes misbehave.
    #[serde(default)]
    pub switches: Switches,
    /// What a diagnosis must find.
    pub expect: Expectations,
}

impl Scenario {
    /// Reads a scenario from TOML and checks it as a whole.
    ///
    /// # Errors
    /// Everything that is wrong with the text, together, each with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        check::parse(name, text)
    }
}
