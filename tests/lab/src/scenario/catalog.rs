//! The scenarios that come with the lab.

use include_dir::{Dir, include_dir};

use super::{Scenario, ScenarioError};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// Names of the scenarios that come with the lab, sorted.
pub fn builtin_scenario_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = FILES
        .files()
        .filter(|file| file.path().extension().is_some_and(|e| e == "toml"))
        .filter_map(|file| file.path().file_stem()?.to_str())
        .collect();
    names.sort_unstable();
    names
}

/// Reads a scenario that comes with the lab.
///
/// # Errors
/// An unknown name, or a file that does not parse.
pub fn builtin_scenario(name: &str) -> Result<Scenario, ScenarioError> {
    let text = FILES
        .get_file(format!("{name}.toml"))
        .and_then(|file| file.contents_utf8())
        .ok_or_else(|| ScenarioError::NotFound {
            name: name.to_owned(),
            known: builtin_scenario_names().join(", "),
        })?;
    Scenario::parse(name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_that_comes_with_the_lab_is_valid() {
        let names = builtin_scenario_names();
        assert!(names.contains(&"nsg-deny-10250"), "{names:?}");
        let errors: Vec<String> = names
            .iter()
            .filter_map(|name| builtin_scenario(name).err())
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = builtin_scenario("nsg-deny-10251").expect_err("there is no such file");
        assert!(error.to_string().contains("nsg-deny-10250"), "{error}");
    }
}
