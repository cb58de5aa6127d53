//! How many reads of one snapshot are under way at once, and who waits for whom.
//! A command on a node takes some twenty seconds and little else; a request to an
//! API is short. Neither must wait for the other.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore, SemaphorePermit};

use crate::model::Query;

/// Requests to APIs.
const CONCURRENT_REQUESTS: usize = 32;
/// Commands on nodes. Each asks Azure every five seconds whether it has ended, and
/// Azure grants a subscription 25 reads a second.
const CONCURRENT_COMMANDS: usize = 128;
/// Commands on nodes that lead, beside the others.
const CONCURRENT_LEADING: usize = 32;

/// Where reads wait.
pub(super) struct Lanes {
    requests: Semaphore,
    commands: Semaphore,
    leading: Semaphore,
    leaders: Mutex<BTreeSet<String>>,
    /// A node runs one command at a time; those that wait for it hold no one up.
    turns: Mutex<HashMap<String, Arc<Turn<()>>>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            requests: Semaphore::new(CONCURRENT_REQUESTS),
            commands: Semaphore::new(CONCURRENT_COMMANDS),
            leading: Semaphore::new(CONCURRENT_LEADING),
            leaders: Mutex::default(),
            turns: Mutex::default(),
        }
    }
}

/// Held while a read is under way.
pub(super) struct Pass<'a> {
    _turn: Option<OwnedMutexGuard<()>>,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Lanes {
    /// Names nodes whose commands wait for no other node's.
    pub(super) fn lead(&self, nodes: impl IntoIterator<Item = String>) {
        let mut leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        leaders.extend(nodes);
    }

    /// Waits until a read may begin.
    pub(super) async fn enter(&self, query: &Query) -> Pass<'_> {
        let (turn, lane) = match commanded(query) {
            None => (None, &self.requests),
            Some(node) => {
                let turn = self.turn(node).lock_owned().await;
                (Some(turn), self.lane_of(node))
            }
        };
        Pass {
            _turn: turn,
            // A semaphore here is never closed.
            _permit: lane.acquire().await.ok(),
        }
    }

    fn turn(&self, node: &str) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(node.to_owned()).or_default())
    }

    fn lane_of(&self, node: &str) -> &Semaphore {
        let leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        if leaders.contains(node) {
            &self.leading
        } else {
            &self.commands
        }
    }
}

/// The node that a read commands, if it does.
fn commanded(query: &Query) -> Option<&str> {
    match query {
        Query::Node { node, .. } => Some(node),
        Query::TcpProbe { from_node, .. } | Query::TcpProbes { from_node, .. } => Some(from_node),
        Query::AzureGet { .. }
        | Query::AzureList { .. }
        | Query::AzureMetric { .. }
        | Query::KubernetesGet { .. }
        | Query::KubernetesList { .. }
        | Query::TunnelProbe { .. }
        | Query::LogProbe { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::model::query::NodeObservation;

    const COMMAND: Duration = Duration::from_secs(20);

    fn command(node: usize, what: NodeObservation) -> Query {
        Query::Node {
            node: format!("node-{node}"),
            what,
        }
    }

    /// Runs a command of twenty seconds; when it ended.
    async fn run(lanes: &Lanes, query: Query) -> Duration {
        let begun = Instant::now();
        let _pass = lanes.enter(&query).await;
        sleep(COMMAND).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn commands_of_a_thousand_nodes_hold_up_no_request_and_end_in_minutes() {
        let lanes = Lanes::default();
        let commands = (0..1000)
            .flat_map(|node| {
                [NodeObservation::UfwRules, NodeObservation::FirewallRuleset]
                    .map(|what| command(node, what))
            })
            .map(|query| run(&lanes, query));
        let request = async {
            sleep(Duration::from_secs(1)).await;
            let begun = Instant::now();
            let query = Query::AzureGet {
                resource: "/r".into(),
            };
            drop(lanes.enter(&query).await);
            begun.elapsed()
        };
        let (ended, waited) = tokio::join!(join_all(commands), request);
        assert_eq!(waited, Duration::ZERO);
        let last = ended.into_iter().max().unwrap();
        assert!(last <= Duration::from_secs(400), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_leads_waits_for_no_other_and_each_for_its_own_turn() {
        let lanes = Lanes::default();
        lanes.lead(["node-900".to_owned()]);
        let all = (0..1000).map(|node| run(&lanes, command(node, NodeObservation::UfwRules)));
        let ended = join_all(all).await;
        assert_eq!(ended[900], COMMAND);
        assert!(ended[899] > COMMAND);
        let twice = [NodeObservation::UfwRules, NodeObservation::UfwStatus];
        let twice = twice.map(|what| run(&lanes, command(1, what)));
        let ended = join_all(twice).await;
        assert_eq!(ended, [COMMAND, 2 * COMMAND]);
    }
}
