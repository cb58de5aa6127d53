//! Whether there are enough agents for the nodes, with memory enough for each.

use std::collections::BTreeMap;

use naosu_plugin::{
    Agent, Cluster, Evidence, Judgement, ObjectRef, ObserveError, Observed, PluginError, Query,
    Reads, TunnelNodes, TunnelType, listed, read_json,
};
use serde::Deserialize;

use crate::{
    CONFIG_MAP, KEY, NAMESPACE, cores,
    kills::{Kills, Weight},
    ladder::Ladder,
};

/// Agents that may be missing: one is evicted, restarted or moved now and then, and
/// the others stand in for it.
const SPARE: u32 = 1;
const RUNNING: &str = "Running";

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigMap {
    data: BTreeMap<String, String>,
}

/// What was found.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    /// Why another ladder does not help.
    pub infeasible: Option<String>,
    pub ladder: Option<Ladder>,
    /// Nodes that take new pods.
    pub nodes: u32,
    /// Their cores; read only where the ladder goes by them.
    cores: Option<u32>,
    pub agents: Vec<Agent>,
    pub kills: Kills,
}

impl Judged {
    /// Agents whose pods run, ready or not.
    fn running(&self) -> u32 {
        let agents = self.agents.iter();
        count(agents.filter(|a| a.pod.status.phase == RUNNING).count())
    }

    /// Agents that the ladder asks for.
    pub fn asked(&self) -> Option<u32> {
        let ladder = self.ladder.as_ref()?;
        Some(ladder.agents(self.nodes, self.cores))
    }

    /// Agents that there should be; none without a ladder to ask for them.
    pub fn wanted(&self) -> Option<u32> {
        let ladder = self.ladder.as_ref()?;
        let killed = self.kills.ask_for_help();
        Some(ladder.wanted(self.nodes, self.cores, self.running(), killed))
    }

    fn conclude(&mut self, judgement: Judgement, summary: impl Into<String>) {
        self.judgement = judgement;
        self.summary = summary.into();
    }
}

/// A length as a number of agents or nodes.
pub fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Why no ladder can be raised where there is none.
pub fn no_ladder() -> String {
    format!(
        "there is no ConfigMap {NAMESPACE}/{CONFIG_MAP} to change; upgrade the cluster to a \
         version whose agents scale"
    )
}

/// Why another ladder does not help where this one asks for enough already.
fn asked_already(asked: u32) -> String {
    format!(
        "the ladder asks for {asked} agents already, and raising it brings none; see why the \
         others do not start (kubectl -n {NAMESPACE} describe pods -l app=konnectivity-agent: \
         taints, no room) and whether the autoscaler runs (kubectl -n {NAMESPACE} get deployment \
         {CONFIG_MAP})"
    )
}

/// Judges.
///
/// # Errors
/// When something that decides cannot be read or makes no sense.
pub fn judge(reads: &dyn Reads, cluster: &Cluster) -> Result<Judged, PluginError> {
    let observed = TunnelNodes::observe(reads, cluster)?;
    let tunnel = &observed.tunnel;
    // The autoscaler counts nodes that take new pods, taints or not.
    let schedulable = observed.nodes.iter().filter(|n| !n.spec.unschedulable);
    let kills = Kills::of(&tunnel.agents, tunnel.observed_at);
    let mut judged = Judged {
        judgement: Judgement::RuledOut,
        summary: String::new(),
        evidence: kills.evidence.clone(),
        infeasible: None,
        ladder: None,
        nodes: count(schedulable.count()),
        cores: None,
        agents: tunnel.agents.clone(),
        kills,
    };
    if tunnel.tunnel_type == TunnelType::NotFound {
        judged.conclude(
            Judgement::Unknown,
            "Neither a tunnel agent nor a deployment of some is seen: which kind of tunnel it is, \
             and how many agents it has, is not known",
        );
        return Ok(judged);
    }
    if tunnel.tunnel_type != TunnelType::Konnectivity {
        judged.summary = format!("There is no konnectivity ({})", tunnel.tunnel_type.name());
        return Ok(judged);
    }
    let query = Query::KubernetesGet(ObjectRef {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: CONFIG_MAP.to_owned(),
    });
    match read_json::<ConfigMap>(reads, &query) {
        Ok(map) => read_ladder(reads, &map, &mut judged)?,
        Err(PluginError::Observation(ObserveError::NotFound(_))) => {}
        Err(error) => return Err(error),
    }
    weigh(&mut judged, tunnel.observed_at);
    Ok(judged)
}

