//! Parameters of a plan, and what they may be.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::Number;

use crate::{Parameter, ParameterType, PluginError};

/// Most characters that a message quotes of a value.
const QUOTED: usize = 80;

/// The parameters as a type of the plugin's own.
///
/// # Errors
/// [`PluginError::InvalidParameter`].
pub fn parameters<T: DeserializeOwned>(json: &str) -> Result<T, PluginError> {
    serde_json::from_str(json).map_err(|e| PluginError::InvalidParameter(e.to_string()))
}

/// The description of an optional parameter; `default` is JSON, empty for none.
pub fn parameter(name: &str, type_: ParameterType, summary: &str, default: &str) -> Parameter {
    Parameter {
        name: name.into(),
        type_,
        summary: summary.into(),
        required: false,
        default: default.into(),
    }
}

fn quoted(value: &str) -> String {
    format!("{:?}", value.chars().take(QUOTED).collect::<String>())
}

/// What one of several words stands for.
///
/// # Errors
/// [`PluginError::InvalidParameter`], with the words that may be given.
pub fn choice<T: Copy>(name: &str, given: &str, words: &[(&str, T)]) -> Result<T, PluginError> {
    let found = words.iter().find(|(word, _)| *word == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        PluginError::InvalidParameter(format!(
            "{name} is {}; give {}",
            quoted(given),
            words.join(" or ")
        ))
    })
}

/// A number within its range.
///
/// # Errors
/// [`PluginError::InvalidParameter`], with the range.
pub fn number_within(
    name: &str,
    given: &Number,
    range: RangeInclusive<u16>,
) -> Result<u16, PluginError> {
    let number = given.as_u64().and_then(|number| u16::try_from(number).ok());
    number.filter(|n| range.contains(n)).ok_or_else(|| {
        PluginError::InvalidParameter(format!(
            "{name} is {given}; give {} to {}",
            range.start(),
            range.end()
        ))
    })
}

/// Checks a name as Azure takes it for the parts of a resource, of at most so many
/// characters.
///
/// # Errors
/// [`PluginError::InvalidParameter`], with what a name may be.
pub fn azure_name(name: &str, given: &str, longest: usize) -> Result<(), PluginError> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = given.len() <= longest
        && given.starts_with(|c: char| c.is_ascii_alphanumeric())
        && given.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && given.chars().all(is_inside);
    if is_name {
        return Ok(());
    }
    Err(PluginError::InvalidParameter(format!(
        "{name} is {}; give 1 to {longest} of a-z, A-Z, 0-9, _, . and -, a letter or digit first, \
         and a letter, a digit or _ last",
        quoted(given)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(refused: Result<T, PluginError>) -> String {
        match refused {
            Err(PluginError::InvalidParameter(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_those_that_azure_takes() {
        for good in ["a", "9", "allow_", "Allow.kubelet-1", &"x".repeat(80)] {
            azure_name("rule_name", good, 80).unwrap();
        }
        for bad in [
            "",
            "a/b<>",
            "_a",
            "-a",
            ".a",
            "a.",
            "a-",
            "a b",
            "é",
            "a\u{1b}b",
            &"x".repeat(81),
        ] {
            let message = message(azure_name("rule_name", bad, 80));
            assert!(message.starts_with("rule_name is \""), "{message}");
            assert!(message.contains("1 to 80"), "{message}");
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_told_with_the_range() {
        let range = || 100..=4096;
        assert_eq!(number_within("priority", &100.into(), range()), Ok(100));
        assert_eq!(number_within("priority", &4096.into(), range()), Ok(4096));
        let far = Number::from(u64::MAX);
        for bad in [
            Number::from(99),
            4097.into(),
            99_999.into(),
            (-1).into(),
            far,
        ] {
            let message = message(number_within("priority", &bad, range()));
            assert_eq!(message, format!("priority is {bad}; give 100 to 4096"));
        }
    }

    #[test]
    fn a_word_that_is_none_is_told_with_those_that_are() {
        let words = [("addresses", 1), ("subnet", 2)];
        assert_eq!(choice("scope", "subnet", &words), Ok(2));
        let message = message(choice("scope", "Subnet", &words));
        assert_eq!(
            message,
            r#"scope is "Subnet"; give "addresses" or "subnet""#
        );
    }
}
