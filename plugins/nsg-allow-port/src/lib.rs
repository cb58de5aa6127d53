//! Cause: a network security group, or a security admin rule before it, blocks TCP
//! 10250 between the tunnel agents and the nodes, or the agents' own way out to the
//! API server. Fix: one allow rule a group, direction and port, as narrow as possible,
//! at a priority that beats the blocking rule and no stricter one. A security admin
//! rule is its owner's to change.

mod integrated;
mod judge;
mod parameters;
mod propose;
mod situation;
mod verify;

use naosu_plugin::{
    Capability, Cluster, Description, EffectKind, Finding, ParameterType, Plugin, PluginError,
    Proposal, Reads, Step, Symptom, Verdict, parameter,
};

use parameters::Parameters;

/// Stable id of the cause.
pub const CAUSE: &str = "nsg-blocks-tunnel";

/// The plugin.
pub struct NsgAllowPort;

impl Plugin for NsgAllowPort {
    fn describe() -> Description {
        Description {
            id: "nsg-allow-port".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "A network security group or a security admin rule blocks TCP 10250 from \
                      the tunnel agents to nodes, or their way out to the API server"
                .into(),
            fix: "Add one allow rule for exactly that traffic, at a calculated priority".into(),
            parameters: vec![
                parameter(
                    "rule_name",
                    ParameterType::Text,
                    "Name of new rules instead of naosu-allow-kubelet and naosu-allow-tunnel; \
                     a number is added where it is taken",
                    "",
                ),
                parameter(
                    "priority",
                    ParameterType::Integer,
                    "Priority of the new rule instead of the calculated one, 100 to 4096",
                    "",
                ),
                parameter(
                    "scope",
                    ParameterType::Text,
                    "\"addresses\" for today's agents and nodes, \"subnet\" for all of their subnets",
                    "\"addresses\"",
                ),
            ],
            capabilities: vec![Capability::AzureRead, Capability::KubernetesRead],
            effects: vec![EffectKind::NsgRuleCreate, EffectKind::NsgRulesReplace],
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
        _finding: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let parameters = Parameters::of(parameters)?;
        propose::plan(reads, cluster, &parameters)
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        finding: &Finding,
        steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        verify::verify(reads, cluster, finding, steps)
    }
}

naosu_plugin::export!(NsgAllowPort);
