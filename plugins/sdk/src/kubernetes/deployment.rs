//! Deployments.

use serde::Deserialize;

use super::{Metadata, PodSpec};

/// A deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are Kubernetes's own
pub struct Deployment {
    pub metadata: Metadata,
    pub spec: DeploymentSpec,
}

/// What is wanted of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct DeploymentSpec {
    /// Absent means one.
    pub replicas: Option<u32>,
    pub template: PodTemplate,
}

/// What its pods are made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PodTemplate {
    pub spec: PodSpec,
}

impl Deployment {
    /// How many pods it asks for.
    pub fn replicas(&self) -> u32 {
        self.spec.replicas.unwrap_or(1)
    }
}
