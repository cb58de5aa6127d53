//! The way from the agents' nodes to the kubelets, tried by itself: whether packets
//! pass, whatever the tunnel above them does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use serde_json::Value;

use super::ClusterNode;
use crate::{
    model::{NodeAnswer, Observation, Query, TunnelAnswer, WayAnswers, query::ProbeResult},
    plugin::Reads,
};

/// The kubelet's port.
const KUBELET_PORT: u16 = 10250;
/// Nodes of agents that connections are tried from; each takes a command of some
/// twenty seconds.
const FROM_AT_MOST: usize = 2;
/// Nodes that they are tried to.
const TO_AT_MOST: usize = 8;
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
        Ok(tried) => among(nodes, &tried),
        Err(_) => Some(WayAnswers {
            error: format!("no command ended within {} s", WAITED.as_secs()),
            ..WayAnswers::default()
        }),
    }
}

/// Nodes on which an agent runs, by name.
async fn agents_nodes(reads: &Arc<dyn Reads>) -> BTreeSet<String> {
    let queries = SELECTORS.map(|selector| Query::KubernetesList {
        api_version: "v1".to_owned(),
        object_kind: "Pod".to_owned(),
        namespace: "kube-system".to_owned(),
        label_selector: selector.to_owned(),
    });
    let listed = join_all(queries.iter().map(|query| reads.read(query))).await;
    let pods = listed.iter().filter_map(|seen| {
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

/// What the tries among recorded reads came to; `None` when there was none.
pub(super) fn among(nodes: &[ClusterNode], seen: &[Arc<Observation>]) -> Option<WayAnswers> {
    let named = |host: &String| {
        let mut nodes = nodes.iter();
        let is = |node: &&ClusterNode| node.addresses.iter().any(|a| a.to_string() == *host);
        nodes.find(is).map_or(host, |node| &node.name).clone()
    };
    let (mut answers, mut is_tried) = (WayAnswers::default(), false);
    for observation in seen {
        let Query::TcpProbes {
            from_node,
            to_hosts,
            ..
        } = &observation.query
        else {
            continue;
        };
        is_tried = true;
        let body = observation.answer.as_ref().map_err(|e| e.message.clone());
        let results = body.and_then(|body| {
            serde_json::from_str::<Vec<ProbeResult>>(body).map_err(|e| e.to_string())
        });
        match results {
            Ok(results) => {
                for (host, result) in to_hosts.iter().zip(results) {
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
                Query::TcpProbes { to_hosts, .. } => Ok(to_hosts
                    .iter()
                    .map(|host| {
                        let reached = host != "10.224.0.9";
                        let error = if reached { "" } else { "timed out after 3 s" };
                        json!({ "reached": reached, "error": error, "elapsed_ms": 1 })
                    })
                    .collect()),
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
        assert_eq!((tried.tried, tried.reached), (8, 7));
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
        assert_eq!(among(&nodes(3), &seen).unwrap().error, "from n0: no");
    }
}
