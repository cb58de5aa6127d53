//! What a scenario is there for, and the public threads that it stands for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// What a scenario is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioKind {
    /// One fault.
    #[default]
    Fault,
    /// Something looks like a fault of the tunnel and is none.
    Decoy,
    /// Several faults together.
    Combination,
    /// What somebody met, and told in public.
    RealCase,
}

impl fmt::Display for ScenarioKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fault => "fault",
            Self::Decoy => "decoy",
            Self::Combination => "combination",
            Self::RealCase => "real case",
        })
    }
}

/// A thread on GitHub, such as `Azure/AKS#5149`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Case(String);

impl Case {
    /// The case of a name; nothing for what is none.
    pub fn parse(name: &str) -> Option<Self> {
        let (repository, number) = name.split_once('#')?;
        let (owner, repository) = repository.split_once('/')?;
        let is_word = |word: &str| {
            let mut letters = word.chars();
            !word.is_empty() && letters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let is_thread = is_word(owner) && is_word(repository) && number.parse::<u32>().is_ok();
        is_thread.then(|| Self(name.to_owned()))
    }

    /// Where it can be read.
    pub fn link(&self) -> String {
        format!("https://github.com/{}", self.0.replace('#', "/issues/"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Case {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| {
            let message = format!("{name:?} is no thread such as Azure/AKS#5149");
            serde::de::Error::custom(message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_a_thread_with_a_link() {
        let case = Case::parse("kubernetes-sigs/apiserver-network-proxy#152").expect("a thread");
        let link = "https://github.com/kubernetes-sigs/apiserver-network-proxy/issues/152";
        assert_eq!(case.link(), link);
        for none in [
            "",
            "Azure/AKS",
            "AKS#1",
            "Azure/AKS#x",
            "a b/c#1",
            "a/b/c#1",
        ] {
            assert_eq!(Case::parse(none), None, "{none}");
        }
    }
}
