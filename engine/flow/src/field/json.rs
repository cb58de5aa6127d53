//! Reading fields of JSON objects.

use serde_json::{Map, Value};

use super::error::{FieldError, excerpt};

/// A value that must be an object.
pub(crate) fn object<'a>(
    place: &str,
    field: &str,
    value: &'a Value,
) -> Result<&'a Map<String, Value>, FieldError> {
    value
        .as_object()
        .ok_or_else(|| invalid(place, field, value, "a JSON object"))
}

/// A field that may be absent and must else be text.
pub(crate) fn text(
    place: &str,
    field: &str,
    fields: &Map<String, Value>,
) -> Result<Option<String>, FieldError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(invalid(place, field, other, "text")),
    }
}

/// A field that may be absent and must else be a list of texts.
pub(crate) fn texts(
    place: &str,
    field: &str,
    fields: &Map<String, Value>,
) -> Result<Vec<String>, FieldError> {
    let list = match fields.get(field) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(invalid(place, field, other, "a list of texts")),
    };
    list.iter()
        .map(|value| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(invalid(place, field, other, "text")),
        })
        .collect()
}

/// The error for an absent field.
pub(crate) fn missing(place: &str, field: &str) -> FieldError {
    FieldError::Missing {
        place: place.to_owned(),
        field: field.to_owned(),
    }
}

/// The error for a value of another type or form.
pub(crate) fn invalid(
    place: &str,
    field: &str,
    value: &Value,
    expected: &'static str,
) -> FieldError {
    FieldError::Invalid {
        place: place.to_owned(),
        field: field.to_owned(),
        value: excerpt(&value.to_string()),
        expected,
    }
}
