//! Who holds the ports of a node that runs out of them.

use std::{collections::BTreeMap, net::IpAddr};

use naosu_plugin::{
    Cluster, Evidence, Finding, Judgement, NodeObservation, NodeQuery, ObjectList, Observation,
    Observed, PluginError, Query, Reads, finding,
    kubernetes::Pod,
    read_json,
    snat::{CAUSE, ShortNode, SnatJudgement},
};

use crate::{
    ADVICE,
    connections::{Connections, Source, parse},
};

/// Nodes that are looked at, the worst first: each takes a command on the node.
const NODES_LOOKED_AT: usize = 3;
/// Holders of a node that are shown.
const HOLDERS_SHOWN: usize = 5;
/// Destinations of a holder that are shown.
const DESTINATIONS_SHOWN: usize = 3;

/// Somebody who holds ports of a node.
#[derive(Clone, Debug)]
struct Holder {
    who: String,
    count: u64,
    destinations: Vec<String>,
}

/// A node and who holds its ports, the most first.
struct Held<'a> {
    node: &'a ShortNode,
    total: u64,
    holders: Vec<Holder>,
    observed_at: u64,
}

impl Held<'_> {
    /// Who holds at least half of them.
    fn most(&self) -> Option<&Holder> {
        let first = self.holders.first()?;
        (first.count * 2 >= self.total).then_some(first)
    }

    fn evidence(&self) -> impl Iterator<Item = Evidence> {
        self.holders
            .iter()
            .take(HOLDERS_SHOWN)
            .map(|holder| Evidence {
                resource: format!("node/{}", self.node.name),
                field: format!("outbound connections of {}", holder.who),
                value: format!("{} of {}", holder.count, self.total),
                observed_at: self.observed_at,
                meaning: format!(
                    "each to one destination holds a SNAT port; most go to {}",
                    holder.destinations.join(", ")
                ),
            })
    }
}

pub fn diagnose(reads: &dyn Reads, cluster: &Cluster) -> Result<Finding, PluginError> {
    let judged = match SnatJudgement::observe(reads, cluster) {
        Ok(judged) => judged,
        Err(error) => return Ok(SnatJudgement::unreadable(&error)),
    };
    if judged.to_mend().is_err() {
        return Ok(judged.finding().build());
    }
    match look(reads, &judged.short) {
        Ok(held) => Ok(conclude(&judged, &held)),
        Err(error) => Ok(SnatJudgement::unreadable(&error)),
    }
}

/// Confirmed where connections fail and one workload holds most of the ports;
/// where the ports are spread, reuse in no one place would be enough.
fn conclude(judged: &SnatJudgement, held: &[Held<'_>]) -> Finding {
    let found = held.iter().find_map(|held| Some((held, held.most()?)));
    let (judgement, summary) = match found {
        Some((held, most)) => (
            if held.node.cuts_the_tunnel() {
                judged.judgement
            } else {
                Judgement::Suspected
            },
            format!(
                "{} holds {} of the {} outbound connections of {}, which runs out of SNAT ports: \
                 {ADVICE}",
                most.who, most.count, held.total, held.node.name
            ),
        ),
        None => (
            Judgement::Suspected,
            format!(
                "No one workload holds most of the outbound connections of {}: reusing them would \
                 have to begin with several",
                held.first()
                    .map_or("the node", |held| held.node.name.as_str())
            ),
        ),
    };
    finding(CAUSE, judgement, summary)
        .evidence_of(judged.evidence.iter().cloned())
        .evidence_of(held.iter().flat_map(Held::evidence))
        .build()
}

/// Looks at the nodes that are short, the worst first.
///
/// # Errors
/// When none of them can be read, or no pod.
fn look<'a>(reads: &dyn Reads, short: &'a [ShortNode]) -> Result<Vec<Held<'a>>, PluginError> {
    let nodes: Vec<&ShortNode> = short.iter().take(NODES_LOOKED_AT).collect();
    let queries: Vec<Query> = nodes
        .iter()
        .map(|node| {
            Query::Node(NodeQuery {
                node: node.name.clone(),
                what: NodeObservation::OutboundConnections,
            })
        })
        .collect();
    let mut read: Vec<(&ShortNode, Observation, Vec<Connections>)> = Vec::new();
    let mut failed = None;
    for (node, answer) in nodes.into_iter().zip(reads.read_many(&queries)) {
        match answer {
            Ok(observation) => {
                let connections = parse(&observation.body);
                read.push((node, observation, connections));
            }
            Err(error) => failed = Some(PluginError::Observation(error)),
        }
    }
    if let (true, Some(error)) = (read.is_empty(), failed) {
        return Err(error);
    }
    let mut sources = read.iter().flat_map(|(_, _, connections)| connections);
    let pods = if sources.any(|c| matches!(c.source, Source::Address(_))) {
        pods_by_address(reads)?
    } else {
        BTreeMap::new()
    };
    Ok(read
        .into_iter()
        .map(|(node, observation, connections)| held(node, &observation, connections, &pods))
        .collect())
}

fn held<'a>(
    node: &'a ShortNode,
    observation: &Observation,
    connections: Vec<Connections>,
    pods: &BTreeMap<IpAddr, String>,
) -> Held<'a> {
    let mut by_source: BTreeMap<Source, Vec<Connections>> = BTreeMap::new();
    for one in connections {
        // The kernel tracks the node's own connections too; those are known by
        // their process already.
        let is_nodes_own = matches!(&one.source, Source::Address(a) if Some(*a) == node.address);
        if !is_nodes_own {
            by_source.entry(one.source.clone()).or_default().push(one);
        }
    }
    let mut holders: Vec<Holder> = by_source
        .into_iter()
        .map(|(source, mut connections)| {
            connections.sort_by_key(|one| std::cmp::Reverse(one.count));
            let who = match source {
                Source::Process(name) if name == "-" => {
                    "a process on the node that is not known".to_owned()
                }
                Source::Process(name) => format!("process {name} on the node"),
                Source::Address(address) => pods
                    .get(&address)
                    .map_or_else(|| format!("address {address}"), |pod| format!("pod {pod}")),
            };
            Holder {
                who,
                count: connections.iter().map(|one| one.count).sum(),
                destinations: connections
                    .into_iter()
                    .take(DESTINATIONS_SHOWN)
                    .map(|one| one.destination)
                    .collect(),
            }
        })
        .collect();
    holders.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.who.cmp(&b.who)));
    Held {
        node,
        total: holders.iter().map(|holder| holder.count).sum(),
        holders,
        observed_at: observation.observed_at,
    }
}

/// Pods with an address of their own, by it; also those that are being deleted, which hold
/// theirs to the end.
fn pods_by_address(reads: &dyn Reads) -> Result<BTreeMap<IpAddr, String>, PluginError> {
    let query = Query::KubernetesList(ObjectList {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: String::new(),
        label_selector: String::new(),
    });
    let pods: Observed<Vec<Pod>> = read_json(reads, &query)?;
    Ok(pods
        .value
        .into_iter()
        .filter(|pod| !pod.has_ended() && !pod.spec.host_network)
        .filter_map(|pod| {
            let address = pod.status.pod_ip.parse().ok()?;
            Some((
                address,
                format!("{}/{}", pod.metadata.namespace, pod.metadata.name),
            ))
        })
        .collect())
}
