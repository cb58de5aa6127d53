//! Errors of the flow analysis as a plugin reports them.

use naosu_flow::{
    firewall::FirewallError,
    nsg::{NsgError, PlacementError},
    set::AnalysisTooComplex,
};

use crate::{ObserveError, PluginError};

/// An error of reading or analysing a security group.
pub fn flow_error(error: NsgError) -> PluginError {
    match error {
        NsgError::TooComplex(error) => PluginError::AnalysisTooComplex(error.to_string()),
        other => PluginError::Malformed(other.to_string()),
    }
}

/// An analysis that met its limit.
pub fn too_complex(error: AnalysisTooComplex) -> PluginError {
    PluginError::AnalysisTooComplex(error.to_string())
}

/// An error of reading or analysing a firewall or a route table.
pub fn firewall_error(error: FirewallError) -> PluginError {
    match error {
        FirewallError::TooComplex(error) => too_complex(error),
        other => PluginError::Malformed(other.to_string()),
    }
}

/// An error of placing a rule.
pub fn placement_error(error: PlacementError) -> PluginError {
    match error {
        PlacementError::AlreadyInForce | PlacementError::NothingRequired => {
            PluginError::NothingToDo(error.to_string())
        }
        PlacementError::NoFreePriority { .. } => PluginError::NoFreePriority(error.to_string()),
        PlacementError::TooManyRules { .. } => PluginError::Infeasible(error.to_string()),
        PlacementError::Nsg(error) => flow_error(error),
        other => PluginError::Malformed(other.to_string()),
    }
}

/// In words, for a finding that is unknown because of it.
pub fn in_words(error: &PluginError) -> String {
    match error {
        PluginError::InvalidParameter(m)
        | PluginError::Malformed(m)
        | PluginError::NothingToDo(m)
        | PluginError::Infeasible(m)
        | PluginError::NoFreePriority(m)
        | PluginError::AnalysisTooComplex(m) => m.clone(),
        PluginError::Observation(error) => match error {
            ObserveError::NotFound(m) => format!("not found: {m}"),
            ObserveError::Forbidden(m) => format!("forbidden: {m}"),
            ObserveError::NotGranted(m) => format!("not granted: {m}"),
            ObserveError::Truncated(m) => format!("truncated: {m}"),
            ObserveError::Invalid(m) => format!("invalid: {m}"),
            ObserveError::Unavailable(m) => format!("unavailable: {m}"),
        },
    }
}
