//! What the tunnel shows of a fix: its answers after the steps beside those
//! before them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{NodeAnswer, TunnelAnswer, TunnelAnswers},
    tunnel::ClusterNode,
};

/// So many nodes are named in a sentence.
const NAMED: usize = 3;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared<'a> {
    /// What the tunnel answered before the first step, when it was asked.
    pub before: Option<&'a TunnelAnswers>,
    /// What it answers now.
    pub after: &'a TunnelAnswers,
    /// The cluster's nodes now.
    pub nodes: &'a [ClusterNode],
    /// The nodes that the plan is about; `None` for any.
    pub concerned: Option<&'a BTreeSet<String>>,
}

/// What the comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The tunnel answers where the plan is about.
    Mended,
    /// It does not, or no better than before. Another cause may explain that.
    Silent,
    /// A node that answered before the steps is silent after them.
    Lost,
}

/// The nodes that decide, each named once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// What they come to.
    pub shown: Shown,
    /// Nodes that answer now, and did not before.
    pub newly: Vec<String>,
    /// Nodes that are silent for another reason than the one mended: name, reason.
    pub remain: Vec<(String, String)>,
    /// Nodes that answered before and are silent now.
    pub lost: Vec<String>,
}

/// Compares. The one place that decides what "the probe says so" means:
///
/// 1. When every node asked is reached, it is mended.
/// 2. A node that answered before and is silent now is *lost*, whatever else is
///    better: steps must not cost anything. Where the tunnel answered some nodes
///    only sometimes, one answer was chance, and its absence is none.
/// 3. A node that is not reached is *silent for another reason* when the plan is not
///    about it; when its kubelet cannot answer (not ready, a virtual node); or when
///    its port is refused now and was not before, for then packets pass and nothing
///    listens. These remain, and are told.
/// 4. Mended it is when no other node is left that is not reached, at least one node
///    that the plan is about is reached, and, if any of those was silent before, one
///    of them is newly reached. Where the plan is about the tunnel as a whole, nodes
///    that cannot answer speak neither way.
///
/// A plan whose nodes all answered before is about the tunnel as a whole: a rule on
/// the agent's node keeps it from others.
pub(super) fn compare(compared: Compared<'_>) -> Comparison {
    let Compared {
        before,
        after,
        nodes,
        concerned,
    } = compared;
    let before = before.filter(|answers| answers.error.is_empty() && answers.asked > 0);
    let silent_before: BTreeMap<&str, &NodeAnswer> = before
        .into_iter()
        .flat_map(TunnelAnswers::unreached)
        .filter(|node| node.answer != TunnelAnswer::Unknown)
        .map(|node| (node.node.as_str(), node))
        .collect();
    let concerned = concerned.filter(|set| {
        before.is_none() || set.iter().any(|n| silent_before.contains_key(n.as_str()))
    });
    let is_concerned = |name: &str| concerned.is_none_or(|set| set.contains(name));
    let excuses: BTreeMap<&str, &str> = nodes
        .iter()
        .filter_map(|node| Some((node.name.as_str(), node.excuse.as_deref()?)))
        .collect();
    let reached = || after.reached_nodes.iter().map(String::as_str);
    let newly: Vec<String> = reached()
        .filter(|name| silent_before.contains_key(name))
        .map(str::to_owned)
        .collect();

    let steady = before.filter(|before| before.with(TunnelAnswer::Sometimes).next().is_none());
    let answered_before: BTreeSet<&str> = steady
        .into_iter()
        .flat_map(|before| before.reached_nodes.iter().map(String::as_str))
        .collect();
    let (mut lost, mut remain, mut unexplained) = (Vec::new(), Vec::new(), 0_usize);
    for node in after.unreached() {
        let name = node.node.as_str();
        if node.answer == TunnelAnswer::Silent && answered_before.contains(name) {
            lost.push(name.to_owned());
            continue;
        }
        let was = silent_before.get(name).copied();
        match reason(node, was, excuses.get(name).copied(), is_concerned(name)) {
            Some(reason) => remain.push((name.to_owned(), reason)),
            None => unexplained += 1,
        }
    }

    // Nodes whose silence the fix should have ended.
    let mut to_end = silent_before
        .keys()
        .filter(|name| is_concerned(name) && (concerned.is_some() || !excuses.contains_key(*name)));
    let has_to_end = to_end.next().is_some();
    let is_newly = newly.iter().any(|name| is_concerned(name));
    let shown = if after.carries() {
        Shown::Mended
    } else if !lost.is_empty() {
        Shown::Lost
    } else if unexplained == 0 && reached().any(&is_concerned) && (is_newly || !has_to_end) {
        Shown::Mended
    } else {
        Shown::Silent
    };
    Comparison {
        shown,
        newly,
        remain,
        lost,
    }
}

