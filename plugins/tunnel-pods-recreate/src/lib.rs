//! Cause: tunnel agents that are gone, not ready, or do not answer although the
//! way to the nodes is open. Fix: recreate them, one at a time, or by a new rollout
//! where a disruption budget lets none be evicted; where none is asked for, ask for
//! some.

mod absence;
mod agents;
mod answers;
mod budgets;
mod judge;
mod propose;
mod unplaced;
mod ways;

use naosu_plugin::{
    Capability, Cluster, Description, EffectKind, Finding, Plugin, PluginError, Proposal, Reads,
    Step, Symptom, Verdict,
};

/// Stable id of the cause.
pub const CAUSE: &str = "tunnel-agents-stale";

/// The plugin.
pub struct TunnelPodsRecreate;

impl Plugin for TunnelPodsRecreate {
    fn describe() -> Description {
        Description {
            id: "tunnel-pods-recreate".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "Tunnel agents are gone, not ready, or do not answer".into(),
            fix:
                "Evict the agents one at a time, so that new ones take their place; restart their \
                  rollout where a disruption budget lets none go"
                    .into(),
            parameters: Vec::new(),
            capabilities: vec![
                Capability::AzureRead,
                Capability::KubernetesRead,
                Capability::Probe,
            ],
            effects: vec![
                EffectKind::PodEvict,
                EffectKind::RolloutRestart,
                EffectKind::KubernetesPatch,
            ],
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        judge::diagnose(reads, cluster, &symptom.nodes)
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
        _steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        judge::verify(reads, cluster, finding)
    }
}

naosu_plugin::export!(TunnelPodsRecreate);
