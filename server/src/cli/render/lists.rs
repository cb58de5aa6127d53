//! Many, one a row.

use std::{collections::BTreeSet, iter};

use jiff::Timestamp;
use naosu_engine::model::{Decision, Diagnosis, Judgement, Plan, PluginInfo, Run};

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

/// Plans, each with what it mends below it, and its run: two ids do not fit beside
/// each other.
pub fn plans(page: &mut Page, plans: &[Plan], runs: &[Run], now: Timestamp) {
    let rows: Vec<_> = plans
        .iter()
        .map(|plan| {
            let content = &plan.content;
            let approvals = plan.approvals.iter();
            let approved = approvals
                .filter(|a| a.decision == Decision::Approve)
                .count();
            let state = serde_json::to_value(plan.state).unwrap_or_default();
            let mut below = vec![format!(
                "{} on {}, risk {}",
                content.plugin,
                content.cluster.name(),
                risk(content.risk).0
            )];
            if let Some(id) = &plan.run {
                let run = runs.iter().find(|run| run.id == *id);
                let state = run.map_or("", |run| run_state(run.state).0);
                below.push(format!("applied: {} {state}", id.0));
            }
            let cells = vec![
                plan.id.0.clone(),
                state.as_str().unwrap_or_default().to_owned(),
                format!("{approved}/{}", content.approvals_needed),
                age(content.created_at, now),
            ];
            (cells, below)
        })
        .collect();
    let headings = ["PLAN", "STATE", "APPROVED", "AGE"];
    with_lines_below(page, &headings, &rows, "no plan");
}

/// Runs, each with what it did below it.
pub fn runs(page: &mut Page, runs: &[Run], plans: &[Plan], now: Timestamp) {
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            let plan = plans.iter().find(|plan| plan.id == run.plan);
            let what = plan.map_or(run.plan.0.as_str(), |plan| plan.content.summary.as_str());
            let below = vec![format!("on {}: {what}", run.cluster.name())];
            let cells = vec![
                run.id.0.clone(),
                run_state(run.state).0.to_owned(),
                age(run.started_at, now),
            ];
            (cells, below)
        })
        .collect();
    with_lines_below(page, &["RUN", "STATE", "AGE"], &rows, "no run");
    let going_on = runs.iter().find(|run| !run.state.is_final());
    if let Some(run) = going_on {
        page.gap();
        let words = "A run that has not ended goes on where a naosu executes it. To watch it, and \
                     without a server to go on with it:";
        page.words(0, Tone::Caution, words);
        page.command(2, &["run", "watch", &run.id.0]);
    }
}

/// "5 min": how long ago, which needs no date to compare.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A row of cells and the lines below it, which do not make its columns wider.
type Row = (Vec<String>, Vec<String>);

fn with_lines_below(page: &mut Page, headings: &[&str], rows: &[Row], none: &str) {
    if rows.is_empty() {
        page.line(0, Tone::Plain, none);
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(cells, _)| cells.get(column));
        let heading = headings.get(column).map_or(0, |heading| heading.len());
        cells
            .map(|cell| cell.chars().count())
            .fold(heading, usize::max)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| -> String {
        let padded = cells
            .enumerate()
            .map(|(n, cell)| format!("{cell:w$}  ", w = width(n)));
        padded.collect()
    };
    page.line(0, Tone::Strong, &line(&mut headings.iter().copied()));
    for (cells, below) in rows {
        page.line(0, Tone::Plain, &line(&mut cells.iter().map(String::as_str)));
        for words in below {
            page.words(2, Tone::Faint, words);
        }
    }
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
