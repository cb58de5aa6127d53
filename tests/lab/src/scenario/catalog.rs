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

/// How many scenarios are suggested to who mistyped one.
const SUGGESTED: usize = 3;

/// The scenarios whose names are nearest, the nearest first.
fn nearest(name: &str) -> Vec<&'static str> {
    let mut names = builtin_scenario_names();
    names.sort_by_key(|known| distance(name, known));
    names.truncate(SUGGESTED);
    names
}

/// How many letters have to be put in, left out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let first: Vec<usize> = (0..=other.len()).collect();
    let last = one.chars().enumerate().fold(first, |above, (row, letter)| {
        let mut left = row + 1;
        let mut line = vec![left];
        for (pair, known) in above.windows(2).zip(&other) {
            let [diagonal, up] = pair else { continue };
            left = (diagonal + usize::from(letter != *known))
                .min(up + 1)
                .min(left + 1);
            line.push(left);
        }
        line
    });
    last.last().copied().unwrap_or(usize::MAX)
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
            near: nearest(name).join(", "),
        })?;
    Scenario::parse(name, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Case, ScenarioKind};

    /// Threads on tunnels that were lost, each of which the product has to get right.
    const REAL_CASES: [&str; 14] = [
        "https://github.com/mspnp/aks-baseline/issues/97",
        "https://github.com/mspnp/aks-baseline/issues/223",
        "https://github.com/MicrosoftDocs/azure-docs/issues/65809",
        "https://github.com/Azure/AKS/issues/1433",
        "https://github.com/Azure/AKS/issues/1456",
        "https://github.com/Azure/AKS/issues/5149",
        "https://github.com/Azure/AKS/issues/642",
        "https://github.com/Azure/AKS/issues/449",
        "https://github.com/Azure/AKS/issues/4762",
        "https://github.com/kubernetes/kubernetes/issues/102582",
        "https://github.com/kubernetes-sigs/apiserver-network-proxy/issues/152",
        "https://github.com/kubernetes-sigs/apiserver-network-proxy/issues/855",
        "https://github.com/Azure/azure-cli/issues/5797",
        "https://github.com/Azure/azure-rest-api-specs/issues/6789",
    ];

    fn all() -> Vec<Scenario> {
        let names = builtin_scenario_names().into_iter();
        let scenarios = names.map(|name| builtin_scenario(name).expect("it is valid"));
        scenarios.collect()
    }

    #[test]
    fn there_are_thirty_scenarios_and_a_third_are_more_than_one_plain_fault() {
        let all = all();
        assert!(all.len() >= 30, "{}", all.len());
        let more = all.iter().filter(|s| s.kind != ScenarioKind::Fault).count();
        assert!(more * 3 >= all.len(), "{more} of {}", all.len());
        for kind in [
            ScenarioKind::Decoy,
            ScenarioKind::Combination,
            ScenarioKind::RealCase,
        ] {
            assert!(all.iter().any(|s| s.kind == kind), "no {kind}");
        }
    }

    #[test]
    fn every_real_case_has_a_scenario_that_names_its_thread() {
        let real = all().into_iter();
        let real = real.filter(|scenario| scenario.kind == ScenarioKind::RealCase);
        let links: Vec<String> = real
            .flat_map(|scenario| scenario.cases)
            .map(|case: Case| case.link())
            .collect();
        let missing = REAL_CASES
            .iter()
            .filter(|link| !links.iter().any(|l| l == *link));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
    }

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
    fn an_unknown_name_is_answered_with_the_nearest_ones_and_not_with_all() {
        let error = builtin_scenario("nsg-deny-10251").expect_err("there is no such file");
        let said = error.to_string();
        assert!(said.contains("near it are nsg-deny-10250, "), "{said}");
        assert!(!said.contains("konnectivity-underscaled"), "{said}");
    }
}
