//! A diagnosis: what is at work, what is not, and why.

use naosu_engine::model::{Diagnosis, Finding, Judgement};

use super::{flow, judgement, principal, time};
use crate::cli::page::{Page, Tone};

/// Findings in order, each with the evidence that decides it.
pub fn diagnosis(page: &mut Page, diagnosis: &Diagnosis) {
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
        "{read} of {} gave something, in {} ms",
        diagnosis.observations.len(),
        took.as_millis()
    );
    page.field(2, "Reads", Tone::Plain, &reads);
    for finding in &diagnosis.findings {
        page.gap();
        self::finding(page, finding);
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
    next(page, diagnosis);
}

fn finding(page: &mut Page, finding: &Finding) {
    let (sure, tone) = judgement(finding.judgement);
    let head = format!("{}: {}", sure.to_uppercase(), finding.cause);
    page.line(0, tone, &head);
    page.words(2, Tone::Plain, &finding.summary);
    for evidence in &finding.evidence {
        page.item(2, "- ", Tone::Plain, &evidence.meaning);
        page.line(4, Tone::Faint, &evidence.resource);
        let value = format!("{} = {}", evidence.field, evidence.value);
        page.words(4, Tone::Faint, &value);
        page.line(
            4,
            Tone::Faint,
            &format!("read {}", time(evidence.observed_at)),
        );
    }
    for required in &finding.required_flows {
        page.item(2, "needs ", Tone::Plain, &flow::required(required));
    }
    if let Some(infeasible) = &finding.infeasible {
        page.item(2, "CANNOT BE MENDED HERE: ", Tone::Caution, infeasible);
    }
}

fn next(page: &mut Page, diagnosis: &Diagnosis) {
    let confirmed = diagnosis
        .findings
        .iter()
        .any(|f| f.judgement == Judgement::Confirmed && f.infeasible.is_none());
    if confirmed {
        page.line(0, Tone::Plain, "To plan a fix:");
        let command = format!("naosu plan create {}", diagnosis.id.0);
        page.line(2, Tone::Strong, &command);
    } else {
        page.line(
            0,
            Tone::Plain,
            "No cause is confirmed that can be mended here.",
        );
    }
}
