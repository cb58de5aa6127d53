//! Parameters of a plan.

use serde::de::DeserializeOwned;

use crate::{Parameter, ParameterType, PluginError};

/// The parameters as a type of the plugin's own.
///
/// # Errors
/// [`PluginError::InvalidParameter`].
pub fn parameters<T: DeserializeOwned>(json: &str) -> Result<T, PluginError> {
    serde_json::from_str(json).map_err(|e| PluginError::InvalidParameter(e.to_string()))
}

/// The description of an optional parameter; `default` is JSON, empty for none.
pub fn parameter(name: &str, type_: ParameterType, summary: &str, default: &str) -> Parameter {
    Parameter {
        name: name.into(),
        type_,
        summary: summary.into(),
        required: false,
        default: default.into(),
    }
}
