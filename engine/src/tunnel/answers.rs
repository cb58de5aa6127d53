//! What recorded probes come to.

use std::{collections::BTreeMap, sync::Arc};

use super::{ClusterNode, all_nodes, from_agents, logs, nodes_in};
use crate::{
    error::Code,
    model::{
        HintKind, NodeAnswer, Observation, Query, TunnelAnswer, TunnelAnswers, query::ProbeResult,
        tunnel::NAMED_AT_MOST,
    },
    symptom::kind_of,
};

/// What was answered among recorded reads; `None` when nobody asked.
pub(crate) fn among(observations: &[Arc<Observation>]) -> Option<TunnelAnswers> {
    let listed = observations.iter().find(|seen| seen.query == all_nodes());
    let listed = listed.and_then(|seen| nodes_in(seen).ok());
    let nodes: Option<Vec<ClusterNode>> =
        listed.map(|nodes| nodes.iter().filter_map(ClusterNode::read).collect());
    let of_kind = |kind: fn(&Query) -> Option<&str>| {
        let seen = observations.iter();
        let seen = seen.filter_map(move |seen| Some((kind(&seen.query)?, &**seen)));
        seen.collect::<Vec<(&str, &Observation)>>()
    };
    let probed = of_kind(|query| match query {
        Query::TunnelProbe { node } => Some(node),
        _ => None,
    });
    let logs = of_kind(|query| match query {
        Query::LogProbe { node } => Some(node),
        _ => None,
    });
    if probed.is_empty() {
        return None;
    }
    let total = nodes.as_ref().map_or(probed.len(), Vec::len);
    let mut answers = answers(total, &probed, &logs, NAMED_AT_MOST);
    let agents = from_agents::agents_nodes_among(observations);
    answers.from_agents = from_agents::among(&nodes.unwrap_or_default(), &agents, observations);
    Some(answers)
}

/// Adds up. A node that has gone from the cluster was not asked. At most
/// `named_at_most` are named of those reached, and of the others.
pub(super) fn answers(
    total: usize,
    probed: &[(&str, &Observation)],
    logs: &[(&str, &Observation)],
    named_at_most: usize,
) -> TunnelAnswers {
    let (gone, probed): (Vec<_>, Vec<_>) = probed.iter().partition(|(_, seen)| has_gone(seen));
    let mut given: BTreeMap<&str, Option<NodeAnswer>> = probed
        .into_iter()
        .map(|(node, seen)| (node, answer(node, seen)))
        .collect();
    logs::mix(&mut given, logs.iter().copied());
    // Where everybody speaks plain HTTP it may be the tunnel that does.
    let is_plain = |answer: &Option<NodeAnswer>| {
        let other = answer.as_ref();
        other.is_some_and(|other| kind_of(&other.detail) == HintKind::PlainHttp)
    };
    if given.len() > 1 && given.values().all(is_plain) {
        for other in given.values_mut().flatten() {
            other.answer = TunnelAnswer::Unknown;
            other
                .detail
                .push_str(" (as on every node: it may be the tunnel that answers so)");
        }
    }
    let is_reached = |answer: &Option<NodeAnswer>| {
        let other = answer.as_ref();
        other.is_none_or(|other| other.answer == TunnelAnswer::KubeletFault)
    };
    let reached = given.iter().filter(|(_, answer)| is_reached(answer));
    let reached: Vec<String> = reached.map(|(node, _)| (*node).to_owned()).collect();
    TunnelAnswers {
        nodes: count(total.saturating_sub(gone.len())),
        asked: count(given.len()),
        reached: count(reached.len()),
        reached_nodes: reached.into_iter().take(named_at_most).collect(),
        others: given.into_values().flatten().take(named_at_most).collect(),
        error: String::new(),
        logs: logs::answers(logs.iter().copied(), named_at_most),
        from_agents: None,
    }
}

fn has_gone(seen: &Observation) -> bool {
    let error = seen.answer.as_ref().err();
    error.is_some_and(|error| error.code == Code::NodeNotFound)
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

    /// A list of so many nodes.
    fn named(count: usize) -> String {
        let node = |number| json!({ "metadata": { "name": format!("node-{number}") } });
        (0..count)
            .map(node)
            .collect::<serde_json::Value>()
            .to_string()
    }

    fn log(node: &str, answer: Result<(bool, &str), ObserveErrorKind>) -> Arc<Observation> {
        let answer = match answer {
            Ok((reached, error)) => Ok(json!({ "reached": reached, "error": error,
                "elapsed_ms": 3 })
            .to_string()),
            Err(kind) => Err(ObserveError {
                kind,
                code: Code::KubernetesForbidden,
                message: "pods/log is forbidden".into(),
            }),
        };
        seen(Query::LogProbe { node: node.into() }, answer)
    }

    #[test]
    fn a_log_that_is_not_carried_makes_its_node_one_that_is_reached_only_sometimes() {
        let lost = "log of pod a/b: http2: client connection lost";
        let fault = "log of pod a/b: remote error: tls: internal error";
        let reads = [
            probe("a", true, "", 4),
            log("a", Ok((true, ""))),
            probe("b", true, "", 4),
            log("b", Ok((false, lost))),
            probe("c", true, "", 4),
            log("c", Err(ObserveErrorKind::Forbidden)),
            probe("d", true, "", 4),
            log("d", Err(ObserveErrorKind::NotFound)),
            probe("e", true, "", 4),
            log("e", Ok((true, fault))),
        ];
        let answers = among(&reads).unwrap();
        assert_eq!(answers.reached_nodes, ["a", "c", "d", "e"]);
        assert_eq!(answers.others[0].answer, TunnelAnswer::Sometimes);
        let logs = answers.logs.as_ref().unwrap();
        assert_eq!((logs.tried, logs.reached, logs.others.len()), (3, 2, 1));
        assert!(
            answers.in_words().ends_with(
                "Reading a pod's log succeeds on 2 of 3 nodes, not on b: log of pod \
                            a/b: http2: client connection lost."
            ),
            "{}",
            answers.in_words()
        );
        let forbidden = among(&reads[4..6]).unwrap();
        assert!(forbidden.carries(), "what may not be read shows nothing");
        assert_eq!(forbidden.logs.unwrap().error, "pods/log is forbidden");
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
            seen(all_nodes(), Ok(named(7))),
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
        assert_eq!(answers.reached_nodes, ["a", "b"]);
        assert!(!answers.carries());
        assert_eq!(
            answers.in_words(),
            "The tunnel answers on only 2 of 5 nodes asked: node c is not reached: i/o timeout; \
             nor do 2 more answer as they should (d, e). 2 more were not asked. The kubelet of b \
             is reached and at fault itself, which is not the tunnel's: remote error: tls: \
             internal error."
        );
        assert_eq!(among(&reads[5..]), None);
    }

    #[test]
    fn a_node_that_has_gone_meanwhile_is_no_silent_one() {
        let gone = ObserveError {
            kind: ObserveErrorKind::NotFound,
            code: Code::NodeNotFound,
            message: "nodes \"b\" not found".into(),
        };
        let query = Query::TunnelProbe { node: "b".into() };
        let reads = [
            probe("a", true, "", 4),
            seen(query, Err(gone)),
            seen(all_nodes(), Ok(named(2))),
        ];
        let answers = among(&reads).unwrap();
        assert_eq!((answers.nodes, answers.asked), (1, 1));
        assert!(answers.carries());
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
