//! What a plugin says of itself.

use super::{
    super::{
        bindings::naosu::plugin::types as guest,
        validate::{Checked, NAME_BYTES, TEXT_BYTES, json, line, list, malformed, slug, text},
    },
    effect::kind,
};
use crate::model::{Capability, EffectKind, Parameter, ParameterType};

/// Longest description in parts: more is not a description.
const PARAMETERS: usize = 64;

/// A checked description.
pub(in super::super) struct Description {
    pub id: String,
    pub version: String,
    pub cause: String,
    pub summary: String,
    pub fix: String,
    pub parameters: Vec<Parameter>,
    pub capabilities: Vec<Capability>,
    pub effects: Vec<EffectKind>,
}

pub(in super::super) fn description(given: guest::Description) -> Checked<Description> {
    if given.parameters.len() > PARAMETERS {
        let reason = format!("{} items, at most {PARAMETERS}", given.parameters.len());
        return malformed("parameters", reason);
    }
    let parameters = list("parameters", given.parameters, parameter)?;
    let mut names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
        return malformed("parameters", format!("{twice:?} is there twice"));
    }
    let mut capabilities: Vec<Capability> =
        given.capabilities.into_iter().map(capability).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    let mut effects: Vec<EffectKind> = given.effects.into_iter().map(kind).collect();
    effects.sort_unstable();
    effects.dedup();
    Ok(Description {
        id: slug("id", given.id)?,
        version: line("version", given.version, NAME_BYTES)?,
        cause: slug("cause", given.cause)?,
        summary: line("summary", given.summary, TEXT_BYTES)?,
        fix: text("fix", given.fix, TEXT_BYTES)?,
        parameters,
        capabilities,
        effects,
    })
}

fn parameter(field: &str, given: guest::Parameter) -> Checked<Parameter> {
    let parameter_type = match given.type_ {
        guest::ParameterType::Text => ParameterType::Text,
        guest::ParameterType::Integer => ParameterType::Integer,
        guest::ParameterType::Boolean => ParameterType::Boolean,
    };
    let default = if given.default.is_empty() {
        None
    } else {
        let value = json(&format!("{field}.default"), &given.default)?;
        let fits = match parameter_type {
            ParameterType::Text => value.is_string(),
            ParameterType::Integer => value.is_i64() || value.is_u64(),
            ParameterType::Boolean => value.is_boolean(),
        };
        if !fits {
            return malformed(&format!("{field}.default"), "not of the parameter's type");
        }
        Some(value)
    };
    Ok(Parameter {
        name: slug(&format!("{field}.name"), given.name)?,
        parameter_type,
        summary: text(&format!("{field}.summary"), given.summary, TEXT_BYTES)?,
        required: given.required,
        default,
    })
}

fn capability(given: guest::Capability) -> Capability {
    match given {
        guest::Capability::AzureRead => Capability::AzureRead,
        guest::Capability::AzureMetrics => Capability::AzureMetrics,
        guest::Capability::KubernetesRead => Capability::KubernetesRead,
        guest::Capability::NodeRead => Capability::NodeRead,
        guest::Capability::Probe => Capability::Probe,
    }
}
