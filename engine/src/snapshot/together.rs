//! TCP connections that share one command. Each command on a node takes some twenty
//! seconds, a connection three at most: those that wait for the same node's turn are
//! tried in one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::missing;
use crate::{
    driver::Reading,
    error::Code,
    model::{ObserveError, Query, query::ProbeResult},
};

/// Connections of one command.
const HOSTS_AT_MOST: usize = 8;

type Answer = Result<Reading, ObserveError>;

/// Connections that are waited for, by node and port.
#[derive(Default)]
pub(super) struct Together {
    places: Mutex<BTreeMap<(String, u16), Place>>,
}

/// One node and port.
#[derive(Default)]
struct Place {
    asked: BTreeSet<String>,
    answered: BTreeMap<String, Answer>,
}

impl Together {
    /// Says that this connection, if it is one, is waited for.
    pub(super) fn ask(&self, query: &Query) {
        if let Some((place, host)) = connection(query) {
            let mut places = self.places();
            places.entry(place).or_default().asked.insert(host.clone());
        }
    }

    /// What an earlier command answered.
    pub(super) fn answered(&self, query: &Query) -> Option<Answer> {
        let (place, host) = connection(query)?;
        self.places().get_mut(&place)?.answered.remove(host)
    }

    /// What to read instead of `query`, for everyone who waits beside it. A read that
    /// ends early leaves the others as they were: the next in turn asks for them.
    pub(super) fn joined(&self, query: &Query) -> Query {
        let Some((place, host)) = connection(query) else {
            return query.clone();
        };
        let places = self.places();
        let asked = places.get(&place).into_iter().flat_map(|p| &p.asked);
        let others = asked.filter(|other| *other != host);
        let hosts: Vec<String> = std::iter::once(host)
            .chain(others.take(HOSTS_AT_MOST - 1))
            .cloned()
            .collect();
        if hosts.len() == 1 {
            return query.clone();
        }
        Query::TcpProbes {
            from_node: place.0,
            to_hosts: hosts,
            port: place.1,
        }
    }

