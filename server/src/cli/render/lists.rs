//! Many, one a row.

use std::{collections::BTreeSet, iter};

use naosu_engine::model::{Diagnosis, Judgement, Plan, PluginInfo, Run};

use super::{judgement, risk, run_state, time};
use crate::cli::page::{Page, Tone};

fn table(page: &mut Page, headings: &[&str], rows: &[Vec<String>], none: &str) {
    if rows.is_empty() {
        page.line(0, Tone::Plain, none);
    } else {
        page.table(headings, rows);
    }
}

/// Plugins.
pub fn plugins(page: &mut Page, plugins: &[PluginInfo]) {
    let row = |p: &PluginInfo| {
        vec![
            p.id.clone(),
            p.version.clone(),
            p.cause.clone(),
            p.source.clone(),
        ]
    };
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let headings = ["PLUGIN", "VERSION", "CAUSE", "SOURCE"];
    table(page, &headings, &rows, "no plugin is loaded");
}

/// Plans, each with its run below it: two ids do not fit beside each other.
pub fn plans(page: &mut Page, plans: &[Plan]) {
    let rows_of = |p: &Plan| {
        let state = serde_json::to_value(p.state).unwrap_or_default();
        let plan = vec![
            p.id.0.clone(),
            state.as_str().unwrap_or_default().to_owned(),
            risk(p.content.risk).0.to_owned(),
            p.content.cluster.name().to_owned(),
        ];
        let run = p.run.iter().map(|run| vec![format!("  {}", run.0)]);
        iter::once(plan).chain(run).collect::<Vec<_>>()
    };
    let rows: Vec<_> = plans.iter().flat_map(rows_of).collect();
    table(
        page,
        &["PLAN", "STATE", "RISK", "CLUSTER"],
        &rows,
        "no plan",
    );
}

/// Runs.
pub fn runs(page: &mut Page, runs: &[Run]) {
    let row = |r: &Run| {
        vec![
            r.id.0.clone(),
            run_state(r.state).0.to_owned(),
            r.cluster.name().to_owned(),
            time(r.started_at),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    table(
        page,
        &["RUN", "STATE", "CLUSTER", "STARTED"],
        &rows,
        "no run",
    );
}

/// Diagnoses, each with what it found below it: a cause does not fit beside the rest.
pub fn diagnoses(page: &mut Page, diagnoses: &[Diagnosis]) {
    let rows_of = |d: &Diagnosis| {
        let diagnosis = vec![
            d.id.0.clone(),
            d.cluster.name().to_owned(),
            time(d.started_at),
        ];
        let found = found(d).into_iter().map(|words| vec![format!("  {words}")]);
        iter::once(diagnosis).chain(found).collect::<Vec<_>>()
    };
    let rows: Vec<_> = diagnoses.iter().flat_map(rows_of).collect();
    let headings = ["DIAGNOSIS", "CLUSTER", "STARTED"];
    table(page, &headings, &rows, "no diagnosis");
}

/// The causes that are confirmed or, without any, suspected, each marked as that.
fn found(diagnosis: &Diagnosis) -> Vec<String> {
    let causes = |sure: Judgement| -> Vec<String> {
        let findings = diagnosis.findings.iter();
        let of_this = findings.filter(|finding| finding.judgement == sure);
        // Several plugins may mend one cause.
        let causes: BTreeSet<&str> = of_this.map(|finding| finding.cause.as_str()).collect();
        let marked = |cause: &str| format!("{} {cause}", judgement(sure).0);
        causes.into_iter().map(marked).collect()
    };
    let confirmed = causes(Judgement::Confirmed);
    if confirmed.is_empty() {
        causes(Judgement::Suspected)
    } else {
        confirmed
    }
}
