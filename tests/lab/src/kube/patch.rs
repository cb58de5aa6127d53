//! The patch formats clients use.

use serde_json::{Value, json};

use super::status::Failure;

/// Applies a patch of this content type.
pub(super) fn apply(content_type: &str, before: &Value, patch: &[u8]) -> Result<Value, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::bad_request(format!("error decoding patch: {error}"))
    };
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let mut after = before.clone();
    match kind {
        "application/merge-patch+json" => {
            let patch = serde_json::from_slice(patch).map_err(|error| bad(&error))?;
            merge(&mut after, &patch, false);
        }
        "application/strategic-merge-patch+json" => {
            let patch = serde_json::from_slice(patch).map_err(|error| bad(&error))?;
            merge(&mut after, &patch, true);
        }
        "application/apply-patch+yaml" => {
            let patch = serde_yaml_ng::from_slice(patch).map_err(|error| bad(&error))?;
            merge(&mut after, &patch, true);
        }
        "application/json-patch+json" => {
            let operations: Vec<Value> =
                serde_json::from_slice(patch).map_err(|error| bad(&error))?;
            for operation in &operations {
                json_operation(&mut after, operation)?;
            }
        }
        other => {
            return Err(Failure::new(
                http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                format!(
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml; got {other}"
                ),
            ));
        }
    }
    Ok(after)
}

/// RFC 7386; `strategic` merges lists of named objects by their name, as the
/// patch strategies of the core types say.
fn merge(value: &mut Value, patch: &Value, strategic: bool) {
    match (value, patch) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), change, strategic);
                }
            }
        }
        (Value::Array(items), Value::Array(changes)) if strategic && has_names(changes) => {
            for change in changes {
                let place = items.iter_mut().find(|item| item["name"] == change["name"]);
                match place {
                    Some(item) => merge(item, change, strategic),
                    None => items.push(change.clone()),
                }
            }
        }
        (
            value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)),
            Value::Object(_),
        ) => {
            *value = json!({});
            merge(value, patch, strategic);
        }
        (value, patch) => *value = patch.clone(),
    }
}

fn has_names(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| item["name"].is_string())
}

fn json_operation(value: &mut Value, operation: &Value) -> Result<(), Failure> {
    let path = operation["path"].as_str().unwrap_or_default();
    let fail = |what: &str| {
        Failure::new(
            http::StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!(
                "the server rejected our request due to an error in our request: {what} {path}"
            ),
        )
    };
    let (parent, key) = path.rsplit_once('/').ok_or_else(|| fail("bad path"))?;
    let key = key.replace("~1", "/").replace("~0", "~");
    if operation["op"] == "test" {
        return match value.pointer(path) == operation.get("value") {
            true => Ok(()),
            false => Err(fail("testing path")),
        };
    }
    let parent = value.pointer_mut(parent).ok_or_else(|| fail("no path"))?;
    match (parent, operation["op"].as_str()) {
        (Value::Object(fields), Some("add" | "replace")) => {
            fields.insert(key, operation["value"].clone());
        }
        (Value::Object(fields), Some("remove")) => {
            fields.remove(&key).ok_or_else(|| fail("nothing at"))?;
        }
        (Value::Array(items), Some(op)) => {
            let place = match key.as_str() {
                "-" => items.len(),
                key => key.parse().map_err(|_| fail("bad index"))?,
            };
            match op {
                "add" if place <= items.len() => items.insert(place, operation["value"].clone()),
                "remove" if place < items.len() => {
                    items.remove(place);
                }
                "replace" if place < items.len() => {
                    if let Some(item) = items.get_mut(place) {
                        *item = operation["value"].clone();
                    }
                }
                _ => return Err(fail("bad operation")),
            }
        }
        _ => return Err(fail("bad operation")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(kind: &str, before: &Value, patch: &Value) -> Value {
        let content_type = format!("application/{kind}");
        apply(&content_type, before, patch.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_format_does_what_its_standard_says() {
        let before = json!({ "a": 1, "list": [{ "name": "x", "v": 1 }], "gone": true });
        let patch = json!({ "gone": null, "list": [{ "name": "x", "v": 2 }, { "name": "y" }], "n": { "k": 1 } });
        let merged = patched("merge-patch+json", &before, &patch);
        assert_eq!(
            merged["list"],
            json!([{ "name": "x", "v": 2 }, { "name": "y" }])
        );
        assert_eq!(merged.get("gone"), None);
        let one = json!({ "list": [{ "name": "y" }] });
        let strategic = patched("strategic-merge-patch+json", &before, &one);
        assert_eq!(strategic["list"].as_array().unwrap().len(), 2);
        let operations = json!([
            { "op": "test", "path": "/a", "value": 1 },
            { "op": "add", "path": "/list/-", "value": 5 },
            { "op": "remove", "path": "/gone" },
            { "op": "replace", "path": "/a", "value": 2 },
        ]);
        assert_eq!(
            patched("json-patch+json", &before, &operations),
            json!({ "a": 2, "list": [{ "name": "x", "v": 1 }, 5] })
        );
        let failing = json!([{ "op": "test", "path": "/a", "value": 9 }]).to_string();
        assert!(apply("application/json-patch+json", &before, failing.as_bytes()).is_err());
    }
}
