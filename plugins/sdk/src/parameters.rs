//! Parameters of a plan.

use serde::de::DeserializeOwned;

use crate::PluginError;

/// The parameters as a type of the plugin's own.
///
/// # Errors
/// [`PluginError::InvalidParameter`].
pub fn parameters<T: DeserializeOwned>(json: &str) -> Result<T, PluginError> {
    serde_json::from_str(json).map_err(|e| PluginError::InvalidParameter(e.to_string()))
}
