//! Cause: nodes run out of SNAT ports at the load balancer. Fix: more ports a
//! node, and more outbound addresses where that needs them, by AKS's own rule.

mod judge;
mod ports;

use naosu_plugin::{
    Capability, Cluster, Description, Effect, EffectKind, Finding, FindingBuilder, Judgement,
    NetworkProfileEffect, Parameter, ParameterType, Plugin, PluginError, Proposal, Reads, Step,
    Symptom, Verdict, finding,
};
use serde::Deserialize;
use serde_json::json;

/// Stable id of the cause.
pub const CAUSE: &str = "snat-exhausted";

/// The plugin.
pub struct SnatOutboundPorts;

#[derive(Deserialize)]
struct Parameters {
    ports: Option<u32>,
}

impl Plugin for SnatOutboundPorts {
    fn describe() -> Description {
        Description {
            id: "snat-outbound-ports".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "Nodes run out of SNAT ports at the load balancer".into(),
            fix: "Allocate more outbound ports a node, and more addresses where needed".into(),
            parameters: vec![Parameter {
                name: "ports".into(),
                type_: ParameterType::Integer,
                summary: "Ports a node instead of twice today's; a multiple of 8 up to 64000"
                    .into(),
                required: false,
                default: String::new(),
            }],
            capabilities: vec![
                Capability::AzureRead,
                Capability::AzureMetrics,
                Capability::KubernetesRead,
            ],
            effects: vec![EffectKind::NetworkProfileSet],
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        _symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        match judge::judge(reads, cluster) {
            Ok(judged) => Ok(finding(CAUSE, judged.judgement, judged.summary)
                .evidence_of(judged.evidence)
                .build()),
            Err(error) => Ok(FindingBuilder::unreadable(CAUSE, "SNAT ports", &error).build()),
        }
    }

    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let parameters: Parameters = naosu_plugin::parameters(parameters)?;
        let judged = judge::judge(reads, cluster)?;
        if judged.judgement == Judgement::RuledOut {
            return Err(PluginError::NothingToDo(judged.summary));
        }
        let sizing = ports::size(&judged.cluster.value, parameters.ports)?;
        let mut profile = json!({ "allocatedOutboundPorts": sizing.ports });
        if let Some(addresses) = sizing.new_address_count {
            profile["managedOutboundIPs"] = json!({ "count": addresses });
        }
        let mut warnings = vec![
            "AKS updates the load balancer; connections that are open may be reset once."
                .to_owned(),
        ];
        if sizing.new_address_count.is_some() {
            warnings.push(
                "New outbound addresses appear; peers that allow the cluster by address must learn them."
                    .to_owned(),
            );
        }
        Ok(Proposal {
            summary: sizing.summary(),
            steps: vec![Step {
                title: sizing.summary(),
                effect: Effect::NetworkProfileSet(NetworkProfileEffect {
                    cluster: judged.cluster.resource.clone(),
                    patch: json!({ "loadBalancerProfile": profile }).to_string(),
                }),
            }],
            warnings,
        })
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        _steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        let judged = judge::judge(reads, cluster)?;
        Ok(Verdict {
            mended: judged.judgement == Judgement::RuledOut,
            summary: judged.summary,
            evidence: judged.evidence,
        })
    }
}

naosu_plugin::export!(SnatOutboundPorts);
