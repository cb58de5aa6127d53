//! Parameters of a fix, checked against what the plugin declared.

use serde_json::{Map, Value};

use crate::{
    error::{Code, Error},
    model::{Parameter, ParameterType, PluginInfo},
};

/// The parameters given, with defaults filled in.
///
/// # Errors
/// `invalid_parameter` for one that is unknown, missing or of another type.
pub fn complete(
    plugin: &PluginInfo,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let known: Vec<&str> = plugin.parameters.iter().map(|p| p.name.as_str()).collect();
    if let Some(unknown) = given.keys().find(|name| !known.contains(&name.as_str())) {
        let message = format!("{} has no parameter {unknown:?}", plugin.id);
        let next = if known.is_empty() {
            "it takes none".to_owned()
        } else {
            format!("it takes {}", known.join(", "))
        };
        return Err(Error::new(Code::InvalidParameter, message, next));
    }
    let mut complete = Map::new();
    for parameter in &plugin.parameters {
        let value = given.get(&parameter.name).filter(|value| !value.is_null());
        match value.or(parameter.default.as_ref()) {
            Some(value) if fits(parameter, value) => {
                complete.insert(parameter.name.clone(), value.clone());
            }
            Some(value) => {
                let message = format!("parameter {} is {value}", parameter.name);
                let next = format!("give {}: {}", type_name(parameter), parameter.summary);
                return Err(Error::new(Code::InvalidParameter, message, next));
            }
            None if parameter.required => {
                let message = format!("parameter {} is missing", parameter.name);
                let next = format!("give {}: {}", type_name(parameter), parameter.summary);
                return Err(Error::new(Code::InvalidParameter, message, next));
            }
            None => {}
        }
    }
    Ok(complete)
}

fn fits(parameter: &Parameter, value: &Value) -> bool {
    match parameter.parameter_type {
        ParameterType::Text => value.is_string(),
        ParameterType::Integer => value.is_i64() || value.is_u64(),
        ParameterType::Boolean => value.is_boolean(),
    }
}

fn type_name(parameter: &Parameter) -> &'static str {
    match parameter.parameter_type {
        ParameterType::Text => "a text",
        ParameterType::Integer => "an integer",
        ParameterType::Boolean => "true or false",
    }
}
