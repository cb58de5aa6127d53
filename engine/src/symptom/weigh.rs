//! What the probes say to a text. Both sides are told; the probe decides.

use crate::model::{Bearing, Hint, TunnelAnswer, TunnelAnswers};

pub(super) fn words(hint: &Hint, answers: Option<&TunnelAnswers>) -> String {
    let Some(answers) = answers.filter(|answers| answers.asked > 0) else {
        return "No node was asked through the tunnel in this diagnosis, so nothing speaks for \
                or against the text."
            .to_owned();
    };
    let unreached = answers.asked.saturating_sub(answers.reached);
    let count = format!("{unreached} of {} nodes", answers.asked);
    let mut words = match (hint.bearing, unreached) {
        (Bearing::Tunnel, 0) => format!(
            "The text speaks of the tunnel, but all {} nodes asked were reached through it: the \
             fault has passed, comes and goes, or lies elsewhere.",
            answers.asked
        ),
        (Bearing::Tunnel, _) => {
            format!("The probe agrees: {count} are not, or not always, reached through the tunnel.")
        }
        (Bearing::Elsewhere, 0) => format!(
            "The probe agrees: all {} nodes asked are reached through the tunnel.",
            answers.asked
        ),
        (Bearing::Elsewhere, _) => format!(
            "The text speaks against the tunnel, but {count} are not, or not always, reached \
             through it: that is another fault, and the findings are about it."
        ),
        (Bearing::Open, 0) => format!(
            "The probe speaks against the tunnel: all {} nodes asked are reached through it.",
            answers.asked
        ),
        (Bearing::Open, _) => format!(
            "The probe speaks for a fault of the tunnel: {count} are not, or not always, reached \
             through it."
        ),
    };
    let faulty: Vec<&str> = answers
        .with(TunnelAnswer::KubeletFault)
        .take(3)
        .map(|node| node.node.as_str())
        .collect();
    if !faulty.is_empty() {
        words.push_str(&format!(
            " Reached, but at fault itself, is the kubelet of {}.",
            faulty.join(", ")
        ));
    }
    if unreached > 0
        && !hint.nodes.is_empty()
        && !hint.nodes.iter().any(|node| answers.is_unreached(node))
    {
        words.push_str(&format!(
            " The nodes that the symptom names ({}) are reached; the fault is on others.",
            hint.nodes.join(", ")
        ));
    }
    words
}
