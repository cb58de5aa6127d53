//! From a node's name to the virtual machine that Run Command knows.

use naosu_engine::{
    error::Code,
    model::{ClusterId, query::ObjectRef},
};
use serde_json::Value;

use super::{NodeDriver, NodeError};
use crate::drivers::{azure::ResourceId, text::printable};

impl NodeDriver {
    /// The virtual machine of a node, by the node's `spec.providerID`.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], or Kubernetes' error.
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
        instance_of(&provider_id).ok_or_else(|| NodeError::NotFound {
            node: printable(node, 100),
            reason: format!(
                "its providerID {:?} is no virtual machine of Azure",
                printable(&provider_id, 300)
            ),
        })
    }
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
