//! A run's own probe of the nodes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::{ClusterNode, answers::answers, from_agents, from_agents::is_tried, read_nodes};
use crate::{
    model::{
        Observation, Query, TunnelAnswers,
        tunnel::{ASKED_AT_MOST, NAMED_AT_MOST},
    },
    plugin::Reads,
};

/// How many nodes are asked at once. A silent one takes the API server's own time
/// limit.
const CONCURRENT: usize = 32;
/// After so long no further node is asked: a large cluster that is silent as a
/// whole shows that by a part of it.
const ASKED_FOR: Duration = Duration::from_secs(60);

/// Asks the kubelets of `nodes`, and for a log on each: those named in `first`, in
/// that order, then the others, within bounds on number and time. How many were not
/// asked is told.
pub(crate) async fn ask(
    reads: &Arc<dyn Reads>,
    nodes: &[ClusterNode],
    first: &[String],
) -> TunnelAnswers {
    ask_at_most(ASKED_AT_MOST, reads, nodes, first).await
}

/// What a diagnosis asks by itself: fewer nodes, as plugins ask them all. The answers
/// are found among what was read.
pub(crate) async fn look(reads: &Arc<dyn Reads>, first: &[String]) -> Option<Looked> {
    let nodes = read_nodes(reads).await.ok()?;
    let answers = ask_at_most(NAMED_AT_MOST, reads, &nodes, first).await;
    let silent = answers.unreached().map(|node| node.node.clone());
    let ways_wanted = first.iter().cloned().chain(silent).collect();
    Some(Looked { nodes, ways_wanted })
}

/// What [`look`] saw.
pub(crate) struct Looked {
    nodes: Vec<ClusterNode>,
    /// Nodes that were named or are silent.
    ways_wanted: Vec<String>,
}

impl Looked {
    /// The way from the agents' nodes, where `first` names nodes or some are silent, unless
    /// a plugin has tried it: a command on a node takes long.
    pub(crate) async fn ways(self, reads: &Arc<dyn Reads>, seen: &[Arc<Observation>]) {
        if !self.ways_wanted.is_empty() && !is_tried(seen) {
            from_agents(reads, &self.nodes, &self.ways_wanted).await;
        }
    }
}

/// What one node gave.
struct Probed {
    node: String,
    health: Arc<Observation>,
    log: Arc<Observation>,
}

async fn ask_at_most(
    at_most: usize,
    reads: &Arc<dyn Reads>,
    nodes: &[ClusterNode],
    first: &[String],
) -> TunnelAnswers {
    let until = Instant::now() + ASKED_FOR;
    let order = in_order(nodes, first, at_most);
    let probes = order.into_iter().map(|node| async move {
        if Instant::now() >= until {
            return None;
        }
        let health = Query::TunnelProbe { node: node.clone() };
        let log = Query::LogProbe { node: node.clone() };
        let (health, log) = tokio::join!(reads.read(&health), reads.read(&log));
        Some(Probed { node, health, log })
    });
    let probed: Vec<Option<Probed>> = stream::iter(probes).buffered(CONCURRENT).collect().await;
    let probed = || probed.iter().flatten();
    let health: Vec<(&str, &Observation)> = probed()
        .map(|probed| (probed.node.as_str(), &*probed.health))
        .collect();
    let logs: Vec<(&str, &Observation)> = probed()
        .map(|probed| (probed.node.as_str(), &*probed.log))
        .collect();
    answers(nodes.len(), &health, &logs, at_most)
}

/// Whom to ask.
fn in_order(nodes: &[ClusterNode], first: &[String], at_most: usize) -> Vec<String> {
    let known: HashSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let first = first.iter().filter_map(|name| known.get(name.as_str()));
    let all = nodes.iter().map(|node| node.name.as_str());
    let mut taken = HashSet::new();
    first
        .copied()
        .chain(all)
        .filter(|name| taken.insert(*name))
        .take(at_most)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// Kubelets that take so long to answer.
    struct Slow(Duration);

    #[async_trait]
    impl Reads for Slow {
        async fn read(&self, query: &Query) -> Arc<Observation> {
            tokio::time::sleep(self.0).await;
            let answer = Ok(json!({ "reached": true, "error": "", "elapsed_ms": 1 })
                .to_string()
                .into());
            Arc::new(Observation {
                query: query.clone(),
                digest: Observation::digest_of(&answer),
                answer,
                version: None,
                observed_at: Timestamp::UNIX_EPOCH,
            })
        }
    }

    fn nodes(count: usize) -> Vec<ClusterNode> {
        (0..count)
            .map(|number| ClusterNode {
                name: format!("node-{number:04}"),
                addresses: vec![],
                excuse: None,
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_far_down_the_list_is_asked_when_it_is_named_and_the_unasked_are_counted() {
        let reads: Arc<dyn Reads> = Arc::new(Slow(Duration::from_millis(1)));
        let first = ["node-0900", "gone", "node-0900", "node-0002"].map(str::to_owned);
        let answers = ask(&reads, &nodes(1000), &first).await;
        assert_eq!(
            answers.reached_nodes[..3],
            ["node-0000", "node-0001", "node-0002"]
        );
        assert!(answers.reached_nodes.contains(&"node-0900".to_owned()));
        let asked = u32::try_from(ASKED_AT_MOST).unwrap();
        assert_eq!((answers.nodes, answers.asked), (1000, asked));
        assert!(answers.in_words().contains("872 more were not asked"));
        let order = in_order(&nodes(5), &first, 4);
        assert_eq!(order[..2], ["node-0002", "node-0000"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_is_slow_as_a_whole_is_asked_for_a_bounded_time() {
        let begun = Instant::now();
        let reads: Arc<dyn Reads> = Arc::new(Slow(Duration::from_secs(40)));
        let answers = ask(&reads, &nodes(1000), &[]).await;
        assert_eq!((answers.asked, answers.nodes), (64, 1000));
        assert!(begun.elapsed() <= Duration::from_secs(100));
    }
}
