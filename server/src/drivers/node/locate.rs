//! From a node's name to the virtual machine that Run Command knows.

use naosu_engine::{
    error::Code,
    model::{ClusterId, Observation, query::ObjectRef},
};
use serde_json::Value;

use super::{NodeDriver, NodeError};
use crate::drivers::{azure::ResourceId, text::printable};

impl NodeDriver {
    /// The virtual machine of a node, by the node's `spec.providerID`.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], [`NodeError::Foreign`] when it is not one of the
    /// cluster's, or Kubernetes' or Azure's error.
    pub(super) async fn locate(
        &self,
        cluster: &ClusterId,
        node: &str,
    ) -> Result<ResourceId, NodeError> {
        let object = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: node.to_owned(),
        };
        let reading = self
            .kubernetes
            .get(cluster, &object)
            .await
            .map_err(|error| match error.code {
                Code::KubernetesNotFound => NodeError::NotFound {
                    node: printable(node, 100),
                    reason: "the API server knows no such node".to_owned(),
                },
                _ => NodeError::Way {
                    error,
                    unchanged: true,
                },
            })?;
        let provider_id = serde_json::from_str::<Value>(&reading.body)
            .ok()
            .and_then(|node| {
                let id = node.pointer("/spec/providerID")?.as_str()?;
                Some(id.to_owned())
            })
            .unwrap_or_default();
        let instance = instance_of(&provider_id).ok_or_else(|| NodeError::NotFound {
            node: printable(node, 100),
            reason: format!(
                "its providerID {:?} is no virtual machine of Azure",
                printable(&provider_id, 300)
            ),
        })?;
        // Whoever may make Node objects writes the providerID: it must not choose
        // on which of the identity's machines a script runs as root.
        let managed = self
            .clusters
            .get(cluster)
            .await
            .map_err(|error| NodeError::Way {
                error,
                unchanged: true,
            })?;
        if managed.has(&instance) {
            Ok(instance)
        } else {
            Err(NodeError::Foreign {
                node: printable(node, 100),
                instance: printable(instance.as_str(), 300),
                group: managed.node_resource_group.to_string(),
            })
        }
    }

    /// The virtual machine of a node, if it is the one that was read before.
    ///
    /// # Errors
    /// As [`NodeDriver::locate`]; [`NodeError::Drift`] when it is another.
    pub(super) async fn locate_again(
        &self,
        cluster: &ClusterId,
        node: &str,
        before: &Observation,
    ) -> Result<ResourceId, NodeError> {
        let instance = self.locate(cluster, node).await?;
        match before.version.as_deref() {
            Some(version) if version != version_of(&instance) => Err(NodeError::Drift {
                node: printable(node, 100),
                reason: format!(
                    "it is on {} now, and was on {}",
                    version_of(&instance),
                    printable(version, 300)
                ),
            }),
            _ => Ok(instance),
        }
    }
}

/// What tells a node that keeps its name but moves to another machine: the version
/// of all that is read of it.
pub(super) fn version_of(instance: &ResourceId) -> String {
    instance.as_str().to_ascii_lowercase()
}

/// The ARM id inside "azure:///subscriptions/…", if it is a virtual machine's.
fn instance_of(provider_id: &str) -> Option<ResourceId> {
    let id = ResourceId::parse(provider_id.strip_prefix("azure://")?).ok()?;
    matches!(
        id.type_name().as_str(),
        "microsoft.compute/virtualmachinescalesets/virtualmachines"
            | "microsoft.compute/virtualmachines"
    )
    .then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VMSS: &str = "/subscriptions/s/resourceGroups/mc_rg/providers/Microsoft.Compute/virtualMachineScaleSets/aks-pool-vmss/virtualMachines/0";

    #[test]
    fn scale_set_instances_are_found_in_any_case() {
        for id in [VMSS.to_owned(), VMSS.to_uppercase(), VMSS.to_lowercase()] {
            assert!(instance_of(&format!("azure://{id}")).is_some(), "{id}");
        }
    }

    #[test]
    fn other_provider_ids_are_not_commanded() {
        for id in [
            "",
            "kind://docker/kind/kind-control-plane",
            "aws:///eu-west-1a/i-0",
            "azure:///subscriptions/s/../../x",
            "azure:///subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/x",
        ] {
            assert!(instance_of(id).is_none(), "{id}");
        }
    }
}
