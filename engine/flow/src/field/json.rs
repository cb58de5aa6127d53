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
        Some(Value::String(text)) => of_sane_length(place, field, text).map(Some),
        Some(other) => Err(invalid(place, field, other, "text")),
    }
}

/// Longer than any text that Azure Resource Manager gives back in a field that is read
/// here; ids of resources are the longest, at some hundred characters.
const MAX_TEXT_CHARACTERS: usize = 4_096;

fn of_sane_length(place: &str, field: &str, text: &str) -> Result<String, FieldError> {
    if text.len() <= MAX_TEXT_CHARACTERS {
        return Ok(text.to_owned());
    }
    Err(FieldError::OutOfRange {
        place: place.to_owned(),
        field: format!("length of {field}"),
        value: text.chars().count().to_string(),
        minimum: 0,
        maximum: MAX_TEXT_CHARACTERS as u32,
    })
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
            Value::String(text) => of_sane_length(place, field, text),
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
