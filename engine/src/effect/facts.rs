//! What of the managed cluster decides whether a fix is allowed there.

use serde_json::Value;

use super::State;
use crate::{
    error::{Code, Error},
    model::{ClusterId, Observation, ObserveErrorKind, Query},
};

/// Facts of the managed cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The group that AKS keeps the nodes in.
    pub node_resource_group: String,
    /// Whether that group is locked down to reading.
    pub is_locked_down: bool,
    /// Whether the API server has a private address only.
    pub is_private: bool,
}

impl ClusterFacts {
    /// The read they come from.
    pub fn query(cluster: &ClusterId) -> Query {
        Query::AzureGet {
            resource: cluster.as_str().to_owned(),
        }
    }

    /// Reads them from the observation of [`Self::query`].
    ///
    /// # Errors
    /// `cluster_not_found`, or the driver's error.
    pub fn of(observation: &Observation) -> Result<Self, Error> {
        let state = State::of(observation);
        if let Err(e) = &observation.answer
            && e.kind == ObserveErrorKind::NotFound
        {
            return Err(Error::new(
                Code::ClusterNotFound,
                e.message.clone(),
                "check the id (`az aks show --query id`) and what the credentials may see",
            ));
        }
        let resource: Value = state.json()?;
        let text = |pointer: &str| {
            let value = resource.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        Ok(Self {
            node_resource_group: text("/properties/nodeResourceGroup"),
            is_locked_down: text("/properties/nodeResourceGroupProfile/restrictionLevel")
                .eq_ignore_ascii_case("ReadOnly"),
            is_private: resource
                .pointer("/properties/apiServerAccessProfile/enablePrivateCluster")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
        })
    }

    /// Whether a resource is in the group that AKS manages.
    pub fn manages(&self, resource: &str) -> bool {
        let mut segments = resource.split('/');
        segments.find(|s| s.eq_ignore_ascii_case("resourceGroups"));
        let group = segments.next().unwrap_or_default();
        !group.is_empty() && group.eq_ignore_ascii_case(&self.node_resource_group)
    }
}
