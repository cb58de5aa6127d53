//! Filling in what a client left out.

use serde_json::Value;

/// Adds every field of `defaults` that `value` lacks, at any depth. A default
/// array of one object is the template of each element that is there; an
/// array that is missing starts empty.
pub fn fill_in(value: &mut Value, defaults: &Value) {
    match (value, defaults) {
        (Value::Object(fields), Value::Object(defaults)) => {
            for (name, default) in defaults {
                match fields.get_mut(name) {
                    Some(Value::Null) | None => {
                        let default = match default {
                            Value::Array(items) if items.iter().any(Value::is_object) => {
                                Value::Array(Vec::new())
                            }
                            other => other.clone(),
                        };
                        fields.insert(name.clone(), default);
                    }
                    Some(field) => fill_in(field, default),
                }
            }
        }
        (Value::Array(items), Value::Array(defaults)) => {
            if let [template @ Value::Object(_)] = defaults.as_slice() {
                for item in items {
                    fill_in(item, template);
                }
            }
        }
        _ => {}
    }
}

/// Adds every field of `existing` that `value` lacks, at any depth of objects;
/// an array that is there replaces the old one.
pub fn keep_missing(value: &mut Value, existing: &Value) {
    let (Value::Object(fields), Value::Object(existing)) = (value, existing) else {
        return;
    };
    for (name, old) in existing {
        match fields.get_mut(name) {
            Some(Value::Null) | None => {
                fields.insert(name.clone(), old.clone());
            }
            Some(field) => keep_missing(field, old),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_array_that_is_sent_replaces_the_old_one_and_a_missing_one_is_kept() {
        let mut value = json!({ "a": [], "deep": { "x": 1 } });
        let existing = json!({ "a": [{ "k": 1 }], "b": [{ "k": 2 }], "deep": { "x": 0, "y": 2 } });
        keep_missing(&mut value, &existing);
        assert_eq!(
            value,
            json!({ "a": [], "b": [{ "k": 2 }], "deep": { "x": 1, "y": 2 } })
        );
    }

    #[test]
    fn what_is_there_stays_and_what_is_missing_is_added_at_any_depth() {
        let mut value = json!({ "a": 1, "list": [{ "x": 5 }, {}], "deep": { "k": null } });
        let defaults = json!({
            "a": 2, "b": 3, "list": [{ "x": 1, "y": 2 }], "other": [{ "z": 1 }],
            "plain": ["v"], "deep": { "k": true },
        });
        fill_in(&mut value, &defaults);
        assert_eq!(
            value,
            json!({
                "a": 1, "b": 3, "list": [{ "x": 5, "y": 2 }, { "x": 1, "y": 2 }], "other": [],
                "plain": ["v"], "deep": { "k": true },
            })
        );
    }
}
