//! A diagnosis: what is at work, what is not, and why.

use naosu_engine::model::{
    Bearing, Diagnosis, Finding, Hint, Judgement, PluginInfo, TunnelAnswers, Unreadable,
};

use super::{flow, judgement, principal, resource, time, time_of_day, tunnel_tone};
use crate::cli::page::{Page, Tone};

/// Findings in order, each with the evidence that decides it. Of `plugins` those
/// that give advice only are offered no plan; what is not among them is taken to
/// mend what it finds.
pub fn diagnosis(page: &mut Page, diagnosis: &Diagnosis, plugins: &[PluginInfo]) {
    page.line(0, Tone::Strong, &diagnosis.id.0);
    page.field(2, "Cluster", Tone::Plain, diagnosis.cluster.name());
    page.line(16, Tone::Faint, diagnosis.cluster.as_str());
    if !diagnosis.symptom.text.is_empty() {
        page.field(2, "Symptom", Tone::Plain, &diagnosis.symptom.text);
    }
    if !diagnosis.symptom.nodes.is_empty() {
        page.field(2, "Nodes", Tone::Plain, &diagnosis.symptom.nodes.join(", "));
    }
    let who = format!(
        "{}, {}",
        principal(&diagnosis.requester),
        time(diagnosis.started_at)
    );
    page.field(2, "Requested by", Tone::Plain, &who);
    let read = diagnosis
        .observations
        .iter()
        .filter(|o| o.answer.is_ok())
        .count();
    let took = diagnosis.finished_at.duration_since(diagnosis.started_at);
    let reads = format!(
        "{read} of {} gave something, in {:.1} s",
        diagnosis.observations.len(),
        took.as_secs_f64()
    );
    page.field(2, "Reads", Tone::Plain, &reads);
    for unreadable in diagnosis.unreadable() {
        self::unreadable(page, &unreadable);
    }
    if let Some(answers) = &diagnosis.tunnel {
        page.field(2, "Tunnel", tunnel_tone(answers), &answers.in_words());
    }
    if let Some(hint) = &diagnosis.hint {
        page.gap();
        self::hint(page, hint);
    }
    for alike in diagnosis.findings.chunk_by(says_the_same) {
        page.gap();
        self::findings(page, alike);
    }
    for failure in &diagnosis.failures {
        page.gap();
        let head = format!("NO FINDING by {}", failure.plugin);
        page.line(0, Tone::Caution, &head);
        let why = format!(
            "{} ({})",
            failure.error.message,
            failure.error.code.as_str()
        );
        page.words(2, Tone::Plain, &why);
        page.item(2, "next: ", Tone::Plain, &failure.error.next);
    }
    page.gap();
    next(page, diagnosis, plugins);
}

/// How many reads that failed in one way are named.
const UNREADABLE_NAMED: usize = 3;

fn unreadable(page: &mut Page, unreadable: &Unreadable) {
    let words = format!("{} ({})", unreadable.message, unreadable.code.as_str());
    page.field(2, "Not readable", Tone::Caution, &words);
    let (named, rest) = unreadable
        .reads
        .split_at(unreadable.reads.len().min(UNREADABLE_NAMED));
    let mut reads = named.join(", ");
    if !rest.is_empty() {
        reads.push_str(&format!(" and {} more", rest.len()));
    }
    page.field(2, "", Tone::Faint, &reads);
    let next = format!("next: {}", unreadable.next);
    page.field(2, "", Tone::Plain, &next);
}

/// What the symptom says, and what the probes say to that.
fn hint(page: &mut Page, hint: &Hint) {
    let (bearing, tone) = match hint.bearing {
        Bearing::Tunnel => ("speaks for a fault of the tunnel", Tone::Plain),
        Bearing::Elsewhere => ("speaks AGAINST a fault of the tunnel", Tone::Caution),
        Bearing::Open => ("speaks neither for nor against the tunnel", Tone::Plain),
    };
    page.line(0, tone, &format!("THE SYMPTOM {bearing}"));
    page.words(2, Tone::Plain, &hint.meaning);
    page.words(2, Tone::Plain, &hint.probe);
    page.item(2, "next: ", Tone::Plain, &hint.next);
    if !hint.nodes.is_empty() {
        page.field(2, "Names", Tone::Plain, &hint.nodes.join(", "));
    }
    if !hint.unknown_nodes.is_empty() {
        let unknown = format!("{}: no node of this cluster", hint.unknown_nodes.join(", "));
        page.item(2, "CAUTION: ", Tone::Caution, &unknown);
    }
}

