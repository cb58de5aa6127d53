//! What the host knows of a loaded plugin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{digest::Digest, effect::EffectKind};

/// A right that a plugin asks for and the operator grants.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Azure resources.
    AzureRead,
    /// Azure Monitor.
    AzureMetrics,
    /// Kubernetes objects.
    KubernetesRead,
    /// Node observations (runs the host's own scripts on nodes).
    NodeRead,
    /// TCP and tunnel probes.
    Probe,
}

impl Capability {
    /// All capabilities.
    pub const ALL: &'static [Self] = &[
        Self::AzureRead,
        Self::AzureMetrics,
        Self::KubernetesRead,
        Self::NodeRead,
        Self::Probe,
    ];

    /// Its name in the configuration and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AzureRead => "azure_read",
            Self::AzureMetrics => "azure_metrics",
            Self::KubernetesRead => "kubernetes_read",
            Self::NodeRead => "node_read",
            Self::Probe => "probe",
        }
    }
}

/// Type of a plugin parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    /// JSON string.
    Text,
    /// JSON integer.
    Integer,
    /// JSON boolean.
    Boolean,
}

/// One parameter of a plugin's fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub parameter_type: ParameterType,
    /// What it is for.
    pub summary: String,
    /// Whether it must be given.
    pub required: bool,
    /// Used when absent.
    pub default: Option<serde_json::Value>,
}

/// A loaded plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginInfo {
    /// Its id: "nsg-allow-port".
    pub id: String,
    /// Its version, as it says.
    pub version: String,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Version of the contract it was built for: "naosu:plugin@0.1.0".
    pub contract: String,
    /// The cause it judges.
    pub cause: String,
    /// One sentence.
    pub summary: String,
    /// What its fix does; empty for advice only.
    pub fix: String,
    /// Parameters of the fix.
    pub parameters: Vec<Parameter>,
    /// Rights it asks for; all are granted, or it would not be loaded.
    pub capabilities: Vec<Capability>,
    /// Effects it may propose.
    pub effects: Vec<EffectKind>,
    /// What the component imports, as "package:name/interface@version".
    pub imports: Vec<String>,
    /// "bundled", or the path it was loaded from.
    pub source: String,
}