/// Why a node is not reached, if that is not what the plan was to mend.
fn reason(
    now: &NodeAnswer,
    before: Option<&NodeAnswer>,
    excuse: Option<&str>,
    is_concerned: bool,
) -> Option<String> {
    // "No route to host" is another thing: a firewall says it as well.
    let is_refused = |node: &NodeAnswer| node.detail.contains("connection refused");
    if let Some(excuse) = excuse {
        return Some(excuse.to_owned());
    }
    if is_refused(now) && before.is_some_and(|before| !is_refused(before)) {
        return Some("packets reach it now, and its kubelet does not listen".to_owned());
    }
    (!is_concerned).then(|| "the plan is not about it".to_owned())
}

impl Comparison {
    /// What is told beside the answers themselves; empty when they say it all.
    pub(super) fn in_words(&self) -> String {
        let mut words = String::new();
        if !self.newly.is_empty() {
            let names = listed(self.newly.iter().cloned());
            words.push_str(&format!(" Reached now and not before: {names}."));
        }
        if !self.lost.is_empty() {
            let names = listed(self.lost.iter().cloned());
            words.push_str(&format!(" Reached before and silent now: {names}."));
        }
        if !self.remain.is_empty() {
            let told = self.remain.iter();
            let told = listed(told.map(|(node, reason)| format!("{node} ({reason})")));
            words.push_str(&format!(
                " What remains is silent for another reason: {told}."
            ));
        }
        words
    }
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut words: Vec<String> = names.take(NAMED).collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{
        Shown::{Lost, Mended, Silent},
        *,
    };

    const TIMEOUT: &str = "dial tcp 10.224.0.5:10250: i/o timeout";
    const REFUSED: &str = "dial tcp 10.224.0.5:10250: connect: connection refused";

    /// One word a node: `+` reached, `-` silent, `r` refused, `~` only sometimes,
    /// `?` not known, ` ` not asked. The nodes are a, b, c …
    fn answers(pattern: &str) -> TunnelAnswers {
        let mut answers = TunnelAnswers {
            nodes: u32::try_from(pattern.len()).unwrap(),
            ..TunnelAnswers::default()
        };
        for (name, given) in ('a'..).zip(pattern.chars()) {
            let (answer, detail) = match given {
                ' ' => continue,
                '+' => {
                    answers.asked += 1;
                    answers.reached += 1;
                    answers.reached_nodes.push(name.into());
                    continue;
                }
                '-' => (TunnelAnswer::Silent, TIMEOUT),
                'r' => (TunnelAnswer::Silent, REFUSED),
                '~' => (TunnelAnswer::Sometimes, "EOF"),
                _ => (TunnelAnswer::Unknown, "forbidden"),
            };
            answers.asked += 1;
            answers.others.push(NodeAnswer {
                node: name.into(),
                answer,
                detail: detail.into(),
            });
        }
        answers
    }

    /// `unready` names nodes that cannot answer, `concerned` those of the plan (empty
    /// for any).
    fn compared(before: &str, after: &str, unready: &str, concerned: &str) -> Comparison {
        let nodes: Vec<ClusterNode> = ('a'..)
            .take(after.len())
            .map(|name| ClusterNode {
                name: name.into(),
                addresses: vec![],
                excuse: unready
                    .contains(name)
                    .then(|| "it is not ready: NodeStatusUnknown".to_owned()),
            })
            .collect();
        let set: BTreeSet<String> = concerned.chars().map(String::from).collect();
        let before = (!before.is_empty()).then(|| answers(before));
        compare(Compared {
            before: before.as_ref(),
            after: &answers(after),
            nodes: &nodes,
            concerned: (!set.is_empty()).then_some(&set),
        })
    }

