//! ARM paths: parsed before they become URLs, because they come from plugins
//! and from peers.

use std::fmt;

use super::error::AzureError;

/// A path below `/subscriptions/…` that ARM could serve: a resource, or a
/// collection of them. Equality ignores case, as Azure's does.
#[derive(Clone, Debug)]
pub struct ResourceId(String);

/// ARM allows names up to 260 characters and a few levels of nesting.
const LENGTH_LIMIT: usize = 2_048;

impl ResourceId {
    /// Reads a path.
    ///
    /// # Errors
    /// [`AzureError::InvalidId`] for anything that could leave the path: dots,
    /// queries, fragments, percent signs, empty segments.
    pub fn parse(text: &str) -> Result<Self, AzureError> {
        let invalid = |reason: &str| AzureError::InvalidId {
            id: crate::drivers::text::printable(text, 200),
            reason: reason.to_owned(),
        };
        if text.len() > LENGTH_LIMIT {
            return Err(invalid("it is too long"));
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err(invalid("it does not start with a slash"));
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        for segment in path.split('/') {
            let is_name = !segment.is_empty()
                && !segment.chars().all(|c| c == '.')
                && segment
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_.()@:, +".contains(c));
            if !is_name {
                return Err(invalid("a segment is empty or has a character ARM has not"));
            }
        }
        let mut words = path.split('/');
        match (words.next(), words.next()) {
            (Some(first), Some(_)) if first.eq_ignore_ascii_case("subscriptions") => {
                Ok(Self(format!("/{path}")))
            }
            _ => Err(invalid("it does not start with /subscriptions/<id>")),
        }
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, without the empty one before the first slash.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }

    /// "microsoft.network/networksecuritygroups/securityrules", lower case; of a
    /// collection the type of its items; empty for subscriptions and groups.
    pub fn type_name(&self) -> String {
        let segments: Vec<&str> = self.segments().collect();
        let Some(provider) = segments
            .iter()
            .rposition(|segment| segment.eq_ignore_ascii_case("providers"))
        else {
            return String::new();
        };
        let mut parts = segments.iter().skip(provider + 1);
        let mut name = parts.next().copied().unwrap_or_default().to_owned();
        for kind in parts.step_by(2) {
            name.push('/');
            name.push_str(kind);
        }
        name.to_ascii_lowercase()
    }

    /// This path with further segments. They are checked as in [`Self::parse`].
    ///
    /// # Errors
    /// [`AzureError::InvalidId`].
    pub fn child(&self, segments: &str) -> Result<Self, AzureError> {
        Self::parse(&format!("{}/{segments}", self.0))
    }

    /// The resource group it is in: `/subscriptions/…/resourceGroups/…`.
    pub fn group(&self) -> Option<Self> {
        let head: Vec<&str> = self.segments().take(4).collect();
        match head.as_slice() {
            [_, _, groups, _] if groups.eq_ignore_ascii_case("resourceGroups") => {
                Some(Self(format!("/{}", head.join("/"))))
            }
            _ => None,
        }
    }

    /// Name of the resource, the last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for ResourceId {}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NSG: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg";

    #[test]
    fn ids_that_differ_in_case_are_equal() {
        let id = ResourceId::parse(NSG).unwrap();
        assert_eq!(
            id,
            ResourceId::parse(&NSG.replace("resourceGroups", "resourcegroups")).unwrap()
        );
    }

    #[test]
    fn the_type_of_a_resource_and_of_a_collection_are_told() {
        let type_of = |path: &str| ResourceId::parse(path).unwrap().type_name();
        assert_eq!(type_of(NSG), "microsoft.network/networksecuritygroups");
        assert_eq!(
            type_of(&format!("{NSG}/securityRules")),
            "microsoft.network/networksecuritygroups/securityrules"
        );
        assert_eq!(type_of("/subscriptions/s/resourceGroups/rg"), "");
        assert_eq!(
            type_of("/subscriptions/s/providers/Microsoft.Network/locations/eastus/serviceTags"),
            "microsoft.network/locations/servicetags"
        );
    }

    #[test]
    fn what_could_leave_the_path_is_refused() {
        for bad in [
            "",
            "nsg",
            "//evil.example/x",
            "/subscriptions",
            "/providers/Microsoft.Network/x",
            "/subscriptions/s/../../evil",
            "/subscriptions/s?api-version=1",
            "/subscriptions/s#x",
            "/subscriptions/s/%2e%2e",
            "/subscriptions//x",
            "/subscriptions/s/a\nb",
        ] {
            assert!(ResourceId::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below_the_subscription(
            text in prop_oneof![
                ".{0,80}",
                prop::collection::vec(
                    prop::sample::select(vec![
                        "/", "subscriptions", "s", ".", "..", "%2e", "?", "#", "\\", " ", "@",
                        "\u{202e}", "\n", "resourceGroups", "é",
                    ]),
                    0..14,
                )
                .prop_map(|parts| format!("/subscriptions/{}", parts.concat())),
            ],
        ) {
            if let Ok(id) = ResourceId::parse(&text) {
                prop_assert!(id.segments().all(|s| !s.is_empty() && s != "." && s != ".."));
                prop_assert!(!id.as_str().contains(['?', '#', '%', '\\']));
                prop_assert!(!id.as_str().contains(char::is_control));
                let url = url::Url::parse("https://management.azure.com").unwrap();
                let joined = url.join(id.as_str()).unwrap();
                prop_assert_eq!(joined.host_str(), url.host_str());
                prop_assert!(joined.path().to_ascii_lowercase().starts_with("/subscriptions/"));
                let _ = (id.type_name(), id.name());
            }
        }
    }
}
