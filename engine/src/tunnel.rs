//! The tunnel asked to carry: the kubelet of each node, through the API server.

use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::{
    model::{
        HintKind, NodeAnswer, Observation, Query, TunnelAnswer, TunnelAnswers, query::ProbeResult,
        tunnel::NAMED_AT_MOST,
    },
    plugin::Reads,
    symptom::kind_of,
};

/// So many nodes are asked; more show nothing more.
const NODES_ASKED: usize = 64;
/// How many of them at once. A silent one takes the API server's own time limit.
const CONCURRENT: usize = 32;

/// The query for all nodes, the same as plugins make.
pub(crate) fn all_nodes() -> Query {
    Query::KubernetesList {
        api_version: "v1".to_owned(),
        object_kind: "Node".to_owned(),
        namespace: String::new(),
        label_selector: String::new(),
    }
}

/// The nodes in the answer to [`all_nodes`].
///
/// # Errors
/// Why there are none to be had, in words.
pub(crate) fn nodes_in(observation: &Observation) -> Result<Vec<Value>, String> {
    let body = observation.answer.as_ref();
    let body = body.map_err(|e| format!("the nodes cannot be listed: {e}"))?;
    serde_json::from_str(body).map_err(|e| format!("the list of nodes is malformed: {e}"))
}

/// Asks the kubelet of each node.
pub(crate) async fn ask(reads: &Arc<dyn Reads>) -> TunnelAnswers {
    let listed = reads.read(&all_nodes()).await;
    let nodes = match nodes_in(&listed) {
        Ok(nodes) => nodes,
        Err(error) => return TunnelAnswers::not_asked(error),
    };
    let mut names: Vec<String> = nodes
        .iter()
        .filter_map(|node| node.pointer("/metadata/name")?.as_str())
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    let total = names.len();
    names.truncate(NODES_ASKED);
    let probes = names.into_iter().map(|node| async move {
        let answer = reads.read(&Query::TunnelProbe { node: node.clone() }).await;
        (node, answer)
    });
    let probed: Vec<(String, Arc<Observation>)> =
        stream::iter(probes).buffered(CONCURRENT).collect().await;
    answers(
        total,
        probed.iter().map(|(node, seen)| (node.as_str(), &**seen)),
    )
}

/// What was answered among recorded reads; `None` when nobody asked.
pub(crate) fn among(observations: &[Arc<Observation>]) -> Option<TunnelAnswers> {
    let listed = observations.iter().find(|seen| seen.query == all_nodes());
    let total = listed
        .and_then(|seen| nodes_in(seen).ok())
        .map(|nodes| nodes.len());
    let probed: Vec<(&str, &Observation)> = observations
        .iter()
        .filter_map(|seen| match &seen.query {
            Query::TunnelProbe { node } => Some((node.as_str(), &**seen)),
            _ => None,
        })
        .collect();
    (!probed.is_empty()).then(|| answers(total.unwrap_or(probed.len()), probed.into_iter()))
}

