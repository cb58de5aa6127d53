//! Cause: too few konnectivity agents for the nodes, or agents killed for lack
//! of memory. Fix: the ladder that their autoscaler goes by.

mod cores;
mod judge;
mod kills;
mod ladder;

use std::collections::BTreeMap;

use naosu_plugin::{
    Agent, Capability, Cluster, ConfigMapEffect, Description, Effect, EffectKind, Finding,
    FindingBuilder, Judgement, Plugin, PluginError, Proposal, Reads, Step, Symptom, Verdict,
    finding,
};
use serde::{Deserialize, Serialize};

use judge::{Judged, count, judge, no_ladder};

/// Stable id of the cause.
pub const CAUSE: &str = "konnectivity-underscaled";

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "konnectivity-agent-autoscaler";
const KEY: &str = "ladder";

/// What is to be true after the fix, kept in the finding: an agent that was
/// killed once says so for as long as its pod lives, mended or not.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Subject {
    /// So many agents are to be asked for and ready.
    wanted: u32,
    /// Restarts of each agent's pod, by name.
    restarts: BTreeMap<String, u32>,
}

impl Subject {
    fn of(judged: &Judged) -> Self {
        let restarts = |agent: &Agent| {
            let containers = agent.pod.status.container_statuses.iter();
            let restarts = containers.map(|c| c.restart_count).sum();
            (agent.pod.metadata.name.clone(), restarts)
        };
        Self {
            wanted: judged.wanted().unwrap_or_default(),
            restarts: judged.agents.iter().map(restarts).collect(),
        }
    }
}

/// The plugin.
pub struct KonnectivityScale;

impl Plugin for KonnectivityScale {
    fn describe() -> Description {
        Description {
            id: "konnectivity-scale".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "Too few konnectivity agents for the nodes, or agents out of memory".into(),
            fix: "Raise the ladder of the agents' autoscaler".into(),
            parameters: Vec::new(),
            capabilities: vec![Capability::AzureRead, Capability::KubernetesRead],
            effects: vec![EffectKind::ConfigMapSet],
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        _symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        match judge(reads, cluster) {
            Ok(judged) => {
                let subject = serde_json::to_value(Subject::of(&judged)).unwrap_or_default();
                Ok(finding(CAUSE, judged.judgement, judged.summary)
                    .evidence_of(judged.evidence)
                    .infeasible(judged.infeasible)
                    .subject(&subject)
                    .build())
            }
            Err(error) => {
                let unknown = FindingBuilder::unreadable(CAUSE, "The number of agents", &error);
                Ok(unknown.build())
            }
        }
    }

    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        _parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let judged = judge(reads, cluster)?;
        if matches!(judged.judgement, Judgement::RuledOut | Judgement::Unknown) {
            return Err(PluginError::NothingToDo(judged.summary));
        }
        if let Some(why) = judged.infeasible {
            return Err(PluginError::Infeasible(why));
        }
        let (Some(wanted), Some(ladder)) = (judged.wanted(), &judged.ladder) else {
            return Err(PluginError::Infeasible(no_ladder()));
        };
        let raised = ladder.raised(judged.nodes, wanted);
        let mut warnings = vec![
            "New agents start on other nodes; the way from there to the kubelets must be open too."
                .to_owned(),
        ];
        if judged.kills.ask_for_help() {
            warnings.push(
                "Agents that ran out of memory get help from more of them; if they are killed \
                 again, look for who sends so much through the tunnel (log streams, port-forward)."
                    .to_owned(),
            );
        }
        Ok(Proposal {
            summary: format!(
                "Run {wanted} konnectivity agents for {} nodes",
                judged.nodes
            ),
            steps: vec![Step {
                title: format!("Raise the ladder of {CONFIG_MAP} to {wanted} agents"),
                effect: Effect::ConfigMapSet(ConfigMapEffect {
                    namespace: NAMESPACE.to_owned(),
                    name: CONFIG_MAP.to_owned(),
                    key: KEY.to_owned(),
                    value: raised.to_text(),
                }),
            }],
            warnings,
        })
    }

    /// Whether as many agents as were wanted are asked for and ready, and none
    /// was restarted since.
    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        finding: &Finding,
        _steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        let judged = judge(reads, cluster)?;
        let subject: Subject = serde_json::from_str(&finding.subject)
            .map_err(|e| PluginError::Malformed(format!("subject of the finding: {e}")))?;
        let asked = judged.asked().unwrap_or_default();
        let ready = count(judged.agents.iter().filter(|a| a.pod.is_ready()).count());
        // More agents than nodes have no place of their own.
        let enough = subject.wanted.min(judged.nodes);
        let now = Subject::of(&judged).restarts;
        let restarted = now.iter().find(|(pod, restarts)| {
            let known = subject.restarts.get(*pod);
            known.is_some_and(|before| *restarts > before)
        });
        let summary = match restarted {
            Some((pod, _)) => format!("{pod} was restarted once more"),
            None => format!(
                "The ladder asks for {asked} agents of {} wanted, and {ready} are ready",
                subject.wanted
            ),
        };
        Ok(Verdict {
            mended: restarted.is_none() && asked >= subject.wanted && ready >= enough,
            summary,
            evidence: judged.evidence,
        })
    }
}

naosu_plugin::export!(KonnectivityScale);
