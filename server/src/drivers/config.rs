//! How the drivers reach Azure, Kubernetes and nodes. Plain data; the server's
//! configuration fills it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

/// All that the drivers need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriverConfig {
    /// Azure Resource Manager and Azure Monitor.
    pub azure: AzureConfig,
    /// The API server.
    pub kubernetes: KubernetesConfig,
    /// Commands on nodes.
    pub node: NodeConfig,
}

/// How Azure is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureConfig {
    /// Management endpoint. Plain `http` is accepted for loopback only.
    pub endpoint: Url,
    /// Token authority. Plain `http` is accepted for loopback only.
    pub authority: Url,
    /// Resource that tokens are asked for.
    pub audience: Url,
    /// Where tokens come from.
    pub credential: CredentialConfig,
    /// PEM file of further certificate authorities to trust (a TLS-inspecting proxy).
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait for one answer, in milliseconds.
    pub request_timeout_ms: u64,
    /// Longest wait for a long-running operation, in milliseconds.
    pub operation_timeout_ms: u64,
    /// Wait between polls of an operation that does not say how long, in milliseconds.
    pub poll_interval_ms: u64,
    /// Largest answer that is read, in bytes.
    pub response_limit_bytes: u64,
    /// Most pages that are followed.
    pub page_limit: u32,
    /// When and how often a request is tried again.
    pub retry: RetryConfig,
}

impl Default for AzureConfig {
    fn default() -> Self {
        Self {
            endpoint: well_known("https://management.azure.com"),
            authority: well_known("https://login.microsoftonline.com"),
            audience: well_known("https://management.azure.com"),
            credential: CredentialConfig::Auto,
            ca_file: None,
            connect_timeout_ms: 10_000,
            request_timeout_ms: 60_000,
            operation_timeout_ms: 1_800_000,
            poll_interval_ms: 5_000,
            response_limit_bytes: 32 << 20,
            page_limit: 1_000,
            retry: RetryConfig::default(),
        }
    }
}

/// A constant of this file as a URL.
fn well_known(text: &'static str) -> Url {
    #[allow(clippy::expect_used)] // the tests build the defaults
    Url::parse(text).expect("a constant URL")
}

/// Where Azure tokens come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialConfig {
    /// The first that works: client secret, workload identity (each if its
    /// environment is set), Azure CLI, managed identity.
    #[default]
    Auto,
    /// A federated token of the pod; identity by `AZURE_CLIENT_ID`,
    /// `AZURE_TENANT_ID`, `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity,
    /// Identity of the virtual machine or app service.
    ManagedIdentity {
        /// Client id of a user-assigned identity; the system's own if absent.
        #[serde(default)]
        client_id: Option<String>,
    },
    /// Whoever is signed in with `az login`.
    AzureCli,
    /// A service principal: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, and the secret
    /// from `AZURE_CLIENT_SECRET`. Ids given here win over the environment.
    ClientSecret {
        /// Tenant id.
        #[serde(default)]
        tenant_id: Option<String>,
        /// Client id.
        #[serde(default)]
        client_id: Option<String>,
        /// File that holds the secret, instead of the environment.
        #[serde(default)]
        secret_file: Option<PathBuf>,
    },
    /// A bearer token that someone else keeps fresh in a file; read again when
    /// Azure rejects it.
    TokenFile {
        /// The file.
        path: PathBuf,
    },
}

/// Bounds of trying again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Tries of one request, the first included.
    pub attempts: u32,
    /// First wait, in milliseconds; doubles each time, with jitter.
    pub base_delay_ms: u64,
    /// Longest wait between two tries, in milliseconds; a longer `Retry-After`
    /// ends the tries.
    pub delay_limit_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 5,
            base_delay_ms: 500,
            delay_limit_ms: 60_000,
        }
    }
}

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// Where the credentials come from.
    pub source: KubeconfigSource,
    /// Longest wait for one answer, in milliseconds.
    pub request_timeout_ms: u64,
    /// Longest wait for a kubelet asked through the API server, in milliseconds.
    /// The API server itself gives up a dial after some 30 seconds, and its
    /// reason is worth waiting for.
    pub probe_timeout_ms: u64,
    /// Longest wait around an eviction, in milliseconds, for each of: other pods
    /// of the workload, a disruption budget that allows it, a ready successor.
    pub eviction_timeout_ms: u64,
    /// When and how often a read is tried again.
    pub retry: RetryConfig,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            source: KubeconfigSource::default(),
            request_timeout_ms: 30_000,
            probe_timeout_ms: 40_000,
            eviction_timeout_ms: 120_000,
            retry: RetryConfig {
                attempts: 3,
                base_delay_ms: 200,
                delay_limit_ms: 5_000,
            },
        }
    }
}

/// Where access to the API server comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum KubeconfigSource {
    /// ARM's `listClusterUserCredential` of the cluster asked about.
    #[default]
    Arm,
    /// A kubeconfig file. Plugins it names for credentials are run, as `kubectl` does.
    File {
        /// The file; `KUBECONFIG`, else `~/.kube/config`, if absent.
        #[serde(default)]
        path: Option<PathBuf>,
        /// The context; the file's current one if absent.
        #[serde(default)]
        context: Option<String>,
    },
    /// The service account of the pod that Naosu runs in.
    InCluster,
}

/// How nodes are commanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Longest wait for a run command of someone else to end, in milliseconds.
    pub busy_timeout_ms: u64,
    /// Longest wait for one run command, in milliseconds.
    pub command_timeout_ms: u64,
    /// Longest wait of a TCP probe, in seconds. Linux repeats a lost SYN after one.
    pub probe_timeout_seconds: u32,
    /// Largest output that is fetched from a node, in bytes, uncompressed.
    pub output_limit_bytes: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            busy_timeout_ms: 300_000,
            command_timeout_ms: 600_000,
            probe_timeout_seconds: 3,
            output_limit_bytes: 8 << 20,
        }
    }
}

/// Milliseconds of the configuration as a duration.
pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_reach_the_public_cloud_and_survive_toml() {
        let defaults = DriverConfig::default();
        assert_eq!(
            defaults.azure.endpoint.as_str(),
            "https://management.azure.com/"
        );
        let text = toml::to_string(&defaults).unwrap();
        assert_eq!(toml::from_str::<DriverConfig>(&text).unwrap(), defaults);
    }

    #[test]
    fn a_credential_is_named_by_its_kind_and_unknown_keys_are_refused() {
        let config: DriverConfig = toml::from_str(
            "[azure.credential]\nkind = \"token_file\"\npath = \"/run/token\"\n\
             [kubernetes.source]\nkind = \"file\"\ncontext = \"lab\"",
        )
        .unwrap();
        assert_eq!(
            config.azure.credential,
            CredentialConfig::TokenFile {
                path: "/run/token".into()
            }
        );
        assert!(toml::from_str::<DriverConfig>("[azure]\nendpiont = \"http://x\"").is_err());
    }
}
