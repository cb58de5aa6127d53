//! What may be asked of a plan.

use naosu_plugin::{
    PluginError, azure_name, choice,
    flow::nsg::{MAX_PRIORITY, MIN_PRIORITY},
    number_within,
};
use serde::Deserialize;

/// Longest name of a rule.
const NAME_CHARS: usize = 80;
/// Longest ending that is added to a name: the direction, and a number where the
/// name is taken.
const ENDING_CHARS: usize = "-out-1000".len();

/// Parameters of the plan.
pub struct Parameters {
    pub rule_name: Option<String>,
    pub priority: Option<u16>,
    pub scope: Scope,
}

/// What the rules name.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Addresses,
    Subnet,
}

/// The parameters as described.
#[derive(Deserialize)]
struct Given {
    rule_name: Option<String>,
    priority: Option<serde_json::Number>,
    scope: Option<String>,
}

const SCOPES: [(&str, Scope); 2] = [("addresses", Scope::Addresses), ("subnet", Scope::Subnet)];

impl Parameters {
    /// Of JSON, checked.
    pub fn of(json: &str) -> Result<Self, PluginError> {
        let given: Given = naosu_plugin::parameters(json)?;
        if let Some(name) = &given.rule_name {
            azure_name("rule_name", name, NAME_CHARS - ENDING_CHARS)?;
        }
        let priority = given
            .priority
            .map(|priority| number_within("priority", &priority, MIN_PRIORITY..=MAX_PRIORITY));
        let scope = given.scope.map(|scope| choice("scope", &scope, &SCOPES));
        Ok(Self {
            rule_name: given.rule_name,
            priority: priority.transpose()?,
            scope: scope.transpose()?.unwrap_or_default(),
        })
    }
}
