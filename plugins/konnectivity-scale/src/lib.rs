//! Cause: too few konnectivity agents for the nodes, or agents killed for lack
//! of memory. Fix: the ladder that their autoscaler goes by.

mod ladder;

use naosu_plugin::{
    Capability, Cluster, ConfigMapEffect, Description, Effect, EffectKind, Evidence, Finding,
    FindingBuilder, Judgement, ObjectRef, ObserveError, Observed, Plugin, PluginError, Proposal,
    Query, Reads, Step, Symptom, TunnelNodes, TunnelType, Verdict, finding, read_json,
};
use serde::Deserialize;

use ladder::Ladder;

/// Stable id of the cause.
pub const CAUSE: &str = "konnectivity-underscaled";

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "konnectivity-agent-autoscaler";
const KEY: &str = "ladder";

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigMap {
    data: std::collections::BTreeMap<String, String>,
}

struct Judged {
    judgement: Judgement,
    summary: String,
    evidence: Vec<Evidence>,
    ladder: Option<Ladder>,
    nodes: u32,
    agents: u32,
    killed: bool,
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
            Ok(judged) => Ok(finding(CAUSE, judged.judgement, judged.summary)
                .evidence_of(judged.evidence)
                .build()),
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
        let Some(ladder) = judged.ladder else {
            return Err(PluginError::Infeasible(format!(
                "there is no ConfigMap {NAMESPACE}/{CONFIG_MAP} to change; upgrade the cluster to a \
                 version whose agents scale"
            )));
        };
        let wanted = ladder.wanted(judged.nodes, judged.agents, judged.killed);
        let raised = ladder.raised(judged.nodes, wanted);
        Ok(Proposal {
            summary: format!("Run {wanted} konnectivity agents for {} nodes", judged.nodes),
            steps: vec![Step {
                title: format!("Raise the ladder of {CONFIG_MAP} to {wanted} agents"),
                effect: Effect::ConfigMapSet(ConfigMapEffect {
                    namespace: NAMESPACE.to_owned(),
                    name: CONFIG_MAP.to_owned(),
                    key: KEY.to_owned(),
                    value: raised.to_text(),
                }),
            }],
            warnings: vec![
                "New agents start on other nodes; the way from there to the kubelets must be open too."
                    .to_owned(),
            ],
        })
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        _steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        let judged = judge(reads, cluster)?;
        Ok(Verdict {
            mended: judged.judgement == Judgement::RuledOut,
            summary: judged.summary,
            evidence: judged.evidence,
        })
    }
}

fn judge(reads: &dyn Reads, cluster: &Cluster) -> Result<Judged, PluginError> {
    let observed = TunnelNodes::observe(reads, cluster)?;
    let tunnel = &observed.tunnel;
    let nodes = u32::try_from(observed.nodes.len()).unwrap_or(u32::MAX);
    let agents = u32::try_from(tunnel.agents.len()).unwrap_or(u32::MAX);
    let mut judged = Judged {
        judgement: Judgement::RuledOut,
        summary: String::new(),
        evidence: Vec::new(),
        ladder: None,
        nodes,
        agents,
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
    let asked = judged.ladder.as_ref().map(|ladder| ladder.agents(nodes));
    (judged.judgement, judged.summary) = match asked {
        _ if judged.killed => (
            Judgement::Confirmed,
            format!("Agents run out of memory: {agents} agents for {nodes} nodes"),
        ),
        Some(asked) if asked < recommended => (
            Judgement::Confirmed,
            format!("The ladder asks for {asked} agents where {nodes} nodes need {recommended}"),
        ),
        _ => (
            Judgement::RuledOut,
            format!(
                "The ladder asks for enough agents for {nodes} nodes and none ran out of memory"
            ),
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
        judged.agents
    );
    judged
        .evidence
        .push(map.evidence(format!("data.{KEY}"), text, meaning));
    judged.ladder = Some(ladder);
    Ok(())
}

naosu_plugin::export!(KonnectivityScale);
