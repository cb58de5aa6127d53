//! Cause: nodes run out of SNAT ports because a workload holds most of them.
//! Advice only: which one, and that it should reuse connections. Nobody but its
//! author can change that.

mod connections;
mod holders;

use naosu_plugin::{
    Capability, Cluster, Description, Finding, Plugin, PluginError, Proposal, Reads, Step, Symptom,
    Verdict, snat::CAUSE,
};

/// The plugin.
pub struct SnatConnectionReuse;

const ADVICE: &str = "have it keep one client and reuse its connections (keep-alive, a pool of \
     bounded size), and close what is idle";

impl Plugin for SnatConnectionReuse {
    fn describe() -> Description {
        Description {
            id: "snat-connection-reuse".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "A workload holds most of the SNAT ports of a node that runs out of them"
                .into(),
            fix: String::new(),
            parameters: Vec::new(),
            capabilities: vec![
                Capability::AzureRead,
                Capability::AzureMetrics,
                Capability::KubernetesRead,
                Capability::NodeRead,
            ],
            effects: Vec::new(),
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        _symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        holders::diagnose(reads, cluster)
    }

    fn plan(_: &dyn Reads, _: &Cluster, _: &Finding, _: &str) -> Result<Proposal, PluginError> {
        Err(PluginError::NothingToDo(format!(
            "the workload that the finding names has to change: {ADVICE}"
        )))
    }

    fn verify(_: &dyn Reads, _: &Cluster, _: &Finding, _: &[Step]) -> Result<Verdict, PluginError> {
        Err(PluginError::NothingToDo(
            "there are no steps to judge".to_owned(),
        ))
    }
}

naosu_plugin::export!(SnatConnectionReuse);
