//! Reading fields of ARM's JSON.

use serde_json::Value;

/// The value at a path of keys.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// The text at a path of keys.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

/// The array at a path of keys; empty where there is none.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The texts of the array at a path of keys.
pub(super) fn texts<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    list(value, path).iter().filter_map(Value::as_str).collect()
}

/// Both forms of one field: the plural where it has entries, else the singular.
pub(super) fn one_or_many<'a>(value: &'a Value, singular: &str, plural: &str) -> Vec<&'a str> {
    let many = texts(value, &["properties", plural]);
    if many.is_empty() {
        text(value, &["properties", singular]).into_iter().collect()
    } else {
        many
    }
}

/// Children of a resource: separate resources of `child_type` below its id, and those it embeds;
/// a separate one wins over an embedded one of the same name.
pub(super) fn children<'a>(
    resources: &'a crate::data_plane::ArmResources,
    parent: &'a Value,
    child_type: &'a str,
    embedded: &str,
) -> Vec<&'a Value> {
    let id = text(parent, &["id"]).unwrap_or_default();
    let prefix = format!("{}/", id.to_ascii_lowercase());
    let mut found: Vec<&Value> = resources
        .of_type(child_type)
        .filter(|child| {
            text(child, &["id"]).is_some_and(|id| id.to_ascii_lowercase().starts_with(&prefix))
        })
        .collect();
    for child in list(parent, &["properties", embedded]) {
        let name = text(child, &["name"]).unwrap_or_default();
        let known = |other: &&Value| {
            text(other, &["name"]).is_some_and(|other| other.eq_ignore_ascii_case(name))
        };
        if !found.iter().any(known) {
            found.push(child);
        }
    }
    found
}
