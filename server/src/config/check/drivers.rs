//! How Azure, API servers and nodes are reached.

use url::Url;

use super::{
    Checker,
    limits::{ANSWER_BYTES, PATIENCE_MS, WAIT_MS, WORK_MS},
};
use crate::drivers::{
    azure::authority::is_loopback,
    config::{AzureConfig, CredentialConfig, KubeconfigSource, KubernetesConfig, NodeConfig},
};

const PAGES: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// A run command that carries the probe ends after 90 minutes.
const PROBE_SECONDS: std::ops::RangeInclusive<u64> = 1..=600;

// Each section is taken apart whole, so that a setting that is added is not
// forgotten here.
impl Checker {
    pub(super) fn azure(&mut self, azure: &AzureConfig) {
        let AzureConfig {
            endpoint,
            authority,
            audience: _,
            credential,
            ca_file,
            connect_timeout_ms,
            request_timeout_ms,
            operation_timeout_ms,
            poll_interval_ms,
            response_limit_bytes,
            page_limit,
            retry,
        } = azure;
        self.is_private("azure.endpoint", endpoint);
        self.is_private("azure.authority", authority);
        // A token file is not looked at: whoever keeps it fresh may start later.
        if let CredentialConfig::ClientSecret { secret_file, .. } = credential {
            self.file("azure.credential.secret_file", secret_file.as_ref());
        }
        self.certificates("azure.ca_file", ca_file.as_ref());
        self.within("azure.connect_timeout_ms", *connect_timeout_ms, WAIT_MS);
        self.within("azure.request_timeout_ms", *request_timeout_ms, WAIT_MS);
        self.within("azure.operation_timeout_ms", *operation_timeout_ms, WORK_MS);
        self.within("azure.poll_interval_ms", *poll_interval_ms, WAIT_MS);
        self.within(
            "azure.response_limit_bytes",
            *response_limit_bytes,
            ANSWER_BYTES,
        );
        self.within("azure.page_limit", (*page_limit).into(), PAGES);
        self.retry("azure.retry", retry);
    }

    pub(super) fn kubernetes(&mut self, kubernetes: &KubernetesConfig) {
        let KubernetesConfig {
            source,
            request_timeout_ms,
            probe_timeout_ms,
            eviction_timeout_ms,
            retry,
        } = kubernetes;
        if let KubeconfigSource::File { path, .. } = source {
            self.file("kubernetes.source.path", path.as_ref());
        }
        self.within(
            "kubernetes.request_timeout_ms",
            *request_timeout_ms,
            WAIT_MS,
        );
        self.within("kubernetes.probe_timeout_ms", *probe_timeout_ms, WAIT_MS);
        self.within(
            "kubernetes.eviction_timeout_ms",
            *eviction_timeout_ms,
            PATIENCE_MS,
        );
        self.retry("kubernetes.retry", retry);
    }

    pub(super) fn node(&mut self, node: &NodeConfig) {
        let NodeConfig {
            busy_timeout_ms,
            command_timeout_ms,
            probe_timeout_seconds,
            output_limit_bytes,
        } = *node;
        self.within("node.busy_timeout_ms", busy_timeout_ms, PATIENCE_MS);
        self.within("node.command_timeout_ms", command_timeout_ms, WORK_MS);
        self.within(
            "node.probe_timeout_seconds",
            probe_timeout_seconds.into(),
            PROBE_SECONDS,
        );
        self.within("node.output_limit_bytes", output_limit_bytes, ANSWER_BYTES);
    }

    /// Tokens are sent there.
    fn is_private(&mut self, key: &str, url: &Url) {
        let is_private = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
        if !is_private {
            self.wrong(
                key,
                format!(
                    "\"{url}\" would send tokens in the clear; give an https URL, plain http is \
                     for loopback only"
                ),
            );
        }
    }
}
