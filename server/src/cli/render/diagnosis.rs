//! A diagnosis: what is at work, what is not, and why.

use naosu_engine::model::{Bearing, Diagnosis, Finding, Hint, PluginInfo, Query, Unreadable};

use super::{
    flow, judgement, principal, resource, time, time_of_day, tunnel, what_to_do::what_to_do,
};
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
        tunnel::tunnel(page, "Tunnel", answers);
    }
    if let Some(hint) = &diagnosis.hint {
        page.gap();
        self::hint(page, hint, &node_names(diagnosis));
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
    what_to_do(page, diagnosis, plugins);
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
fn hint(page: &mut Page, hint: &Hint, node_names: &[String]) {
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
        let mut unknown = format!("{}: no node of this cluster", hint.unknown_nodes.join(", "));
        if let Some((names, more)) = few(node_names) {
            unknown.push_str(&format!("; it has {names}{more}"));
        }
        page.item(2, "CAUTION: ", Tone::Caution, &unknown);
    }
}

/// Names of the cluster's nodes, as far as they were read.
fn node_names(diagnosis: &Diagnosis) -> Vec<String> {
    let listed = diagnosis.observations.iter().find_map(|seen| {
        let is_of_nodes = matches!(&seen.query,
            Query::KubernetesList { object_kind, .. } if object_kind == "Node");
        is_of_nodes.then_some(seen.answer.as_ref().ok()?)
    });
    let nodes: Vec<serde_json::Value> = listed
        .and_then(|body| serde_json::from_str(body).ok())
        .unwrap_or_default();
    nodes
        .iter()
        .filter_map(|node| node.pointer("/metadata/name")?.as_str())
        .map(str::to_owned)
        .collect()
}

/// How many nodes are named to who mistyped one.
const NODES_NAMED: usize = 8;

/// The first of them, and how many there are beside.
fn few(names: &[String]) -> Option<(String, String)> {
    let named = names.get(..NODES_NAMED).unwrap_or(names);
    let more = match names.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| (named.join(", "), more))
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
