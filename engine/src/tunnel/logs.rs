//! What reading the log of a pod on each node comes to.

use std::collections::BTreeMap;

use crate::model::{
    NodeAnswer, Observation, ObserveErrorKind, TunnelAnswer, WayAnswers, query::ProbeResult,
};

/// Adds up; `None` when no log was asked for. At most `named_at_most` nodes are
/// named.
pub(super) fn answers<'a>(
    probed: impl Iterator<Item = (&'a str, &'a Observation)>,
    named_at_most: usize,
) -> Option<WayAnswers> {
    let (mut answers, mut is_asked) = (WayAnswers::default(), false);
    for (node, seen) in probed {
        is_asked = true;
        let result = match &seen.answer {
            Ok(body) => serde_json::from_str::<ProbeResult>(body).map_err(|e| e.to_string()),
            // Where no pod runs there is no log to be read.
            Err(error) if error.kind == ObserveErrorKind::NotFound => continue,
            Err(error) => Err(error.message.clone()),
        };
        match result {
            Ok(result) if result.reached => {
                answers.tried += 1;
                answers.reached += 1;
            }
            Ok(result) => {
                answers.tried += 1;
                answers.others.push(NodeAnswer {
                    node: node.to_owned(),
                    answer: TunnelAnswer::Silent,
                    detail: result.error,
                });
            }
            Err(error) => answers.error = error,
        }
    }
    if answers.tried > 0 {
        answers.error.clear();
    }
    answers.others.sort_by(|a, b| a.node.cmp(&b.node));
    answers.others.truncate(named_at_most);
    is_asked.then_some(answers)
}

/// Makes nodes whose kubelet answers its health while the way to a log fails into
/// ones that are reached only sometimes: both go the same way.
pub(super) fn mix<'a>(
    health: &mut BTreeMap<&'a str, Option<NodeAnswer>>,
    logs: impl Iterator<Item = (&'a str, &'a Observation)>,
) {
    for (node, seen) in logs {
        let body = seen.answer.as_ref().ok();
        let result = body.and_then(|body| serde_json::from_str::<ProbeResult>(body).ok());
        let silent = result.filter(|result| !result.reached);
        let (Some(silent), Some(answer @ None)) = (silent, health.get_mut(node)) else {
            continue;
        };
        *answer = Some(NodeAnswer {
            node: node.to_owned(),
            answer: TunnelAnswer::Sometimes,
            detail: format!("its health is answered, then {}", silent.error),
        });
    }
}
