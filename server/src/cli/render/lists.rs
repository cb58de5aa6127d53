//! Many, one a row.

use naosu_engine::model::{Diagnosis, Judgement, Plan, PluginInfo, Run};

use super::{risk, run_state, time};
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

/// Plans.
pub fn plans(page: &mut Page, plans: &[Plan]) {
    let row = |p: &Plan| {
        let state = serde_json::to_value(p.state).unwrap_or_default();
        vec![
            p.id.0.clone(),
            state.as_str().unwrap_or_default().to_owned(),
            risk(p.content.risk).0.to_owned(),
            p.content.cluster.name().to_owned(),
        ]
    };
    let rows: Vec<_> = plans.iter().map(row).collect();
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

/// Diagnoses.
pub fn diagnoses(page: &mut Page, diagnoses: &[Diagnosis]) {
    let row = |d: &Diagnosis| {
        let confirmed: Vec<&str> = d
            .findings
            .iter()
            .filter(|f| f.judgement == Judgement::Confirmed)
            .map(|f| f.cause.as_str())
            .collect();
        vec![
            d.id.0.clone(),
            d.cluster.name().to_owned(),
            time(d.started_at),
            confirmed.join(", "),
        ]
    };
    let rows: Vec<_> = diagnoses.iter().map(row).collect();
    let headings = ["DIAGNOSIS", "CLUSTER", "STARTED", "CONFIRMED"];
    table(page, &headings, &rows, "no diagnosis");
}
