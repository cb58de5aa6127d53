//! What the operator allows plugins to read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Origin;
use crate::model::{Capability, Digest};

/// What one plugin may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The capabilities.
    pub capabilities: BTreeSet<Capability>,
    /// Only for the component with this digest.
    #[serde(default)]
    pub digest: Option<Digest>,
}

/// The grants of all plugins. Bundled plugins have all capabilities (each only
/// reads) unless their id is listed; any other plugin has what is listed for
/// its id, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(pub BTreeMap<String, Grant>);

impl Grants {
    /// What the plugin of this id, origin and digest is granted.
    pub fn of(&self, id: &str, origin: &Origin, digest: &Digest) -> BTreeSet<Capability> {
        match (self.0.get(id), origin) {
            (Some(grant), _) if grant.digest.as_ref().is_none_or(|d| d == digest) => {
                grant.capabilities.clone()
            }
            (None, Origin::Bundled) => Capability::ALL.iter().copied().collect(),
            _ => BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_takes_a_bundled_id_gets_nothing_by_it() {
        let digest = Digest::of_bytes(b"x");
        let file = Origin::File("/tmp/x.wasm".into());
        let grants = Grants::default();
        assert_eq!(
            grants.of("nsg-allow-port", &Origin::Bundled, &digest).len(),
            Capability::ALL.len()
        );
        assert!(grants.of("nsg-allow-port", &file, &digest).is_empty());
    }

    #[test]
    fn a_grant_pinned_to_a_digest_is_void_for_another_component() {
        let digest = Digest::of_bytes(b"x");
        let file = Origin::File("/tmp/x.wasm".into());
        let grant = Grant {
            capabilities: [Capability::AzureRead].into(),
            digest: Some(digest.clone()),
        };
        let grants = Grants([("mine".to_owned(), grant)].into());
        assert_eq!(grants.of("mine", &file, &digest).len(), 1);
        assert!(grants.of("mine", &file, &Digest::of_bytes(b"y")).is_empty());
    }
}