    #[test]
    fn the_probe_says_fixed_by_what_the_plan_is_about_and_by_nothing_lost() {
        for (before, after, unready, concerned, shown, why) in [
            ("+--", "+++", "", "bc", Mended, "every node is reached"),
            ("+--", "+--", "", "bc", Silent, "nothing is better"),
            (
                "+--",
                "++r",
                "",
                "bc",
                Mended,
                "c: packets pass, nothing listens",
            ),
            ("+--", "++-", "c", "bc", Mended, "c is not ready"),
            ("+--", "++-", "", "b", Mended, "the plan is not about c"),
            (
                "+--",
                "++-",
                "",
                "bc",
                Silent,
                "c stays silent, and nothing says why",
            ),
            (
                "+--",
                "++-",
                "",
                "",
                Silent,
                "the same, of the whole tunnel",
            ),
            (
                "+-r",
                "++r",
                "",
                "bc",
                Silent,
                "c was refused before as it is now",
            ),
            ("+-r", "++r", "", "b", Mended, "the plan is not about c"),
            ("+--", "+rr", "", "bc", Silent, "none newly answers"),
            ("+--", "+--", "bc", "bc", Silent, "none newly answers"),
            ("+--", "+-+", "", "b", Silent, "another one newly answers"),
            ("+--", "-++", "", "bc", Lost, "a answered before"),
            (
                "+--",
                "-++",
                "a",
                "bc",
                Lost,
                "it may not be ready because of the steps",
            ),
            ("++-", "-+ ", "", "", Lost, "a answered before"),
            (
                "+~-",
                "-++",
                "",
                "bc",
                Mended,
                "a's answer was chance; not of the plan",
            ),
            (
                "+~-",
                "-++",
                "",
                "",
                Silent,
                "a's answer was chance; of the plan",
            ),
            (
                "+--",
                "++~",
                "",
                "bc",
                Silent,
                "only sometimes is not enough",
            ),
            ("+--", "++?", "", "bc", Silent, "not known is not enough"),
            ("+--", "++ ", "", "bc", Mended, "c has gone"),
            ("+--", "   ", "", "bc", Silent, "nobody was asked"),
            (
                "++-",
                "++-",
                "c",
                "",
                Mended,
                "all that can answer do, as before",
            ),
            ("++-", "++-", "", "", Silent, "c can answer and does not"),
            ("++-", "+++", "", "a", Mended, "every node is reached"),
            (
                "++-",
                "++-",
                "",
                "a",
                Silent,
                "a rule on the agent's node keeps it from c",
            ),
            ("++-", "++-", "c", "a", Mended, "c cannot answer"),
            ("+++", "++~", "", "", Silent, "c is worse"),
            (
                "",
                "++-",
                "c",
                "",
                Mended,
                "nobody asked before; c cannot answer",
            ),
            (
                "",
                "++-",
                "",
                "b",
                Mended,
                "nobody asked before; not about c",
            ),
            (
                "",
                "+--",
                "",
                "b",
                Silent,
                "nobody asked before; b is silent",
            ),
            (
                "",
                "++r",
                "",
                "bc",
                Silent,
                "nobody asked before, c may have been refused",
            ),
        ] {
            let case =
                format!("{before:?} → {after:?}, unready {unready:?}, of {concerned:?}: {why}");
            assert_eq!(
                compared(before, after, unready, concerned).shown,
                shown,
                "{case}"
            );
        }
    }

    #[test]
    fn who_answers_now_and_who_does_not_and_why_is_told() {
        let told = compared("+----", "++r--", "d", "bcd").in_words();
        assert_eq!(
            told,
            " Reached now and not before: b. What remains is silent for another reason: c (packets \
             reach it now, and its kubelet does not listen), d (it is not ready: \
             NodeStatusUnknown), e (the plan is not about it)."
        );
        let lost = compared("++", "+-", "", "b");
        assert_eq!(lost.in_words(), " Reached before and silent now: b.");
        let many = compared("------", "++++++", "", "").in_words();
        assert_eq!(many, " Reached now and not before: a, b, c, 3 more.");
    }
}
