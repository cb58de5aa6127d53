//! Whether an API server is that of the cluster asked about. A kubeconfig file and a
//! service account name no cluster: a plan for one must not be carried out on another.

use kube::{Api, Client, api::ListParams, core::DynamicObject};
use naosu_engine::{error::Error, model::ClusterId};

use super::{KubernetesError, resource::api_of};
use crate::drivers::{
    azure::{ManagedCluster, ResourceId},
    text::printable,
};

/// Nodes that are looked at.
const NODES: u32 = 50;
/// What AKS names API servers by.
const AKS_DOMAIN: &str = ".azmk8s.io";

/// Compares the API server's name with those that ARM has; where it has another, an
/// address or that of a proxy, most of its nodes must be machines of the cluster.
///
/// # Errors
/// `kubeconfig_of_another_cluster`, naming both; why its nodes cannot be read.
pub(super) async fn require(
    client: &Client,
    server: &str,
    cluster: &ClusterId,
    managed: &ManagedCluster,
) -> Result<(), Error> {
    let host = server.to_ascii_lowercase();
    if managed.api_servers.contains(&host) {
        return Ok(());
    }
    let another = |found: String| {
        Error::from(KubernetesError::AnotherCluster {
            cluster: cluster.to_string(),
            server: printable(server, 200),
            found,
        })
    };
    if host.ends_with(AKS_DOMAIN) && !managed.api_servers.is_empty() {
        return Err(another(format!(
            "ARM has {}",
            managed.api_servers.join(", ")
        )));
    }
    let api: Api<DynamicObject> = api_of(client, "v1", "Node", "").await?;
    let nodes = api
        .list(&ListParams::default().limit(NODES))
        .await
        .map_err(|error| KubernetesError::of("Node list", error))?;
    let machines: Vec<ResourceId> = nodes.items.iter().filter_map(machine).collect();
    let own = machines
        .iter()
        .filter(|machine| managed.has(machine))
        .count();
    // Not all: who may make one Node object must not be able to stop every mend.
    if own * 2 > machines.len() {
        return Ok(());
    }
    let group = &managed.node_resource_group;
    Err(another(match machines.first() {
        Some(machine) => format!("it has {machine}, and the cluster's nodes are in {group}"),
        None => format!("it has no node by which to tell; the cluster's are in {group}"),
    }))
}

/// The virtual machine of a node.
fn machine(node: &DynamicObject) -> Option<ResourceId> {
    let id = node.data.pointer("/spec/providerID")?.as_str()?;
    ResourceId::parse(id.strip_prefix("azure://")?).ok()
}
