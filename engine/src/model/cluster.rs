//! The cluster to mend and what the user saw.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};

/// ARM resource id of a managed cluster. Equality ignores case, as Azure does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(String);

impl ClusterId {
    /// The id as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn segment_after(&self, word: &str) -> &str {
        let mut segments = self.0.split('/');
        segments.find(|segment| segment.eq_ignore_ascii_case(word));
        segments.next().unwrap_or_default()
    }

    /// Name of the cluster, the last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The subscription's GUID.
    pub fn subscription(&self) -> &str {
        self.segment_after("subscriptions")
    }

    /// The resource group that holds the managed cluster (not the node resource group).
    pub fn resource_group(&self) -> &str {
        self.segment_after("resourceGroups")
    }
}

impl PartialEq for ClusterId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for ClusterId {}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const SHAPE: [Option<&str>; 9] = [
            Some(""),
            Some("subscriptions"),
            None,
            Some("resourceGroups"),
            None,
            Some("providers"),
            Some("Microsoft.ContainerService"),
            Some("managedClusters"),
            None,
        ];
        // As it is copied from a browser.
        let id = text.strip_suffix('/').unwrap_or(text);
        let segments: Vec<&str> = id.split('/').collect();
        let is_name = |segment: &str| {
            !segment.is_empty()
                && segment.len() <= 90
                && !segment.chars().all(|c| c == '.')
                && segment
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_.()".contains(c))
        };
        let fits = segments.len() == SHAPE.len()
            && segments
                .iter()
                .zip(SHAPE)
                .all(|(segment, shape)| match shape {
                    Some(word) => segment.eq_ignore_ascii_case(word),
                    None => is_name(segment),
                });
        if fits {
            Ok(Self(id.to_owned()))
        } else {
            Err(Error::new(
                Code::InvalidResourceId,
                format!("{text:?} is not the ARM resource id of a managed cluster"),
                "give /subscriptions/<id>/resourceGroups/<group>/providers/\
                 Microsoft.ContainerService/managedClusters/<name>; \
                 `az aks show --query id` prints it",
            ))
        }
    }
}

impl TryFrom<String> for ClusterId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.0
    }
}

/// What the user saw. Text from outside: shown escaped, never executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Symptom {
    /// The error text as pasted; may be empty.
    #[serde(default)]
    pub text: String,
    /// Names or addresses of the nodes concerned: what is said of them comes
    /// first. Causes on other nodes are found as well.
    #[serde(default)]
    pub nodes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/aks";

    #[test]
    fn an_id_with_aks_own_lower_case_resourcegroups_is_accepted_and_equal() {
        let id: ClusterId = ID.parse().unwrap();
        assert_eq!(
            id,
            ID.replace("resourcegroups", "resourceGroups")
                .parse()
                .unwrap()
        );
        assert_eq!((id.name(), id.resource_group()), ("aks", "rg"));
    }

    #[test]
    fn a_slash_at_the_end_is_no_part_of_an_id() {
        let id: ClusterId = format!("{ID}/").parse().unwrap();
        assert_eq!(id.as_str(), ID);
        assert!(format!("{ID}//").parse::<ClusterId>().is_err());
    }

    #[test]
    fn ids_of_other_shapes_are_refused_with_the_stable_code() {
        let foreign = [
            String::new(),
            "aks".into(),
            "/subscriptions/x".into(),
            ID.replace("managedClusters", "x"),
            format!("{ID}/y"),
            ID.replace("/rg/", "/../"),
            ID.replace("/rg/", "/r?g/"),
        ];
        for bad in foreign {
            assert_eq!(
                bad.parse::<ClusterId>().unwrap_err().code,
                Code::InvalidResourceId,
                "{bad}"
            );
        }
    }
}
