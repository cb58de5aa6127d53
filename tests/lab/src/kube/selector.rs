//! Label and field selectors.

use serde_json::Value;

use super::status::Failure;

/// What a list or a watch is limited to.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelTerm {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Failure> {
        Ok(Self {
            labels: split_terms(labels)
                .into_iter()
                .map(|term| label_term(&term))
                .collect::<Result<_, _>>()?,
            fields: fields
                .split(',')
                .filter(|term| !term.is_empty())
                .map(field_term)
                .collect::<Result<_, _>>()?,
        })
    }

    /// An object's own selector: its `matchLabels` and `matchExpressions`.
    pub fn of_object(selector: &Value) -> Self {
        let exact = selector["matchLabels"].as_object().into_iter().flatten();
        let exact = exact.filter_map(|(key, value)| {
            Some(LabelTerm::In(key.clone(), vec![value.as_str()?.to_owned()]))
        });
        let expressions = selector["matchExpressions"].as_array().into_iter();
        let expressions = expressions.flatten().filter_map(expression);
        Self {
            labels: exact.chain(expressions).collect(),
            fields: Vec::new(),
        }
    }

    pub fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |key: &str| labels[key].as_str();
        self.labels.iter().all(|term| match term {
            LabelTerm::In(key, values) => {
                label(key).is_some_and(|value| values.iter().any(|one| one == value))
            }
            LabelTerm::NotIn(key, values) => {
                label(key).is_none_or(|value| values.iter().all(|one| one != value))
            }
            LabelTerm::Exists(key) => label(key).is_some(),
            LabelTerm::Absent(key) => label(key).is_none(),
        }) && self.fields.iter().all(|term| {
            let pointer = format!("/{}", term.path.replace('.', "/"));
            let value = object.pointer(&pointer).map(text).unwrap_or_default();
            (value == term.value) == term.equal
        })
    }
}

fn expression(one: &Value) -> Option<LabelTerm> {
    let key = one["key"].as_str()?.to_owned();
    let values = one["values"].as_array().into_iter().flatten();
    let values = values.filter_map(|value| value.as_str().map(str::to_owned));
    Some(match one["operator"].as_str()? {
        "In" => LabelTerm::In(key, values.collect()),
        "NotIn" => LabelTerm::NotIn(key, values.collect()),
        "Exists" => LabelTerm::Exists(key),
        "DoesNotExist" => LabelTerm::Absent(key),
        _ => return None,
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Splits at commas outside parentheses.
fn split_terms(selector: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut depth = 0_u32;
    for letter in selector.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(term) = terms.last_mut() {
            term.push(letter);
        }
    }
    terms.retain(|term| !term.trim().is_empty());
    terms
}

fn label_term(term: &str) -> Result<LabelTerm, Failure> {
    let term = term.trim();
    let owned = |text: &str| text.trim().to_owned();
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(LabelTerm::NotIn(owned(key), vec![owned(value)]));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(LabelTerm::In(owned(key), vec![owned(value)]));
    }
    if let Some(key) = term.strip_prefix('!') {
        return Ok(LabelTerm::Absent(owned(key)));
    }
    let set = |rest: &str| -> Vec<String> {
        rest.trim()
            .trim_matches(['(', ')'])
            .split(',')
            .map(owned)
            .collect()
    };
    let mut words = term.splitn(3, char::is_whitespace);
    match (words.next(), words.next(), words.next()) {
        (Some(key), None, None) => Ok(LabelTerm::Exists(owned(key))),
        (Some(key), Some("in"), Some(rest)) => Ok(LabelTerm::In(owned(key), set(rest))),
        (Some(key), Some("notin"), Some(rest)) => Ok(LabelTerm::NotIn(owned(key), set(rest))),
        _ => Err(Failure::bad_request(format!(
            "unable to parse requirement: {term}"
        ))),
    }
}

fn field_term(term: &str) -> Result<FieldTerm, Failure> {
    let equal = |separator| {
        term.split_once(separator)
            .map(|(path, value)| (path, value, separator != "!="))
    };
    let (path, value, equal) = equal("!=")
        .or_else(|| equal("=="))
        .or_else(|| equal("="))
        .ok_or_else(|| Failure::bad_request(format!("invalid field selector: {term}")))?;
    Ok(FieldTerm {
        path: path.to_owned(),
        value: value.to_owned(),
        equal,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_of_a_selector_selects_what_it_says() {
        let pod = json!({
            "metadata": { "name": "p", "labels": { "app": "a", "tier": "x" } },
            "spec": { "nodeName": "n" },
        });
        let selects =
            |labels: &str, fields: &str| Selector::parse(labels, fields).unwrap().selects(&pod);
        let matching = [
            "",
            "app=a",
            "app==a",
            "app in (a,b),tier",
            "app!=b",
            "!none",
            "none notin (q)",
        ];
        for labels in matching {
            assert!(selects(labels, ""), "{labels}");
        }
        for labels in [
            "app=b",
            "app in (b, c)",
            "none",
            "!app",
            "app!=a",
            "app notin (a)",
        ] {
            assert!(!selects(labels, ""), "{labels}");
        }
        assert!(selects("", "spec.nodeName=n,metadata.name!=q"));
        assert!(!selects("", "spec.nodeName=m"));
        assert!(Selector::parse("a of b", "").is_err());
        assert!(Selector::parse("", "nothing").is_err());
    }
}
