//! Cause: nodes run out of SNAT ports at the load balancer. Fix: more ports a
//! node, and more outbound addresses where that needs them, by AKS's own rule.

mod verify;

use naosu_plugin::{
    Capability, Cluster, Description, Effect, EffectKind, Finding, NetworkProfileEffect,
    ParameterType, Plugin, PluginError, Proposal, Reads, Step, Symptom, Verdict, parameter,
    snat::{CAUSE, SnatJudgement, Supply},
};
use serde::Deserialize;
use serde_json::json;

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
            parameters: vec![parameter(
                "ports",
                ParameterType::Integer,
                "Ports a node instead of twice today's; a multiple of 8 above today's, up to 64000",
                "",
            )],
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
        let judged = match SnatJudgement::observe(reads, cluster) {
            Ok(judged) => judged,
            Err(error) => return Ok(SnatJudgement::unreadable(&error)),
        };
        if judged.to_mend().is_err() {
            return Ok(judged.finding().build());
        }
        // What else goes wrong here says nothing of the cause; the plan will tell it.
        let sizing = Supply::observe(reads, &judged).and_then(|supply| supply.sizing(None));
        let infeasible = match sizing {
            Err(PluginError::Infeasible(why)) => Some(why),
            _ => None,
        };
        Ok(judged.finding().infeasible(infeasible).build())
    }

    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let parameters: Parameters = naosu_plugin::parameters(parameters)?;
        let judged = SnatJudgement::observe(reads, cluster)?;
        judged.to_mend()?;
        let sizing = Supply::observe(reads, &judged)?.sizing(parameters.ports)?;
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
        steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        verify::verify(reads, cluster, steps)
    }
}

naosu_plugin::export!(SnatOutboundPorts);
