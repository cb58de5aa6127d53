//! Cause: ufw is active on a node and blocks TCP 10250. Fix: one allow rule for
//! exactly the tunnel's packets, before the rule that blocks them.

mod propose;

use naosu_plugin::{
    Capability, Cluster, Description, EffectKind, Finding, FindingBuilder, Flow, ParameterType,
    Plugin, PluginError, Proposal, Reads, Step, Symptom, Verdict, finding, node_firewall::nodes_of,
    parameter, ufw::UfwJudgement,
};

/// Stable id of the cause.
pub const CAUSE: &str = "ufw-blocks-tunnel";

/// The plugin.
pub struct UfwAllowPort;

impl Plugin for UfwAllowPort {
    fn describe() -> Description {
        Description {
            id: "ufw-allow-port".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "ufw is active on a node and blocks TCP 10250".into(),
            fix: "Allow TCP 10250 from the tunnel agents, before the rule that blocks it".into(),
            parameters: vec![parameter(
                "scope",
                ParameterType::Text,
                "\"addresses\" for today's agents, \"subnet\" for all of their subnets",
                "\"subnet\"",
            )],
            capabilities: vec![
                Capability::AzureRead,
                Capability::KubernetesRead,
                Capability::NodeRead,
            ],
            effects: vec![EffectKind::UfwRuleInsert, EffectKind::UfwRuleDelete],
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        _symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        let judged = match UfwJudgement::observe(reads, cluster) {
            Ok(judged) => judged,
            Err(error @ PluginError::AnalysisTooComplex(_)) => return Err(error),
            Err(error) => {
                let unknown = FindingBuilder::unreadable(CAUSE, "The nodes' ufw", &error);
                return Ok(unknown.build());
            }
        };
        let infeasible = propose::infeasible(&judged);
        let flows: Vec<Flow> = judged
            .stopping()
            .filter_map(|node| node.node.required_flow())
            .collect();
        let mut builder = finding(CAUSE, judged.judgement, judged.summary)
            .evidence_of(judged.evidence)
            .infeasible(infeasible);
        for flow in flows {
            builder = builder.required_flow(flow);
        }
        Ok(builder.build())
    }

    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError> {
        propose::plan(reads, cluster, &naosu_plugin::parameters(parameters)?)
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        // What is not known of other nodes was not known before either.
        let judged = UfwJudgement::of(reads, cluster, &nodes_of(steps))?;
        Ok(Verdict {
            mended: judged.lets_tunnel_pass(),
            summary: judged.summary,
            evidence: judged.evidence,
        })
    }
}

naosu_plugin::export!(UfwAllowPort);
