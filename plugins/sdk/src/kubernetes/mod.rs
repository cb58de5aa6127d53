//! Kubernetes objects, as much of them as plugins need.

mod budget;
mod deployment;
mod node;
mod pod;

pub use budget::{
    BudgetSpec, BudgetStatus, DisruptionBudget, LabelRequirement, LabelSelector, system_budgets,
};
pub use deployment::{Deployment, DeploymentSpec, PodTemplate};
pub use node::{
    Node, NodeAddress, NodeCondition, NodeLabels, NodeMetadata, NodeSpec, NodeStatus, Taint,
};
pub use pod::{
    Condition, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus, Terminated, Toleration,
    Waiting,
};

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::{ObjectList, Query};

/// Name, namespace and labels, and whether it is on its way out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub deletion_timestamp: Option<String>,
}

/// All nodes.
pub fn all_nodes() -> Query {
    Query::KubernetesList(ObjectList {
        api_version: "v1".into(),
        kind: "Node".into(),
        namespace: String::new(),
        label_selector: String::new(),
    })
}

/// Pods of `kube-system` with these labels.
pub fn system_pods(label_selector: &str) -> Query {
    Query::KubernetesList(ObjectList {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: "kube-system".into(),
        label_selector: label_selector.into(),
    })
}

/// Deployments of `kube-system`.
pub fn system_deployments() -> Query {
    Query::KubernetesList(ObjectList {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "kube-system".into(),
        label_selector: String::new(),
    })
}
