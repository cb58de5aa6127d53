//! Answers about firewall rules.

use naosu_flow::{path::PartReport, policy::Verdict};

use super::flow::{delta_report, flow_boxes};
use crate::cli::{
    command::flow::{
        DeltaAnswer, Explanation, FlowAnswer, HopRule, NoFreePriority, PlaceAnswer, Placed,
        SetExplanation,
    },
    page::{Page, Tone},
};

/// The answer to a question about rules.
pub fn flow_answer(page: &mut Page, answer: &FlowAnswer) {
    // There is no other way to read all of it.
    page.in_full();
    match answer {
        FlowAnswer::Explain(explanation) => explain(page, explanation),
        FlowAnswer::ExplainSet(explanation) => explain_set(page, explanation),
        FlowAnswer::Delta(answer) => delta(page, answer),
        FlowAnswer::Place(answer) => place(page, answer),
    }
}

fn delta(page: &mut Page, answer: &DeltaAnswer) {
    delta_report(page, &answer.report);
    for note in &answer.notes {
        page.field(0, "Note", Tone::Plain, note);
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

fn explain_set(page: &mut Page, explanation: &SetExplanation) {
    for packets in &explanation.asked {
        page.field(0, "Packets", Tone::Plain, packets);
    }
    let (word, tone) = verdict(explanation.verdict);
    let word = match explanation.verdict {
        Verdict::Deny if !explanation.allowed.packets.is_empty() => "denied in part",
        Verdict::Unknown if !explanation.allowed.packets.is_empty() => "unknown in part",
        _ => word,
    };
    page.field(0, "Verdict", tone, word);
    for atom in &explanation.atoms {
        let words = format!("{}: {}", atom.name, atom.reason);
        page.field(0, "Not known", Tone::Caution, &words);
    }
    for note in &explanation.notes {
        page.field(0, "Note", Tone::Plain, note);
    }
    if !explanation.stops.is_empty() {
        page.gap();
        page.line(0, Tone::Strong, "Stopped on the way, in this order");
    }
    for (at, stop) in explanation.stops.iter().enumerate() {
        let (_, tone) = verdict(stop.rule.verdict);
        let words = format!("{}: {}", stop.rule.hop, rule(&stop.rule));
        page.item(2, &format!("{}. ", at + 1), tone, &words);
        packets(page, 5, &stop.part);
    }
    page.gap();
    for (title, tone, part) in [
        ("Allowed", Tone::Good, &explanation.allowed),
        ("Denied", Tone::Bad, &explanation.denied),
        ("Unknown", Tone::Caution, &explanation.unknown),
    ] {
        if part.packets.is_empty() {
            page.line(0, Tone::Plain, &format!("{title}: nothing"));
        } else {
            page.line(0, tone, &format!("{title}:"));
            packets(page, 2, part);
        }
    }
    if explanation.hops.len() < 2 {
        return;
    }
    page.gap();
    page.line(0, Tone::Strong, "On the way, each for itself");
    for hop in &explanation.hops {
        let (word, tone) = verdict(hop.verdict);
        page.item(2, "- ", tone, &format!("{}: {word}", hop.hop));
    }
}

fn packets(page: &mut Page, indent: usize, part: &PartReport) {
    for words in flow_boxes(&part.packets) {
        page.item(indent, "- ", Tone::Plain, &words);
    }
    if let Some(sample) = &part.sample {
        page.item(indent, "  such as ", Tone::Plain, sample);
    }
}

fn place(page: &mut Page, answer: &PlaceAnswer) {
    match answer {
        PlaceAnswer::Placed(placed) => of_placed(page, placed),
        PlaceAnswer::AlreadyInForce => {
            let words = "none is needed: every packet has this verdict already";
            page.field(0, "Priority", Tone::Good, words);
        }
        PlaceAnswer::NoFreePriority(shown) => no_free_priority(page, shown),
        PlaceAnswer::GroupIsFull { rules, maximum } => {
            let words = format!("none: the group has {rules} rules and may have {maximum}");
            page.field(0, "Priority", Tone::Bad, &words);
        }
    }
}

fn of_placed(page: &mut Page, placed: &Placed) {
    let rule = &placed.rule;
    page.field(0, "Priority", Tone::Good, &rule.priority.to_string());
    let words = format!(
        "{} {} {}: {} {} from {} to {}",
        rule.name,
        rule.direction.arm(),
        rule.access.arm(),
        rule.protocol,
        rule.destination_ports.join(", "),
        rule.source_prefixes.join(", "),
        rule.destination_prefixes.join(", "),
    );
    page.field(0, "Rule", Tone::Plain, &words);
    let before = &placed.before;
    let words = format!(
        "{}, priority {}, the first that decides some of its packets the other way",
        before.rule, before.priority
    );
    page.field(0, "Before", Tone::Plain, &words);
    for after in &placed.after {
        let words = format!(
            "{}, priority {}, which is stricter and stays in force",
            after.rule, after.priority
        );
        page.field(0, "After", Tone::Plain, &words);
    }
    if placed.renumbered.is_empty() {
        let words = format!("{} other free numbers would do", placed.room_left);
        page.field(0, "Room left", Tone::Plain, &words);
    } else {
        page.gap();
        let title = "No number is free: moved with it, in one write of the group";
        page.line(0, Tone::Strong, title);
        for moved in &placed.renumbered {
            let words = format!("{}: {} to {}", moved.rule, moved.from, moved.to);
            page.item(2, "- ", Tone::Caution, &words);
        }
        if !placed.is_fewest {
            let words = "There are too many ways to try them all: moving fewer rules might do.";
            page.words(2, Tone::Plain, words);
        }
    }
    page.gap();
    delta_report(page, &placed.delta);
}

fn no_free_priority(page: &mut Page, shown: &NoFreePriority) {
    let words = match shown.all_were_tried {
        true => "none: no number would do, and none can be freed",
        false => "none: no number would do, and no proved renumbering that frees one was found",
    };
    page.field(0, "Priority", Tone::Bad, words);
    let words = format!(
        "{}: after it, it still decides {}",
        shown.before, shown.still_stopped
    );
    page.field(0, "Before", Tone::Plain, &words);
    if let (Some(rule), Some(packet)) = (&shown.after, &shown.wrongly_decided) {
        let words = format!("{rule}: before it, it would no longer decide {packet}");
        page.field(0, "After", Tone::Plain, &words);
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
