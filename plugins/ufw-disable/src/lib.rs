//! Cause: ufw is active on a node and blocks TCP 10250. Fix: disable it there;
//! the inverse enables it again, as it was.

use std::collections::BTreeSet;

use naosu_plugin::{
    Capability, Cluster, Description, Effect, EffectKind, Finding, FindingBuilder, Flow, Plugin,
    PluginError, Proposal, Reads, Step, Symptom, Verdict, finding,
    node_firewall::nodes_of,
    step,
    ufw::{UfwJudgement, UfwNode},
};

/// Stable id of the cause.
pub const CAUSE: &str = "ufw-blocks-tunnel";

/// The plugin.
pub struct UfwDisable;

impl Plugin for UfwDisable {
    fn describe() -> Description {
        Description {
            id: "ufw-disable".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "ufw is active on a node and blocks TCP 10250".into(),
            fix: "Disable ufw on the node; all that it stops passes then".into(),
            parameters: Vec::new(),
            capabilities: vec![
                Capability::AzureRead,
                Capability::KubernetesRead,
                Capability::NodeRead,
            ],
            effects: vec![EffectKind::UfwDisable],
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
        let flows: Vec<Flow> = judged
            .stopping()
            .filter_map(|node| node.node.required_flow())
            .collect();
        let mut builder = finding(CAUSE, judged.judgement, judged.summary)
            .evidence_of(judged.evidence)
            .infeasible(judged.infeasible);
        for flow in flows {
            builder = builder.required_flow(flow);
        }
        Ok(builder.build())
    }

    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        _parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let judged = UfwJudgement::observe(reads, cluster)?;
        // What it drops for pods is reason enough where it keeps no kubelet shut.
        let mut names: BTreeSet<&str> = judged.stopping().map(UfwNode::name).collect();
        if names.is_empty() {
            names = judged.dropping.iter().map(UfwNode::name).collect();
        }
        if names.is_empty() {
            return Err(PluginError::NothingToDo(judged.summary));
        }
        if let Some(reason) = judged.infeasible {
            return Err(PluginError::Infeasible(reason));
        }
        let steps = names.into_iter().map(|name| {
            let effect = Effect::UfwDisable(name.to_owned());
            step(format!("Disable ufw on {name}"), effect)
        });
        Ok(Proposal {
            summary: "Disable ufw where it stops packets".to_owned(),
            steps: steps.collect(),
            warnings: vec![
                "Everything that ufw stops on these nodes passes then, not only TCP 10250; \
                 ufw-allow-port opens only that."
                    .to_owned(),
            ],
        })
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
            mended: judged.lets_tunnel_pass()
                && judged.keeping_in.is_empty()
                && judged.dropping.is_empty(),
            summary: judged.summary,
            evidence: judged.evidence,
        })
    }
}

naosu_plugin::export!(UfwDisable);
