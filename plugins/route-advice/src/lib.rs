//! Cause: a route sends the tunnel's packets, or the answers to them, to where
//! they are lost. Routes are the network owner's: this finds and advises, and
//! changes nothing.

mod judge;
mod nodes;
mod out;

use naosu_plugin::{
    Capability, Cluster, Description, Finding, Plugin, PluginError, Proposal, Reads, Step, Symptom,
    Verdict,
};

/// Stable id of the cause.
pub const CAUSE: &str = "route-diverts-tunnel";

/// The plugin.
pub struct RouteAdvice;

impl Plugin for RouteAdvice {
    fn describe() -> Description {
        Description {
            id: "route-advice".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "A route diverts the tunnel, or the answers to it".into(),
            fix: String::new(),
            parameters: Vec::new(),
            capabilities: vec![
                Capability::AzureRead,
                Capability::KubernetesRead,
                Capability::Probe,
            ],
            effects: Vec::new(),
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        _symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        judge::diagnose(reads, cluster)
    }

    fn plan(
        _reads: &dyn Reads,
        _cluster: &Cluster,
        finding: &Finding,
        _parameters: &str,
    ) -> Result<Proposal, PluginError> {
        Err(PluginError::NothingToDo(format!(
            "routes are the network owner's to change: {}",
            finding.summary
        )))
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        _steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        judge::verify(reads, cluster)
    }
}

naosu_plugin::export!(RouteAdvice);