/// Plugins that mend one cause in different ways judge it by the same evidence.
fn says_the_same(a: &Finding, b: &Finding) -> bool {
    (a.judgement, &a.cause, &a.summary, &a.infeasible)
        == (b.judgement, &b.cause, &b.summary, &b.infeasible)
        && a.evidence == b.evidence
        && a.required_flows == b.required_flows
}

/// One finding, or several plugins' that say the same.
fn findings(page: &mut Page, alike: &[Finding]) {
    let Some(finding) = alike.first() else {
        return;
    };
    let (sure, tone) = judgement(finding.judgement);
    let plugins: Vec<&str> = alike.iter().map(|f| f.plugin.as_str()).collect();
    let head = format!("{}: {}", sure.to_uppercase(), finding.cause);
    page.line(0, tone, &head);
    page.item(2, "by ", Tone::Faint, &plugins.join(", "));
    page.words(2, Tone::Plain, &finding.summary);
    for evidence in &finding.evidence {
        page.item(2, "- ", Tone::Plain, &evidence.meaning);
        let read = format!(
            "{}, {}: {} = {}",
            resource(&evidence.resource),
            time_of_day(evidence.observed_at),
            evidence.field,
            evidence.value
        );
        page.words(4, Tone::Faint, &read);
    }
    for required in &finding.required_flows {
        page.item(2, "needs ", Tone::Plain, &flow::required(required));
    }
    if let Some(infeasible) = &finding.infeasible {
        page.item(2, "CANNOT BE MENDED HERE: ", Tone::Caution, infeasible);
    }
}

/// Last, where a terminal shows it: what was found, and what to do.
fn next(page: &mut Page, diagnosis: &Diagnosis, plugins: &[PluginInfo]) {
    let counted = [
        Judgement::Confirmed,
        Judgement::Suspected,
        Judgement::Unknown,
        Judgement::RuledOut,
    ]
    .map(|sure| {
        let of_this = diagnosis.findings.iter().filter(|f| f.judgement == sure);
        (of_this.count(), judgement(sure).0)
    });
    let counted: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    page.line(0, Tone::Strong, &counted.join(", "));
    let failed: Vec<&str> = diagnosis
        .unreadable()
        .iter()
        .map(|unreadable| unreadable.code.as_str())
        .collect();
    if !failed.is_empty() {
        let said = format!(
            "not everything could be read ({}), and what depends on it is unknown: see above.",
            failed.join(", ")
        );
        page.item(0, "CAUTION: ", Tone::Caution, &said);
    }
    let only_advises = |plugin: &str| {
        let mut all = plugins.iter();
        all.any(|info| info.id == plugin && info.effects.is_empty())
    };
    let mendable = |sure: Judgement| -> Vec<&Finding> {
        let findings = diagnosis.findings.iter();
        let of_this = findings.filter(|f| f.judgement == sure && f.infeasible.is_none());
        of_this.filter(|f| !only_advises(&f.plugin)).collect()
    };
    let confirmed = mendable(Judgement::Confirmed);
    for finding in &confirmed {
        page.item(0, "CONFIRMED ", Tone::Bad, &finding.summary);
        plan_it(page, diagnosis, finding);
    }
    if confirmed.is_empty() {
        page.line(
            0,
            Tone::Plain,
            "No cause is confirmed that can be mended here.",
        );
        let suspected = mendable(Judgement::Suspected);
        if !suspected.is_empty() {
            let doubt = "What is only suspected may not be the cause: read its evidence before \
                         you plan to mend it.";
            page.words(0, Tone::Plain, doubt);
        }
        for finding in suspected {
            page.item(0, "SUSPECTED ", Tone::Caution, &finding.summary);
            plan_it(page, diagnosis, finding);
        }
        let elsewhere = |hint: &Hint| hint.bearing != Bearing::Tunnel;
        if diagnosis
            .tunnel
            .as_ref()
            .is_some_and(TunnelAnswers::carries)
            && diagnosis.hint.as_ref().is_some_and(elsewhere)
        {
            page.line(
                0,
                Tone::Plain,
                "The tunnel carries, so it is not at fault: see above what to do next.",
            );
        }
    }
}

/// The command that makes a plan of a finding.
fn plan_it(page: &mut Page, diagnosis: &Diagnosis, finding: &Finding) {
    let command = format!("naosu plan create {} \\", diagnosis.id.0);
    page.line(2, Tone::Strong, &command);
    let plugin = format!("--plugin {}", finding.plugin);
    page.line(4, Tone::Strong, &plugin);
}