fn answers<'a>(
    total: usize,
    probed: impl Iterator<Item = (&'a str, &'a Observation)>,
) -> TunnelAnswers {
    let mut answers = TunnelAnswers {
        nodes: count(total),
        ..TunnelAnswers::default()
    };
    let mut others = Vec::new();
    for (node, seen) in probed {
        answers.asked += 1;
        if let Some(other) = answer(node, seen) {
            answers.reached += u32::from(other.answer == TunnelAnswer::KubeletFault);
            others.push(other);
        } else {
            answers.reached += 1;
        }
    }
    // Where everybody speaks plain HTTP it may be the tunnel that does.
    let is_plain = |other: &NodeAnswer| kind_of(&other.detail) == HintKind::PlainHttp;
    if answers.asked > 1 && count(others.len()) == answers.asked && others.iter().all(is_plain) {
        answers.reached = 0;
        for other in &mut others {
            other.answer = TunnelAnswer::Unknown;
            other
                .detail
                .push_str(" (as on every node: it may be the tunnel that answers so)");
        }
    }
    others.sort_by(|a, b| a.node.cmp(&b.node));
    others.truncate(NAMED_AT_MOST);
    answers.others = others;
    answers
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What a node gave; `None` when it simply answered.
fn answer(node: &str, seen: &Observation) -> Option<NodeAnswer> {
    let other = |answer, detail: String| {
        Some(NodeAnswer {
            node: node.to_owned(),
            answer,
            detail,
        })
    };
    let body = match &seen.answer {
        Ok(body) => body,
        Err(error) => return other(TunnelAnswer::Unknown, error.message.clone()),
    };
    match serde_json::from_str::<ProbeResult>(body) {
        Err(error) => other(TunnelAnswer::Unknown, error.to_string()),
        Ok(result) if result.reached && result.error.is_empty() => None,
        Ok(result) if result.reached => other(TunnelAnswer::KubeletFault, result.error),
        Ok(result) if result.answered > 0 => {
            let detail = format!(
                "{} of {} tries answered, then {}",
                result.answered, result.tries, result.error
            );
            other(TunnelAnswer::Sometimes, detail)
        }
        Ok(result) => other(TunnelAnswer::Silent, result.error),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{
        error::Code,
        model::{ObserveError, ObserveErrorKind},
    };

    fn seen(query: Query, answer: Result<String, ObserveError>) -> Arc<Observation> {
        let answer = answer.map(Into::into);
        Arc::new(Observation {
            query,
            digest: Observation::digest_of(&answer),
            answer,
            version: None,
            observed_at: Timestamp::UNIX_EPOCH,
        })
    }

    fn probe(node: &str, reached: bool, error: &str, answered: u32) -> Arc<Observation> {
        let body = json!({ "reached": reached, "error": error, "elapsed_ms": 3, "tries": 4, "answered": answered });
        seen(
            Query::TunnelProbe { node: node.into() },
            Ok(body.to_string()),
        )
    }

    #[test]
    fn each_node_is_told_by_what_it_answered() {
        let denied = ObserveError {
            kind: ObserveErrorKind::Forbidden,
            code: Code::KubernetesForbidden,
            message: "no".into(),
        };
        let reads = [
            probe("a", true, "", 4),
            probe("b", true, "remote error: tls: internal error", 4),
            probe("c", false, "i/o timeout", 0),
            probe("d", false, "EOF", 3),
            seen(Query::TunnelProbe { node: "e".into() }, Err(denied)),
            seen(
                all_nodes(),
                Ok(json!([{}, {}, {}, {}, {}, {}, {}]).to_string()),
            ),
        ];
        let answers = among(&reads).unwrap();
        assert_eq!((answers.nodes, answers.asked, answers.reached), (7, 5, 2));
        let told: Vec<(&str, TunnelAnswer)> = answers
            .others
            .iter()
            .map(|other| (other.node.as_str(), other.answer))
            .collect();
        assert_eq!(
            told,
            [
                ("b", TunnelAnswer::KubeletFault),
                ("c", TunnelAnswer::Silent),
                ("d", TunnelAnswer::Sometimes),
                ("e", TunnelAnswer::Unknown),
            ]
        );
        assert!(!answers.carries());
        assert_eq!(
            answers.in_words(),
            "The tunnel answers on only 2 of 5 nodes asked: node c is not reached: i/o timeout; \
             nor do 2 more answer as they should (d, e). 2 more were not asked. The kubelet of b is reached and at fault itself, which is not \
             the tunnel's: remote error: tls: internal error."
        );
        assert_eq!(among(&reads[5..]), None);
    }

    #[test]
    fn the_words_name_each_node_that_is_not_reached_and_none_of_them_is_no_only() {
        let silent = |node: &str| probe(node, false, "i/o timeout", 0);
        let words = |reads: &[Arc<Observation>]| among(reads).unwrap().in_words();
        assert_eq!(
            words(&[silent("a"), silent("b")]),
            "The tunnel answers on none of 2 nodes asked: node a is not reached: i/o timeout; \
             nor does b answer as it should."
        );
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(silent).into();
        assert!(
            words(&many).contains("nor do 4 more answer as they should (b, c, d, …)"),
            "{}",
            words(&many)
        );
    }

    #[test]
    fn plain_http_on_one_node_is_its_kubelet_and_on_all_of_them_nobody_knows_whose() {
        let plain = "http: server gave HTTP response to HTTPS client";
        let one = [probe("a", true, "", 4), probe("b", true, plain, 4)];
        assert!(among(&one).unwrap().carries());
        let all = [probe("a", true, plain, 4), probe("b", true, plain, 4)];
        let answers = among(&all).unwrap();
        assert_eq!(answers.reached, 0);
        assert_eq!(answers.with(TunnelAnswer::Unknown).count(), 2);
    }
}
