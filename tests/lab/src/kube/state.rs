//! What the handlers and the controller share.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::objects::Objects;
use super::resource::ResourceType;
use crate::data_plane::DataPlane;

/// The emulator's state.
pub(super) struct State {
    pub objects: Arc<Objects>,
    pub data_plane: Arc<dyn DataPlane>,
    pub tokens: Mutex<BTreeSet<String>>,
    pub kubernetes_version: String,
    /// Name of the tunnel agents' deployment, where there are agents.
    pub agents: Option<&'static str>,
    pub stop: CancellationToken,
}

impl State {
    pub fn accepts(&self, token: Option<&str>) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        token.is_some_and(|token| tokens.contains(token))
    }

    /// The internal address of a node.
    pub fn node_address(&self, name: &str) -> Option<IpAddr> {
        let node = self
            .objects
            .get(ResourceType::find("", "nodes")?, "", name)?;
        node["status"]["addresses"]
            .as_array()?
            .iter()
            .find(|address| address["type"] == "InternalIP")?["address"]
            .as_str()?
            .parse()
            .ok()
    }
}

/// A text field of an object's metadata.
pub(super) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}
