//! What ARM says of the cluster itself that tells its nodes and its API server from
//! those of others.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use naosu_engine::{
    error::{Code, Error},
    model::ClusterId,
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{ArmClient, ResourceId};

/// How long it is believed: a cluster may be made again under its old name.
const LIFE: Duration = Duration::from_secs(1_800);

/// A managed cluster, as far as others are to be told from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedCluster {
    /// Where its nodes are: `/subscriptions/…/resourceGroups/MC_…`.
    pub node_resource_group: ResourceId,
    /// Names of its API server, lower case.
    pub api_servers: Vec<String>,
}

impl ManagedCluster {
    /// Reads it from its body; `None` for one that names no node resource group.
    pub fn read(id: &ResourceId, body: &Value) -> Option<Self> {
        let mut segments = id.segments().skip(1);
        let subscription = segments.next()?;
        let group = body.pointer("/properties/nodeResourceGroup")?.as_str()?;
        let group = format!("/subscriptions/{subscription}/resourceGroups/{group}");
        let names = ["fqdn", "privateFQDN", "azurePortalFQDN"];
        let name = |field| body.pointer(&format!("/properties/{field}"))?.as_str();
        Some(Self {
            node_resource_group: ResourceId::parse(&group).ok()?,
            api_servers: names
                .into_iter()
                .filter_map(name)
                .filter(|name| !name.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        })
    }

    /// Whether a virtual machine is where this cluster's nodes are.
    pub fn has(&self, machine: &ResourceId) -> bool {
        machine.group().as_ref() == Some(&self.node_resource_group)
    }
}

/// Reads managed clusters and remembers them for a while.
pub struct ManagedClusters {
    azure: Arc<ArmClient>,
    known: Mutex<Vec<(ClusterId, Instant, Arc<ManagedCluster>)>>,
}

impl ManagedClusters {
    /// Nothing is read yet.
    pub fn new(azure: Arc<ArmClient>) -> Self {
        Self {
            azure,
            known: Mutex::default(),
        }
    }

    /// The cluster as ARM has it.
    ///
    /// # Errors
    /// Azure's error; `cluster_not_found`.
    pub async fn get(&self, cluster: &ClusterId) -> Result<Arc<ManagedCluster>, Error> {
        let mut known = self.known.lock().await;
        known.retain(|(_, since, _)| since.elapsed() < LIFE);
        if let Some((_, _, found)) = known.iter().find(|(id, _, _)| id == cluster) {
            return Ok(found.clone());
        }
        let id = ResourceId::parse(cluster.as_str())?;
        let reading = self.azure.read(&id).await.map_err(|error| {
            crate::drivers::cluster_not_found(cluster, cluster.as_str(), error.into())
        })?;
        let body: Value = serde_json::from_str(&reading.body).unwrap_or_default();
        let found = ManagedCluster::read(&id, &body).ok_or_else(|| {
            Error::new(
                Code::AzureBadResponse,
                format!("{cluster} names no node resource group"),
                "check that the id is a managed cluster's and that ARM is asked directly",
            )
        })?;
        let found = Arc::new(found);
        known.push((cluster.clone(), Instant::now(), found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = "/subscriptions/S/resourceGroups/MC_rg_aks_eu";

    #[test]
    fn machines_are_told_by_subscription_and_group_in_any_case() {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks";
        let body = json!({ "properties": {
            "nodeResourceGroup": "MC_rg_aks_eu", "fqdn": "Aks-1.hcp.eu.azmk8s.io",
        }});
        let cluster = ManagedCluster::read(&ResourceId::parse(id).unwrap(), &body).unwrap();
        assert_eq!(cluster.api_servers, ["aks-1.hcp.eu.azmk8s.io"]);
        let machine = |group: &str| {
            let machine = format!(
                "{group}/providers/Microsoft.Compute/virtualMachineScaleSets/v/virtualMachines/0"
            );
            cluster.has(&ResourceId::parse(&machine).unwrap())
        };
        assert!(machine(GROUP));
        assert!(machine(&GROUP.to_lowercase()));
        assert!(!machine("/subscriptions/other/resourceGroups/MC_rg_aks_eu"));
        assert!(!machine("/subscriptions/s/resourceGroups/MC_rg_aks_eu2"));
        assert!(!cluster.has(&ResourceId::parse("/subscriptions/s").unwrap()));
    }
}
