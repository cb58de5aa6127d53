//! Answers about firewall rules.

use naosu_flow::policy::Verdict;

use super::flow::delta_report;
use crate::cli::{
    command::flow::{Explanation, FlowAnswer, HopRule},
    page::{Page, Tone},
};

/// The answer to a question about rules.
pub fn flow_answer(page: &mut Page, answer: &FlowAnswer) {
    // There is no other way to read all of it.
    page.in_full();
    match answer {
        FlowAnswer::Explain(explanation) => explain(page, explanation),
        FlowAnswer::Delta(report) => delta_report(page, report),
    }
}

fn explain(page: &mut Page, explanation: &Explanation) {
    page.field(0, "Packet", Tone::Plain, &explanation.packet);
    let (word, tone) = verdict(explanation.verdict);
    page.field(0, "Verdict", tone, word);
    let decides = match explanation.verdict {
        Verdict::Unknown => "May decide",
        Verdict::Allow | Verdict::Deny => "Decided by",
    };
    for decided in &explanation.deciding_rules {
        let words = format!("{}: {}", decided.hop, rule(decided));
        page.field(0, decides, Tone::Plain, &words);
    }
    for atom in &explanation.unknown {
        let words = format!("{}: {}", atom.name, atom.reason);
        page.field(0, "Not known", Tone::Caution, &words);
    }
    for note in &explanation.notes {
        page.field(0, "Note", Tone::Plain, note);
    }
    if explanation.hops.len() < 2 {
        return;
    }
    page.gap();
    page.line(0, Tone::Strong, "On the way, each for itself");
    for hop in &explanation.hops {
        let (word, tone) = verdict(hop.verdict);
        page.item(2, "- ", tone, &format!("{}: {word}", hop.hop));
        for decided in &hop.rules {
            page.item(4, "by ", Tone::Plain, &rule(decided));
        }
    }
}

fn rule(rule: &HopRule) -> String {
    let (word, _) = verdict(rule.verdict);
    match &rule.reason {
        Some(reason) => format!("{} ({word}: {reason})", rule.words),
        None => format!("{} ({word})", rule.words),
    }
}

fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Allow => ("allowed", Tone::Good),
        Verdict::Deny => ("denied", Tone::Bad),
        Verdict::Unknown => ("unknown", Tone::Caution),
    }
}
