//! Checks of what a guest hands over. Text is data: control characters stay,
//! lengths do not. What ends in a command, a path or a rule must have its form.

use std::net::IpAddr;

use naosu_flow::field::parse_prefix;

pub(super) const NAME_BYTES: usize = 256;
pub(super) const ID_BYTES: usize = 1024;
pub(super) const TEXT_BYTES: usize = 4 << 10;
pub(super) const VALUE_BYTES: usize = 16 << 10;
pub(super) const JSON_BYTES: usize = 1 << 20;
pub(super) const ITEMS: usize = 4_096;

/// Which field of a guest's value is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub field: String,
    pub reason: String,
}

pub(super) type Checked<T> = Result<T, Malformed>;

pub(super) fn malformed<T>(field: &str, reason: impl Into<String>) -> Checked<T> {
    Err(Malformed {
        field: field.to_owned(),
        reason: reason.into(),
    })
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Any text of bounded length.
pub(super) fn text(field: &str, text: String, bytes: usize) -> Checked<String> {
    if text.len() > bytes {
        let length = text.len();
        return malformed(
            field,
            format!("{length} bytes, at most {bytes} are allowed"),
        );
    }
    Ok(text)
}

/// Text of bounded length, not empty, one line, without control characters.
pub(super) fn line(field: &str, value: String, bytes: usize) -> Checked<String> {
    let value = text(field, value, bytes)?;
    if value.trim().is_empty() {
        return malformed(field, "empty");
    }
    if value.chars().any(char::is_control) {
        return malformed(field, format!("control characters in {:?}", shown(&value)));
    }
    Ok(value)
}

/// At most `ITEMS`, each checked.
pub(super) fn list<A, B>(
    field: &str,
    items: Vec<A>,
    check: impl Fn(&str, A) -> Checked<B>,
) -> Checked<Vec<B>> {
    if items.len() > ITEMS {
        let count = items.len();
        return malformed(field, format!("{count} items, at most {ITEMS} are allowed"));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| check(&format!("{field}[{index}]"), item))
        .collect()
}

/// JSON text.
pub(super) fn json(field: &str, value: &str) -> Checked<serde_json::Value> {
    if value.len() > JSON_BYTES {
        let length = value.len();
        return malformed(
            field,
            format!("{length} bytes, at most {JSON_BYTES} are allowed"),
        );
    }
    serde_json::from_str(value).or_else(|e| malformed(field, format!("not JSON: {e}")))
}

/// JSON text of an object.
pub(super) fn json_object(field: &str, value: &str) -> Checked<serde_json::Value> {
    match json(field, value)? {
        value @ serde_json::Value::Object(_) => Ok(value),
        _ => malformed(field, "not a JSON object"),
    }
}

/// The plugin's and causes' own ids: `nsg-allow-port`.
pub(super) fn slug(field: &str, value: String) -> Checked<String> {
    let is_slug = !value.is_empty()
        && value.len() <= 64
        && value.starts_with(|c: char| c.is_ascii_lowercase())
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if is_slug {
        Ok(value)
    } else {
        let shown = shown(&value);
        malformed(
            field,
            format!("{shown:?} is not 1 to 64 of a-z, 0-9, - and _"),
        )
    }
}

/// A path below the root of Azure Resource Manager, and nothing that could lead
/// a request elsewhere.
pub(super) fn arm_path(field: &str, value: String) -> Checked<String> {
    let value = line(field, value, ID_BYTES)?;
    let is_path = value.starts_with("/subscriptions/")
        && value.split('/').skip(1).all(|segment| {
            !segment.is_empty()
                && !segment.bytes().all(|b| b == b'.')
                && segment
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_.()".contains(c))
        });
    if is_path {
        Ok(value)
    } else {
        malformed(
            field,
            format!("{:?} is not an ARM resource id", shown(&value)),
        )
    }
}

/// A name of Kubernetes: letters, digits, `-`, `.`; for RBAC also `:`.
pub(super) fn kubernetes_name(field: &str, value: String) -> Checked<String> {
    let is_name = !value.is_empty()
        && value.len() <= 253
        && !value.starts_with(['-', '.'])
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_'));
    if is_name {
        Ok(value)
    } else {
        malformed(
            field,
            format!("{:?} is not a Kubernetes name", shown(&value)),
        )
    }
}

/// As [`kubernetes_name`], or empty.
pub(super) fn kubernetes_name_or_empty(field: &str, value: String) -> Checked<String> {
    if value.is_empty() {
        return Ok(value);
    }
    kubernetes_name(field, value)
}

fn is_port_range(value: &str, separator: char) -> bool {
    let port = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    match value.split_once(separator) {
        Some((first, last)) => matches!((port(first), port(last)), (Some(a), Some(b)) if a <= b),
        None => port(value).is_some(),
    }
}

/// "10250" or "30000-32767".
pub(super) fn port(field: &str, value: String) -> Checked<String> {
    if is_port_range(&value, '-') {
        Ok(value)
    } else {
        malformed(
            field,
            format!("{:?} is not a port or a range", shown(&value)),
        )
    }
}

/// As [`port`], or "*".
pub(super) fn port_or_any(field: &str, value: String) -> Checked<String> {
    if value == "*" {
        return Ok(value);
    }
    port(field, value)
}

/// ufw's "10250" or "30000:32767", or "any".
pub(super) fn ufw_port(field: &str, value: String) -> Checked<String> {
    if value == "any" || is_port_range(&value, ':') {
        Ok(value)
    } else {
        malformed(
            field,
            format!("{:?} is not a port or a range", shown(&value)),
        )
    }
}

fn is_address(value: &str) -> bool {
    parse_prefix(value).is_some() || value.parse::<IpAddr>().is_ok()
}

/// An address or a prefix.
pub(super) fn prefix(field: &str, value: String) -> Checked<String> {
    if is_address(&value) {
        Ok(value)
    } else {
        malformed(
            field,
            format!("{:?} is not an address or prefix", shown(&value)),
        )
    }
}

/// As [`prefix`], or "any".
pub(super) fn ufw_address(field: &str, value: String) -> Checked<String> {
    if value == "any" {
        return Ok(value);
    }
    prefix(field, value)
}

/// As [`prefix`], or a range of addresses, a service tag, or "*".
pub(super) fn prefix_or_tag(field: &str, value: String) -> Checked<String> {
    let is_range = value
        .split_once('-')
        .is_some_and(|(a, b)| a.parse::<IpAddr>().is_ok() && b.parse::<IpAddr>().is_ok());
    let is_tag = value.len() <= 128
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
    if value == "*" || is_address(&value) || is_range || is_tag {
        Ok(value)
    } else {
        let shown = shown(&value);
        malformed(
            field,
            format!("{shown:?} is not a prefix, a range or a service tag"),
        )
    }
}

/// One of these words.
pub(super) fn one_of(field: &str, value: String, words: &[&str]) -> Checked<String> {
    if words.contains(&value.as_str()) {
        Ok(value)
    } else {
        let words = words.join(", ");
        malformed(field, format!("{:?} is not one of {words}", shown(&value)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_that_could_lead_a_request_elsewhere_is_refused() {
        let good = "/subscriptions/0/resourceGroups/rg (1)/providers/Microsoft.Network/x/y";
        assert!(arm_path("id", good.replace(' ', "_")).is_ok());
        for bad in [
            "",
            "https://example.org/subscriptions/0",
            "//example.org",
            "/subscriptions/0/../../metadata",
            "/subscriptions/0?api-version=1",
            "/subscriptions/0#x",
            "/subscriptions/0/%2e%2e",
            "/subscriptions/0\r\nHost: x",
            "/subscriptions//x",
            "/providers/x",
        ] {
            assert!(arm_path("id", bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ports_prefixes_and_tags_have_their_form() {
        for good in ["0", "10250", "30000-32767", "*"] {
            assert!(port_or_any("p", good.into()).is_ok(), "{good}");
        }
        for bad in ["", "65536", "9-1", "1-", "-1", "+1", "1 ", "10250/tcp"] {
            assert!(port_or_any("p", bad.into()).is_err(), "{bad}");
        }
        for good in [
            "10.0.0.4",
            "10.0.0.0/8",
            "fd00::/8",
            "*",
            "AzureCloud.westeurope",
            "10.0.0.1-10.0.0.9",
        ] {
            assert!(prefix_or_tag("p", good.into()).is_ok(), "{good}");
        }
        for bad in ["", "10.0.0.0/33", "a b", "$(id)", "10.0.0.1-x", "x;y"] {
            assert!(prefix_or_tag("p", bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn control_characters_stay_in_text_and_are_refused_in_lines() {
        assert_eq!(text("t", "\x1b[2J".into(), 10).unwrap(), "\x1b[2J");
        assert!(line("t", "a\nb".into(), 10).is_err());
        assert!(text("t", "x".repeat(11), 10).is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_has_the_form_that_paths_and_commands_rely_on(
            text in prop_oneof![
                ".{0,60}",
                prop::collection::vec(
                    prop::sample::select(vec![
                        "/subscriptions/0", "/", ".", "..", "10.0.0.0", "/8", "-", "10250", ":", "*",
                        "::", "VirtualNetwork", "$(id)", ";", "\n", " ", "\u{1b}", "%2e", "é", "a",
                    ]),
                    0..8,
                )
                .prop_map(|parts| parts.concat()),
            ],
        ) {
            let shell = ['$', ';', '`', '\n', '\'', '"', '|', '&', '\u{1b}'];
            if let Ok(path) = arm_path("f", text.clone()) {
                prop_assert!(path.starts_with("/subscriptions/"), "{}", path);
                prop_assert!(!path.split('/').any(|s| s == "." || s == ".."), "{}", path);
                prop_assert!(!path.contains(['?', '#', '%', '\n']), "{}", path);
            }
            if let Ok(prefix) = prefix("f", text.clone()) {
                let is_address = prefix.parse::<IpAddr>().is_ok() || parse_prefix(&prefix).is_some();
                prop_assert!(is_address, "{}", prefix);
            }
            for check in [port, port_or_any, ufw_port, ufw_address, kubernetes_name, slug] {
                if let Ok(word) = check("f", text.clone()) {
                    prop_assert!(!word.contains(shell) && !word.starts_with('-'), "{}", word);
                }
            }
        }
    }
}
