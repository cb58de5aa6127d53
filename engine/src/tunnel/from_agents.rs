//! The way from the agents' nodes to the kubelets, tried by itself: whether packets
//! pass, whatever the tunnel above them does.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use serde_json::Value;

use super::ClusterNode;
use crate::{
    model::{
        NodeAnswer, Observation, Query, TunnelAnswer, WayAnswers, query::ProbeResult,
        tunnel::ASKED_AT_MOST,
    },
    plugin::Reads,
};

/// The kubelet's port.
const KUBELET_PORT: u16 = 10250;
/// Nodes of agents that connections are tried from; each takes a command of some
/// twenty seconds.
const FROM_AT_MOST: usize = 2;
/// Nodes that they are tried to: as many as are asked through the tunnel.
const TO_AT_MOST: usize = ASKED_AT_MOST;
/// How long the commands are waited for.
const WAITED: Duration = Duration::from_secs(120);
/// How agents are labelled, whatever the tunnel is; plugins list them alike.
const SELECTORS: [&str; 3] = ["app=konnectivity-agent", "app=aks-link", "component=tunnel"];

/// Tries TCP from agents' nodes to the first of `to` that have an address, then to
/// other nodes. `None` where there is no agent's node, or no other node.
pub(crate) async fn from_agents(
    reads: &Arc<dyn Reads>,
    nodes: &[ClusterNode],
    to: &[String],
) -> Option<WayAnswers> {
    let from = agents_nodes(reads).await;
    let queries: Vec<Query> = from
        .iter()
        .take(FROM_AT_MOST)
        .filter_map(|from| query(from, nodes, to))
        .collect();
    let trying = join_all(queries.iter().map(|query| reads.read(query)));
    match tokio::time::timeout(WAITED, trying).await {
        Ok(tried) => among(nodes, &from, &tried),
        Err(_) => Some(WayAnswers {
            error: format!("no command ended within {} s", WAITED.as_secs()),
            ..WayAnswers::default()
        }),
    }
}

/// How agents are listed.
fn agents_queries() -> [Query; 3] {
    SELECTORS.map(|selector| Query::KubernetesList {
        api_version: "v1".to_owned(),
        object_kind: "Pod".to_owned(),
        namespace: "kube-system".to_owned(),
        label_selector: selector.to_owned(),
    })
}

/// Nodes on which an agent runs, by name.
async fn agents_nodes(reads: &Arc<dyn Reads>) -> BTreeSet<String> {
    let queries = agents_queries();
    let listed = join_all(queries.iter().map(|query| reads.read(query))).await;
    agents_nodes_among(&listed)
}

/// The same, among recorded reads.
pub(super) fn agents_nodes_among(seen: &[Arc<Observation>]) -> BTreeSet<String> {
    let queries = agents_queries();
    let listed = seen.iter().filter(|seen| queries.contains(&seen.query));
    let pods = listed.filter_map(|seen| {
        let body = seen.answer.as_ref().ok()?;
        serde_json::from_str::<Vec<Value>>(body).ok()
    });
    pods.flatten()
        .filter(|pod| text(pod, "/status/phase") == "Running")
        // One that is being deleted is no agent any more.
        .filter(|pod| text(pod, "/metadata/deletionTimestamp").is_empty())
        .map(|pod| text(&pod, "/spec/nodeName").to_owned())
        .filter(|node| !node.is_empty())
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn query(from: &str, nodes: &[ClusterNode], to: &[String]) -> Option<Query> {
    let by_name: BTreeMap<&str, &ClusterNode> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node))
        .collect();
    let wanted = to.iter().filter_map(|name| by_name.get(name.as_str()));
    let mut taken = BTreeSet::new();
    let hosts = wanted
        .copied()
        .chain(nodes)
        .filter(|node| node.name != from && taken.insert(&node.name))
        .filter_map(|node| node.addresses.first())
        .take(TO_AT_MOST)
        .map(ToString::to_string);
    let to_hosts: Vec<String> = hosts.collect();
    (!to_hosts.is_empty()).then(|| Query::TcpProbes {
        from_node: from.to_owned(),
        to_hosts,
        port: KUBELET_PORT,
    })
}

