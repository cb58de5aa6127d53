//! What only Azure sets: it is left out of what is written, so that a write says
//! nothing but what it means.

use serde_json::Value;

/// Removes the members at these places of an object. A place is a path of
/// member names; `*` stands for every item of an array.
pub fn remove(value: &mut Value, places: &[&str]) {
    for place in places {
        let path: Vec<&str> = place.split('/').collect();
        remove_at(value, &path);
    }
}

fn remove_at(value: &mut Value, path: &[&str]) {
    match (path, value) {
        ([last], Value::Object(object)) => {
            object.remove(*last);
        }
        (["*", rest @ ..], Value::Array(items)) => {
            for item in items {
                remove_at(item, rest);
            }
        }
        ([first, rest @ ..], Value::Object(object)) => {
            if let Some(inner) = object.get_mut(*first) {
                remove_at(inner, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_removed_at_any_depth_and_missing_ones_ignored() {
        let mut value = json!({"etag": 1, "p": {"a": [{"etag": 1, "x": 2}, {"x": 3}]}});
        remove(&mut value, &["etag", "p/a/*/etag", "q/*/r", "p/a/b"]);
        assert_eq!(value, json!({"p": {"a": [{"x": 2}, {"x": 3}]}}));
    }
}
