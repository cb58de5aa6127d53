//! Calls of a plugin on what was recorded, as the host makes them where no symptom
//! is told.

use super::{Estate, Recorded};
use crate::{Finding, Plugin, PluginError, Proposal, Symptom, Verdict};

/// What a plugin finds.
///
/// # Errors
/// The plugin's own.
pub fn diagnose<P: Plugin>(recorded: &Recorded) -> Result<Finding, PluginError> {
    let symptom = Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    P::diagnose(recorded, &Estate::cluster(), &symptom)
}

/// What a plugin proposes for what it finds, with these parameters in JSON.
///
/// # Errors
/// The plugin's own.
pub fn plan<P: Plugin>(recorded: &Recorded, parameters: &str) -> Result<Proposal, PluginError> {
    let finding = diagnose::<P>(recorded)?;
    P::plan(recorded, &Estate::cluster(), &finding, parameters)
}

/// Whether what a plugin finds now is mended, whatever the steps were.
///
/// # Errors
/// The plugin's own.
pub fn verify<P: Plugin>(recorded: &Recorded) -> Result<Verdict, PluginError> {
    let finding = diagnose::<P>(recorded)?;
    P::verify(recorded, &Estate::cluster(), &finding, &[])
}