/// Whether someone tried the way to some kubelet already, from an agent's node, and
/// learnt something.
pub(super) fn is_tried(seen: &[Arc<Observation>]) -> bool {
    let agents = agents_nodes_among(seen);
    seen.iter().any(|seen| {
        let way = way(&seen.query);
        way.is_some_and(|(from, _)| agents.contains(from)) && seen.answer.is_ok()
    })
}

/// Where a read tried the way from and to, if it did.
fn way(query: &Query) -> Option<(&String, &[String])> {
    match query {
        Query::TcpProbe {
            from_node,
            to_host,
            port: KUBELET_PORT,
        } => Some((from_node, slice::from_ref(to_host))),
        Query::TcpProbes {
            from_node,
            to_hosts,
            port: KUBELET_PORT,
        } => Some((from_node, to_hosts)),
        _ => None,
    }
}

/// What the tries from these nodes came to, among recorded reads; `None` when there was
/// none.
pub(super) fn among(
    nodes: &[ClusterNode],
    from: &BTreeSet<String>,
    seen: &[Arc<Observation>],
) -> Option<WayAnswers> {
    let named = |host: &String| {
        let mut nodes = nodes.iter();
        let is = |node: &&ClusterNode| node.addresses.iter().any(|a| a.to_string() == *host);
        nodes.find(is).map_or(host, |node| &node.name).clone()
    };
    let (mut answers, mut counted) = (WayAnswers::default(), BTreeSet::new());
    let mut is_tried = false;
    for observation in seen {
        let way = way(&observation.query);
        let Some((from_node, to_hosts)) = way.filter(|(node, _)| from.contains(*node)) else {
            continue;
        };
        is_tried = true;
        match results(observation) {
            Ok(results) => {
                for (host, result) in to_hosts.iter().zip(results) {
                    if !counted.insert((from_node, host)) {
                        continue;
                    }
                    answers.tried += 1;
                    if result.reached {
                        answers.reached += 1;
                        continue;
                    }
                    answers.others.push(NodeAnswer {
                        node: named(host),
                        answer: TunnelAnswer::Silent,
                        detail: format!("from {from_node}: {}", result.error),
                    });
                }
            }
            Err(error) => answers.error = format!("from {from_node}: {error}"),
        }
    }
    if answers.tried > 0 {
        answers.error.clear();
    }
    is_tried.then_some(answers)
}

