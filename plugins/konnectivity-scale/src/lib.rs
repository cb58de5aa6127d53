//! Cause: too few konnectivity agents for the nodes, or agents killed for lack
//! of memory. Fix: the ladder that their autoscaler goes by.

mod ladder;

use std::collections::BTreeMap;

use naosu_plugin::{
    Agent, Capability, Cluster, ConfigMapEffect, Description, Effect, EffectKind, Evidence,
    Finding, FindingBuilder, Judgement, ObjectRef, ObserveError, Observed, Plugin, PluginError,
    Proposal, Query, Reads, Step, Symptom, TunnelNodes, TunnelType, Verdict, finding, read_json,
};
use serde::{Deserialize, Serialize};

use ladder::Ladder;

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

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigMap {
    data: BTreeMap<String, String>,
}

struct Judged {
    judgement: Judgement,
    summary: String,
    evidence: Vec<Evidence>,
    ladder: Option<Ladder>,
    nodes: u32,
    agents: Vec<Agent>,
    killed: bool,
}

impl Judged {
    fn running(&self) -> u32 {
        count(self.agents.len())
    }

    /// Agents that there should be; none without a ladder to ask for them.
    fn wanted(&self) -> Option<u32> {
        let ladder = self.ladder.as_ref()?;
        Some(ladder.wanted(self.nodes, self.running(), self.killed))
    }

    fn subject(&self) -> Subject {
        let restarts = |agent: &Agent| {
            let containers = agent.pod.status.container_statuses.iter();
            let restarts = containers.map(|c| c.restart_count).sum();
            (agent.pod.metadata.name.clone(), restarts)
        };
        Subject {
            wanted: self.wanted().unwrap_or_default(),
            restarts: self.agents.iter().map(restarts).collect(),
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
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
                let subject = serde_json::to_value(judged.subject()).unwrap_or_default();
                let is_found = judged.judgement != Judgement::RuledOut;
                let infeasible = (is_found && judged.ladder.is_none()).then(no_ladder);
                Ok(finding(CAUSE, judged.judgement, judged.summary)
                    .evidence_of(judged.evidence)
                    .infeasible(infeasible)
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
        if judged.judgement == Judgement::RuledOut {
            return Err(PluginError::NothingToDo(judged.summary));
        }
        let (Some(wanted), Some(ladder)) = (judged.wanted(), &judged.ladder) else {
            return Err(PluginError::Infeasible(no_ladder()));
        };
        let raised = ladder.raised(judged.nodes, wanted);
        let mut warnings = vec![
            "New agents start on other nodes; the way from there to the kubelets must be open too."
                .to_owned(),
        ];
        if judged.killed {
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
        let asked = judged.ladder.as_ref().map_or(0, |l| l.agents(judged.nodes));
        let ready = count(judged.agents.iter().filter(|a| a.pod.is_ready()).count());
        // More agents than nodes have no place of their own.
        let enough = subject.wanted.min(judged.nodes);
        let now = judged.subject().restarts;
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

fn no_ladder() -> String {
    format!(
        "there is no ConfigMap {NAMESPACE}/{CONFIG_MAP} to change; upgrade the cluster to a \
         version whose agents scale"
    )
}

fn judge(reads: &dyn Reads, cluster: &Cluster) -> Result<Judged, PluginError> {
    let observed = TunnelNodes::observe(reads, cluster)?;
    let tunnel = &observed.tunnel;
    // The autoscaler counts nodes that take new pods, taints or not.
    let schedulable = observed.nodes.iter().filter(|n| !n.spec.unschedulable);
    let nodes = count(schedulable.count());
    let mut judged = Judged {
        judgement: Judgement::RuledOut,
        summary: String::new(),
        evidence: Vec::new(),
        ladder: None,
        nodes,
        agents: tunnel.agents.clone(),
        killed: false,
    };
    if tunnel.tunnel_type != TunnelType::Konnectivity {
        judged.summary = format!("There is no konnectivity ({})", tunnel.tunnel_type.name());
        return Ok(judged);
    }
    for agent in &tunnel.agents {
        let ended = agent.pod.status.container_statuses.iter();
        let mut ended = ended.flat_map(|c| [&c.last_state.terminated, &c.state.terminated]);
        if ended.any(|end| end.as_ref().is_some_and(|end| end.reason == "OOMKilled")) {
            judged.killed = true;
            judged.evidence.push(Evidence {
                resource: format!("pod/{NAMESPACE}/{}", agent.pod.metadata.name),
                field: "status.containerStatuses.lastState.terminated.reason".to_owned(),
                value: "OOMKilled".to_owned(),
                observed_at: tunnel.observed_at,
                meaning: "the agent carries more than its memory allows".to_owned(),
            });
        }
    }
    let query = Query::KubernetesGet(ObjectRef {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: CONFIG_MAP.to_owned(),
    });
    match read_json::<ConfigMap>(reads, &query) {
        Ok(map) => read_ladder(&map, &mut judged)?,
        Err(PluginError::Observation(ObserveError::NotFound(_))) => {}
        Err(error) => return Err(error),
    }
    let recommended = Ladder::of_aks().agents(nodes);
    let running = judged.running();
    let asked = judged.ladder.as_ref().map(|ladder| ladder.agents(nodes));
    (judged.judgement, judged.summary) = match asked {
        _ if judged.killed => (
            Judgement::Confirmed,
            format!("Agents run out of memory: {running} agents for {nodes} nodes"),
        ),
        Some(asked) if asked < recommended => (
            Judgement::Confirmed,
            format!("The ladder asks for {asked} agents where {nodes} nodes need {recommended}"),
        ),
        Some(_) => (
            Judgement::RuledOut,
            format!(
                "The ladder asks for enough agents for {nodes} nodes and none ran out of memory"
            ),
        ),
        None => (
            Judgement::RuledOut,
            "There is no ladder to ask for too few agents, and none ran out of memory".to_owned(),
        ),
    };
    Ok(judged)
}

fn read_ladder(map: &Observed<ConfigMap>, judged: &mut Judged) -> Result<(), PluginError> {
    let text = map
        .value
        .data
        .get(KEY)
        .map(String::as_str)
        .unwrap_or_default();
    let ladder = Ladder::parse(text).map_err(|reason| {
        PluginError::Malformed(format!("{} data.{KEY}: {reason}", map.resource))
    })?;
    let meaning = format!(
        "{} agents for {} nodes, of which {} run",
        ladder.agents(judged.nodes),
        judged.nodes,
        judged.running()
    );
    judged
        .evidence
        .push(map.evidence(format!("data.{KEY}"), text, meaning));
    judged.ladder = Some(ladder);
    Ok(())
}

naosu_plugin::export!(KonnectivityScale);
