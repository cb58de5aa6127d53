//! Cause: a rule of a node's iptables drops or rejects TCP 10250, on the node of the
//! kubelet or on that of an agent. Fix: delete exactly that rule, never one that the
//! cluster or ufw keeps in order.

mod blocks;
mod judge;
mod propose;
mod weigh;

use naosu_plugin::{
    Capability, Cluster, Description, EffectKind, Finding, Plugin, PluginError, Proposal, Reads,
    Step, Symptom, Verdict,
};

/// Stable id of the cause.
pub const CAUSE: &str = "iptables-blocks-tunnel";

/// The plugin.
pub struct IptablesDeleteRule;

impl Plugin for IptablesDeleteRule {
    fn describe() -> Description {
        Description {
            id: "iptables-delete-rule".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "A rule of a node's iptables drops or rejects TCP 10250".into(),
            fix: "Delete the rule by number and specification under the xtables lock".into(),
            parameters: Vec::new(),
            capabilities: vec![
                Capability::AzureRead,
                Capability::KubernetesRead,
                Capability::NodeRead,
            ],
            effects: vec![EffectKind::IptablesRuleDelete],
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
        reads: &dyn Reads,
        cluster: &Cluster,
        finding: &Finding,
        _parameters: &str,
    ) -> Result<Proposal, PluginError> {
        propose::plan(reads, cluster, finding)
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        finding: &Finding,
        steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        judge::verify(reads, cluster, finding, steps)
    }
}

naosu_plugin::export!(IptablesDeleteRule);
