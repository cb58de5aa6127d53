//! What may be asked of a plan.

use naosu_plugin::{PluginError, azure_name, choice, number_within};
use serde::Deserialize;

use crate::place::PRIORITIES;

/// Longest name of a collection that is taken, so that a number can follow it.
const NAME_CHARS: usize = 60;

/// Parameters of the plan.
pub struct Parameters {
    pub collection_name: String,
    pub collection_priority: Option<u16>,
    pub scope: Scope,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            collection_name: "naosu-tunnel".to_owned(),
            collection_priority: None,
            scope: Scope::default(),
        }
    }
}

/// What the rules name.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Nodes,
    Subnet,
}

/// The parameters as described.
#[derive(Deserialize)]
struct Given {
    collection_name: Option<String>,
    collection_priority: Option<serde_json::Number>,
    scope: Option<String>,
}

const SCOPES: [(&str, Scope); 2] = [("nodes", Scope::Nodes), ("subnet", Scope::Subnet)];

impl Parameters {
    /// Of JSON, checked.
    pub fn of(json: &str) -> Result<Self, PluginError> {
        let given: Given = naosu_plugin::parameters(json)?;
        let mut parameters = Self::default();
        if let Some(name) = given.collection_name {
            azure_name("collection_name", &name, NAME_CHARS)?;
            parameters.collection_name = name;
        }
        if let Some(priority) = given.collection_priority {
            let priority = number_within("collection_priority", &priority, PRIORITIES)?;
            parameters.collection_priority = Some(priority);
        }
        if let Some(scope) = given.scope {
            parameters.scope = choice("scope", &scope, &SCOPES)?;
        }
        Ok(parameters)
    }
}