fn results(seen: &Observation) -> Result<Vec<ProbeResult>, String> {
    let body = seen.answer.as_ref().map_err(|e| e.message.clone())?;
    let results = match seen.query {
        Query::TcpProbe { .. } => serde_json::from_str(body).map(|result| vec![result]),
        _ => serde_json::from_str(body),
    };
    results.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{
        error::Code,
        model::{ObserveError, ObserveErrorKind},
    };

    fn tried(host: &String) -> Value {
        let reached = host != "10.224.0.9";
        let error = if reached { "" } else { "timed out after 3 s" };
        json!({ "reached": reached, "error": error, "elapsed_ms": 1 })
    }

    /// Agents on the first two nodes, and one elsewhere that is being deleted; from the
    /// first of them nobody may command.
    struct Estate;

    #[async_trait]
    impl Reads for Estate {
        async fn read(&self, query: &Query) -> Arc<Observation> {
            let pod = |node: &str, phase: &str| json!({ "spec": { "nodeName": node }, "status": { "phase": phase } });
            let answer = match query {
                Query::KubernetesList { label_selector, .. }
                    if label_selector == "app=konnectivity-agent" =>
                {
                    let mut going = pod("a0", "Running");
                    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    Ok(json!([
                        going,
                        pod("n0", "Running"),
                        pod("n1", "Running"),
                        pod("n2", "Pending")
                    ]))
                }
                Query::KubernetesList { .. } => Ok(json!([])),
                Query::TcpProbes { from_node, .. } if from_node == "n0" => Err(ObserveError {
                    kind: ObserveErrorKind::Forbidden,
                    code: Code::AzureForbidden,
                    message: "no".into(),
                }),
                Query::TcpProbes { to_hosts, .. } => Ok(to_hosts.iter().map(tried).collect()),
                Query::TcpProbe { to_host, .. } => Ok(tried(to_host)),
                other => panic!("{other}"),
            };
            let answer = answer.map(|body: Value| body.to_string().into());
            Arc::new(Observation {
                query: query.clone(),
                digest: Observation::digest_of(&answer),
                answer,
                version: None,
                observed_at: Timestamp::UNIX_EPOCH,
            })
        }
    }

    fn nodes(count: u8) -> Vec<ClusterNode> {
        (0..count)
            .map(|number| ClusterNode {
                name: format!("n{number}"),
                addresses: vec![[10, 224, 0, number].into()],
                excuse: None,
            })
            .collect()
    }

    #[tokio::test]
    async fn the_nodes_that_matter_are_tried_first_from_whichever_agent_may_be_commanded() {
        let reads: Arc<dyn Reads> = Arc::new(Estate);
        let to = ["n9".to_owned(), "gone".to_owned(), "n1".to_owned()];
        let tried = from_agents(&reads, &nodes(20), &to).await.unwrap();
        assert_eq!((tried.tried, tried.reached), (19, 18), "each but its own");
        assert_eq!(tried.others[0].node, "n9");
        assert_eq!(tried.others[0].detail, "from n1: timed out after 3 s");
        assert_eq!(tried.error, "");
        assert_eq!(from_agents(&reads, &nodes(0), &to).await, None);
        let Some(Query::TcpProbes { to_hosts, .. }) = query("n1", &nodes(20), &to) else {
            panic!("no query");
        };
        assert_eq!(to_hosts[..2], ["10.224.0.9", "10.224.0.0"], "not to itself");
    }

    #[tokio::test]
    async fn a_way_that_could_not_be_tried_says_why() {
        let reads: Arc<dyn Reads> = Arc::new(Estate);
        let query = query("n0", &nodes(3), &[]).unwrap();
        let seen = [reads.read(&query).await];
        let from = BTreeSet::from(["n0".to_owned()]);
        let tried = among(&nodes(3), &from, &seen).unwrap();
        assert_eq!(tried.error, "from n0: no");
    }

    #[tokio::test]
    async fn what_a_plugin_tried_from_an_agents_node_counts_once_and_other_ports_do_not() {
        let estate = Estate;
        let probe = |from: &str, host: u8, port| Query::TcpProbe {
            from_node: from.into(),
            to_host: format!("10.224.0.{host}"),
            port,
        };
        let [agents, _, _] = agents_queries();
        let both = query("n1", &nodes(3), &[]).unwrap();
        let mut seen = Vec::new();
        for query in [
            agents,
            probe("n1", 2, 443),
            probe("n5", 2, KUBELET_PORT),
            probe("n1", 9, KUBELET_PORT),
            both,
        ] {
            seen.push(estate.read(&query).await);
        }
        let from = agents_nodes_among(&seen);
        let counted = |seen: &[Arc<Observation>]| among(&nodes(3), &from, seen);
        assert!(!is_tried(&seen[..3]), "another port, and another node");
        assert_eq!(counted(&seen[..3]), None);
        assert!(is_tried(&seen[..4]));
        seen.push(estate.read(&probe("n1", 2, KUBELET_PORT)).await);
        let answers = counted(&seen).unwrap();
        assert_eq!((answers.tried, answers.reached), (3, 2));
        assert_eq!(answers.others[0].node, "10.224.0.9", "no node's address");
    }

    #[tokio::test]
    async fn a_plugins_try_that_could_not_be_made_leaves_it_to_the_host() {
        let [agents, _, _] = agents_queries();
        let refused = query("n0", &nodes(3), &[]).unwrap();
        let seen = [Estate.read(&agents).await, Estate.read(&refused).await];
        assert!(seen[1].answer.is_err());
        assert!(!is_tried(&seen));
    }
}
