//! ARM resource ids, which are compared without regard to case.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::Deserialize;

/// An ARM resource id.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(pub String);

impl ResourceId {
    /// The id as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The segment after `word`, case aside: `after("resourceGroups")`.
    pub fn after(&self, word: &str) -> Option<&str> {
        let mut segments = self.0.split('/');
        segments.find(|segment| segment.eq_ignore_ascii_case(word))?;
        segments.next()
    }

    /// The id without its last two segments: the VNet of a subnet.
    pub fn parent(&self) -> Option<Self> {
        let (rest, _name) = self.0.rsplit_once('/')?;
        let (parent, _kind) = rest.rsplit_once('/')?;
        Some(Self(parent.to_owned()))
    }

    /// Whether it lies in this resource group.
    pub fn is_in_group(&self, resource_group: &str) -> bool {
        self.after("resourceGroups")
            .is_some_and(|group| group.eq_ignore_ascii_case(resource_group))
    }

    /// The form that two equal ids share.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