    /// Shares out what was read instead of `query`, and gives its own part.
    pub(super) fn shared(&self, query: &Query, joined: &Query, answer: Answer) -> Answer {
        let Some((place, own)) = connection(query) else {
            return answer;
        };
        let mut places = self.places();
        let place = places.entry(place).or_default();
        let Query::TcpProbes { to_hosts, .. } = joined else {
            place.asked.remove(own);
            return answer;
        };
        for (host, answer) in to_hosts.iter().zip(apart(answer, to_hosts.len())) {
            if place.asked.remove(host) {
                place.answered.insert(host.clone(), answer);
            }
        }
        let absent = || Err(missing(Code::Internal, format!("{joined} left out {own}")));
        place.answered.remove(own).unwrap_or_else(absent)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<(String, u16), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connection(query: &Query) -> Option<((String, u16), &String)> {
    let Query::TcpProbe {
        from_node,
        to_host,
        port,
    } = query
    else {
        return None;
    };
    Some(((from_node.clone(), *port), to_host))
}

/// One answer a host, of the one for all.
fn apart(answer: Answer, hosts: usize) -> Vec<Answer> {
    let results = answer.and_then(|reading| {
        let results: Vec<ProbeResult> = serde_json::from_str(&reading.body)
            .map_err(|error| missing(Code::Internal, format!("TCP probes: {error}")))?;
        if results.len() != hosts {
            let message = format!("{} TCP probes of {hosts} were answered", results.len());
            return Err(missing(Code::Internal, message));
        }
        Ok(results)
    });
    match results {
        Err(error) => vec![Err(error); hosts],
        Ok(results) => results
            .iter()
            .map(|result| {
                serde_json::to_string(result)
                    .map(|body| Reading {
                        body,
                        version: None,
                    })
                    .map_err(|error| missing(Code::Internal, format!("a TCP probe: {error}")))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures::future::{join, join_all};
    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        clock::SystemClock,
        driver::Observer,
        model::{ClusterId, ObserveErrorKind, query::NodeObservation},
        plugin::Reads,
        snapshot::Snapshot,
    };

    const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks";

    /// A node whose commands end when told to; what each of them was.
    struct Node {
        commands: Mutex<Vec<Query>>,
        gate: Semaphore,
    }

    #[async_trait]
    impl Observer for Node {
        async fn observe(&self, _: &ClusterId, query: &Query) -> Answer {
            self.commands.lock().unwrap().push(query.clone());
            self.gate.acquire().await.unwrap().forget();
            let result = |host: &String| json!({ "reached": host != "10.0.0.2", "error": host, "elapsed_ms": 1 });
            let body = match query {
                Query::TcpProbe { to_host, .. } => result(to_host),
                Query::TcpProbes { port: 9, .. } => {
                    return Err(missing(Code::NodeBusy, "busy".into()));
                }
                Query::TcpProbes { port: 7, .. } => json!([]),
                Query::TcpProbes { to_hosts, .. } => to_hosts.iter().map(result).collect(),
                _ => json!("rules"),
            };
            Ok(Reading {
                body: body.to_string(),
                version: None,
            })
        }
    }

    fn probe(host: u8, port: u16) -> Query {
        Query::TcpProbe {
            from_node: "node-0".into(),
            to_host: format!("10.0.0.{host}"),
            port,
        }
    }

    fn estate(open: usize) -> (Arc<Node>, Snapshot) {
        let node = Arc::new(Node {
            commands: Mutex::default(),
            gate: Semaphore::new(open),
        });
        let observer = Arc::clone(&node) as Arc<dyn Observer>;
        let clock = Arc::new(SystemClock);
        (
            node,
            Snapshot::live(CLUSTER.parse().unwrap(), observer, clock),
        )
    }

    async fn answers(snapshot: &Snapshot, queries: &[Query]) -> Vec<Result<String, ObserveError>> {
        let read = join_all(queries.iter().map(|query| snapshot.read(query))).await;
        read.iter()
            .map(|seen| seen.answer.clone().map(|body| body.to_string()))
            .collect()
    }

    #[tokio::test]
    async fn connections_that_wait_for_a_nodes_turn_share_one_command_and_are_recorded_each() {
        let (node, snapshot) = estate(0);
        let rules = Query::Node {
            node: "node-0".into(),
            what: NodeObservation::FirewallRuleset,
        };
        let queries: Vec<Query> = (1..=10).map(|host| probe(host, 10250)).collect();
        let wanted = async {
            tokio::task::yield_now().await;
            let opened = async { node.gate.add_permits(10) };
            join(answers(&snapshot, &queries), opened).await.0
        };
        let (_, answered) = join(snapshot.read(&rules), wanted).await;
        for (host, answer) in (1..=10).zip(answered) {
            let result: ProbeResult = serde_json::from_str(&answer.unwrap()).unwrap();
            assert_eq!(result.error, format!("10.0.0.{host}"));
            assert_eq!(result.reached, host != 2);
        }
        let commands = node.commands.lock().unwrap().clone();
        let hosts: Vec<usize> = commands
            .iter()
            .map(|query| match query {
                Query::TcpProbes { to_hosts, .. } => to_hosts.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(hosts, [0, 8, 2]);
        let recorded = snapshot.observations();
        assert!(
            recorded
                .iter()
                .all(|seen| seen.query == rules || queries.contains(&seen.query))
        );
        assert_eq!(recorded.len(), 11);
    }

    #[tokio::test]
    async fn connections_asked_at_once_of_an_idle_node_share_one_command_too() {
        let (node, snapshot) = estate(10);
        let queries = [probe(1, 10250), probe(2, 10250), probe(3, 443)];
        let answered = answers(&snapshot, &queries).await;
        assert!(answered.iter().all(Result::is_ok));
        assert_eq!(node.commands.lock().unwrap().len(), 2, "one a port");
    }

    #[tokio::test]
    async fn a_command_that_failed_or_left_some_out_is_an_error_for_each() {
        let (_, snapshot) = estate(10);
        let busy = answers(&snapshot, &[probe(1, 9), probe(2, 9)]).await;
        for answer in busy {
            let error = answer.unwrap_err();
            assert_eq!(
                (error.code, error.kind),
                (Code::NodeBusy, ObserveErrorKind::Unavailable)
            );
        }
        for answer in answers(&snapshot, &[probe(1, 7), probe(2, 7)]).await {
            let error = answer.unwrap_err();
            assert_eq!(error.message, "0 TCP probes of 2 were answered");
        }
    }

    #[tokio::test]
    async fn one_that_ends_early_takes_nothing_from_those_beside_it() {
        let (node, snapshot) = estate(0);
        let queries = [probe(1, 10250), probe(2, 10250)];
        let first = {
            let asking = snapshot.read(&queries[0]);
            let both = join(asking, snapshot.read(&queries[1]));
            tokio::time::timeout(std::time::Duration::from_millis(1), both).await
        };
        assert!(first.is_err(), "the gate is shut");
        node.gate.add_permits(10);
        assert!(answers(&snapshot, &queries[1..]).await[0].is_ok());
        assert!(answers(&snapshot, &queries[..1]).await[0].is_ok());
    }
}
