//! What the tunnel answered, as a person reads it: counts first, then the nodes
//! that did not answer.

use naosu_engine::model::{NodeAnswer, TunnelAnswer, TunnelAnswers, WayAnswers};

use crate::cli::page::{Page, Tone};

/// How many nodes are told one by one; the rest are counted.
const TOLD_AT_MOST: usize = 4;

/// Where values of fields begin.
const VALUES: usize = 16;

/// A field of some lines.
pub(super) fn tunnel(page: &mut Page, name: &str, answers: &TunnelAnswers) {
    let tone = tone(answers);
    let mut lines = counts(answers).into_iter();
    page.field(2, name, tone, &lines.next().unwrap_or_default());
    for line in lines {
        page.words(VALUES, tone, &line);
    }
    let ways = [&answers.logs, &answers.from_agents].into_iter().flatten();
    for error in ways.map(|way| &way.error).filter(|error| !error.is_empty()) {
        page.item(VALUES, "- ", Tone::Plain, error);
    }
    for node in answers.others.iter().take(TOLD_AT_MOST) {
        let name = format!("{}{}:", node.node, manner(node));
        page.item(
            VALUES,
            "- ",
            Tone::Plain,
            &format!("{name} {}", node.detail),
        );
    }
    let told = answers.others.len().min(TOLD_AT_MOST);
    let faults = answers.with(TunnelAnswer::KubeletFault).count();
    let all = unreached(answers) + faults;
    if all > told {
        let more = format!("{} more of them", all - told);
        page.item(VALUES, "- ", Tone::Plain, &more);
    }
}

/// How that looks.
pub(super) fn tone(answers: &TunnelAnswers) -> Tone {
    if answers.carries() {
        Tone::Good
    } else {
        Tone::Caution
    }
}

/// The counts alone, in one line.
pub(super) fn in_short(answers: &TunnelAnswers) -> String {
    counts(answers).join(", ")
}

fn unreached(answers: &TunnelAnswers) -> usize {
    answers.asked.saturating_sub(answers.reached) as usize
}

fn counts(answers: &TunnelAnswers) -> Vec<String> {
    if !answers.error.is_empty() {
        return vec![format!("could not be asked: {}", answers.error)];
    }
    if answers.asked == 0 {
        return vec!["no node was asked".to_owned()];
    }
    let left_out = match answers.nodes.saturating_sub(answers.asked) {
        0 => String::new(),
        more => format!(" ({more} more were not asked)"),
    };
    let mut lines = vec![format!(
        "it answers on {} of {} nodes{left_out}",
        answers.reached, answers.asked
    )];
    let of = |way: &WayAnswers| match way.error.as_str() {
        "" => format!("{} of {}", way.reached, way.tried),
        _ => "none tried".to_owned(),
    };
    if let Some(logs) = &answers.logs {
        lines.push(format!("logs of pods: {} nodes", of(logs)));
    }
    if let Some(ways) = &answers.from_agents {
        lines.push(format!("TCP 10250 from the agents' nodes: {}", of(ways)));
    }
    lines
}

fn manner(node: &NodeAnswer) -> &'static str {
    match node.answer {
        TunnelAnswer::KubeletFault => ", reached, its kubelet at fault itself",
        TunnelAnswer::Sometimes => ", only sometimes reached",
        TunnelAnswer::Silent => "",
        TunnelAnswer::Unknown => ", not known to be reached",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(node: &str, detail: &str) -> NodeAnswer {
        NodeAnswer {
            node: node.into(),
            answer: TunnelAnswer::Silent,
            detail: detail.into(),
        }
    }

    fn shown(answers: &TunnelAnswers) -> String {
        let mut page = Page::new(false);
        tunnel(&mut page, "Tunnel", answers);
        page.into_text()
    }

    #[test]
    fn counts_come_first_then_nodes_that_did_not_answer_and_how_many_more() {
        let timeout = "error trying to reach service: dial tcp 10.224.0.5:10250: i/o timeout";
        let mut others: Vec<NodeAnswer> = (1..=5)
            .map(|number| {
                silent(
                    &format!("aks-nodepool1-28341567-vmss00000{number}"),
                    timeout,
                )
            })
            .collect();
        others[1].answer = TunnelAnswer::Sometimes;
        others[2].answer = TunnelAnswer::KubeletFault;
        let answers = TunnelAnswers {
            nodes: 140,
            asked: 128,
            reached: 120,
            others,
            logs: Some(WayAnswers {
                tried: 12,
                reached: 4,
                ..WayAnswers::default()
            }),
            from_agents: Some(WayAnswers {
                error: "from aks-nodepool1-28341567-vmss000000: the node is busy".into(),
                ..WayAnswers::default()
            }),
            ..TunnelAnswers::default()
        };
        let text = shown(&answers);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        insta::assert_snapshot!(text);
        assert_eq!(
            in_short(&answers),
            "it answers on 120 of 128 nodes (12 more were not asked), logs of pods: 4 of 12 \
             nodes, TCP 10250 from the agents' nodes: none tried"
        );
    }

    #[test]
    fn a_tunnel_that_carries_takes_a_line_and_one_that_was_not_asked_says_why() {
        let well = TunnelAnswers {
            nodes: 3,
            asked: 3,
            reached: 3,
            ..TunnelAnswers::default()
        };
        let text = shown(&well);
        assert_eq!(text, "  Tunnel        it answers on 3 of 3 nodes\n");
        let text = shown(&TunnelAnswers::not_asked("the nodes cannot be listed: x"));
        let said = "  Tunnel        could not be asked: the nodes cannot be listed: x\n";
        assert_eq!(text, said);
        let text = shown(&TunnelAnswers::default());
        assert_eq!(text, "  Tunnel        no node was asked\n");
    }
}