fn weigh(judged: &mut Judged, observed_at: u64) {
    let (nodes, running) = (judged.nodes, judged.running());
    let recommended = Ladder::of_aks().agents(nodes, None);
    let asked = judged.asked();
    let needed = recommended.max(asked.unwrap_or_default());
    let is_asked_known =
        judged.cores.is_some() || !judged.ladder.as_ref().is_some_and(Ladder::goes_by_cores);
    judged.evidence.push(Evidence {
        resource: format!("pod/{NAMESPACE}"),
        field: "pods of app=konnectivity-agent that run".to_owned(),
        value: running.to_string(),
        observed_at,
        meaning: format!("{nodes} nodes that take pods need {needed} agents"),
    });
    if judged.ladder.is_none() {
        judged.infeasible = Some(no_ladder());
    }
    match asked {
        _ if judged.kills.weight == Some(Weight::Now) => {
            let summary = format!("Agents run out of memory: {running} agents for {nodes} nodes");
            judged.conclude(Judgement::Confirmed, summary);
        }
        Some(asked) if asked < recommended && !is_asked_known => judged.conclude(
            Judgement::Unknown,
            "The ladder goes by the nodes' cores, which they do not tell: whether it asks for \
             enough agents is not known",
        ),
        Some(asked) if asked < recommended => {
            let summary = format!(
                "The ladder asks for {asked} agents where {nodes} nodes need {recommended}"
            );
            judged.conclude(Judgement::Confirmed, summary);
        }
        // That is another cause, and no number of a ladder brings one.
        _ if running == 0 => judged.conclude(
            Judgement::RuledOut,
            "No agent runs at all, which is no question of how many are asked for",
        ),
        asked if running.saturating_add(SPARE) < needed => {
            if let Some(asked) = asked {
                judged.infeasible = Some(asked_already(asked));
            }
            let summary = format!("{running} agents run where {nodes} nodes need {needed}");
            judged.conclude(Judgement::Suspected, summary);
        }
        _ if judged.kills.weight == Some(Weight::Once) => {
            let summary = format!(
                "An agent ran out of memory and runs since: {running} agents for {nodes} nodes"
            );
            judged.conclude(Judgement::Suspected, summary);
        }
        _ => {
            let memory = match judged.kills.weight {
                None => "none ran out of memory",
                Some(_) => "none ran out of memory for a day",
            };
            let asked = match asked {
                Some(asked) => format!("the ladder asks for {asked}"),
                None => "there is no ladder".to_owned(),
            };
            let summary = format!(
                "{running} agents run where {nodes} nodes need {needed}, {asked}, and {memory}"
            );
            judged.conclude(Judgement::RuledOut, summary);
        }
    }
    if matches!(judged.judgement, Judgement::RuledOut | Judgement::Unknown) {
        judged.infeasible = None;
    }
}

fn read_ladder(
    reads: &dyn Reads,
    map: &Observed<ConfigMap>,
    judged: &mut Judged,
) -> Result<(), PluginError> {
    let malformed =
        |reason: String| PluginError::Malformed(format!("{} data.{KEY}: {reason}", map.resource));
    let Some(text) = map.value.data.get(KEY) else {
        let others = listed(map.value.data.keys(), ", ");
        return Err(malformed(format!(
            "it is not there; the keys are: {others}"
        )));
    };
    let ladder = Ladder::parse(text).map_err(malformed)?;
    if ladder.goes_by_cores() {
        judged.cores = cores::of_nodes(reads)?;
    }
    let cores = match judged.cores {
        Some(cores) => format!(" with {cores} cores"),
        None => String::new(),
    };
    let meaning = format!(
        "{} agents for {} nodes{cores}, of which {} run",
        ladder.agents(judged.nodes, judged.cores),
        judged.nodes,
        judged.running()
    );
    judged
        .evidence
        .push(map.evidence(format!("data.{KEY}"), text.as_str(), meaning));
    judged.ladder = Some(ladder);
    Ok(())
}
