//! Cause: the tunnel's own way out is closed: TCP 443 for konnectivity, TCP
//! 9000 for tunnelfront, UDP 1194 for aks-link. Fix: one network rule in a
//! collection of its own, before whatever denies it, in the Azure Firewall or
//! the policy that governs it; for an appliance that is not Azure's, the exact
//! rule to ask its owner for. What else closes the way is told, with who can open
//! it.

mod judge;
mod judged;
mod obstacles;
mod parameters;
mod place;
mod propose;

use naosu_plugin::{
    Capability, Cluster, Description, EffectKind, Finding, ParameterType, Plugin, PluginError,
    Proposal, Reads, Step, Symptom, Verdict, parameter,
};

use parameters::Parameters;

/// Stable id of the cause.
pub const CAUSE: &str = "egress-blocks-tunnel";

/// The plugin.
pub struct EgressOpenPort;

impl Plugin for EgressOpenPort {
    fn describe() -> Description {
        Description {
            id: "egress-open-port".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "The tunnel agents' way out to the API server is closed".into(),
            fix: "Add one network rule for exactly that traffic to the Azure Firewall on the way"
                .into(),
            parameters: vec![
                parameter(
                    "collection_name",
                    ParameterType::Text,
                    "Name of the new rule collection; a number is added where it is taken",
                    "\"naosu-tunnel\"",
                ),
                parameter(
                    "collection_priority",
                    ParameterType::Integer,
                    "Priority of the new rule collection instead of the calculated one, 100 to \
                     65000",
                    "",
                ),
                parameter(
                    "scope",
                    ParameterType::Text,
                    "\"nodes\" for today's nodes that agents may run on, \"subnet\" for all of their subnets",
                    "\"nodes\"",
                ),
            ],
            capabilities: vec![
                Capability::AzureRead,
                Capability::KubernetesRead,
                Capability::Probe,
            ],
            effects: vec![EffectKind::FirewallRuleAdd, EffectKind::Manual],
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
        propose::plan(reads, cluster, &Parameters::of(parameters)?)
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        judge::verify(reads, cluster, steps)
    }
}

naosu_plugin::export!(EgressOpenPort);
