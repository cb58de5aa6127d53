//! A run and its journal.

use naosu_engine::model::{Event, Run, RunState, StepState, journal::Way};

use super::{day, principal, run_state, time, time_of_day, tunnel_tone};
use crate::cli::page::{Page, Tone};

/// Where it stands, each step, each entry.
pub fn run(page: &mut Page, run: &Run) {
    page.line(0, Tone::Strong, &run.id.0);
    let (state, tone) = run_state(run.state);
    page.field(2, "State", tone, state);
    if !run.summary.is_empty() {
        page.field(2, "Summary", Tone::Plain, &run.summary);
    }
    page.field(2, "Plan", Tone::Plain, &run.plan.0);
    page.line(16, Tone::Faint, run.plan_digest.as_str());
    page.field(2, "Cluster", Tone::Plain, run.cluster.name());
    page.line(16, Tone::Faint, run.cluster.as_str());
    page.field(2, "Applied by", Tone::Plain, &principal(&run.principal));
    page.field(2, "Started", Tone::Plain, &time(run.started_at));
    page.field(2, "Last entry", Tone::Plain, &time(run.updated_at));
    let steps: Vec<String> = run
        .steps
        .iter()
        .enumerate()
        .map(|(number, state)| format!("{} {}", number + 1, step_words(*state)))
        .collect();
    page.field(2, "Steps", Tone::Plain, &steps.join(", "));
    for (when, answers) in [
        ("Before", run.tunnel_before()),
        ("After", run.tunnel_after()),
        ("Taken back", run.tunnel_taken_back()),
    ] {
        if let Some(answers) = answers {
            page.field(2, when, tunnel_tone(answers), &answers.in_words());
        }
    }
    page.gap();
    page.line(0, Tone::Strong, "Journal");
    for entry in &run.entries {
        let (words, tone) = event_words(&entry.event);
        // The day only where it is another than at the start.
        let at = if day(entry.at) == day(run.started_at) {
            time_of_day(entry.at)
        } else {
            time(entry.at)
        };
        let mark = format!("{:>3}  {at}  ", entry.sequence);
        page.item(0, &mark, tone, &words);
    }
    match run.state {
        RunState::Succeeded => {
            page.gap();
            page.line(0, Tone::Plain, "To take it back:");
            page.line(2, Tone::Strong, &format!("naosu run rollback {}", run.id.0));
        }
        RunState::Stuck => {
            page.gap();
            page.words(
                0,
                Tone::Bad,
                "A person must look. When the cause is removed, take it back:",
            );
            page.line(2, Tone::Strong, &format!("naosu run rollback {}", run.id.0));
        }
        _ => {}
    }
}

fn step_words(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::InFlight => "in flight",
        StepState::Applied => "applied",
        StepState::Refused => "refused",
        StepState::TakenBack => "taken back",
    }
}

/// One line of what happened.
pub fn event_words(event: &Event) -> (String, Tone) {
    let way_words = |way: &Way| match way {
        Way::Forward => "",
        Way::Back => " back",
    };
    match event {
        Event::Started { principal: who, .. } => {
            (format!("started by {}", principal(who)), Tone::Plain)
        }
        Event::Probed { way, tunnel } => {
            let when = match way {
                Way::Forward => "before",
                Way::Back => "after taking back",
            };
            (
                format!("probed {when}: {}", tunnel.in_words()),
                tunnel_tone(tunnel),
            )
        }
        Event::Intent { step, way, attempt } => (
            format!(
                "step {}{}: intent, attempt {attempt}",
                step + 1,
                way_words(way)
            ),
            Tone::Faint,
        ),
        Event::Applied {
            step,
            way,
            already_in_place,
            detail,
        } => {
            let done = match (way, already_in_place) {
                (Way::Forward, false) => "applied",
                (Way::Forward, true) => "already in place, nothing written",
                (Way::Back, false) => "taken back",
                (Way::Back, true) => "already gone, nothing written",
            };
            (format!("step {}: {done}: {detail}", step + 1), Tone::Good)
        }
        Event::Refused { step, way, error } => (
            format!(
                "step {}{}: refused, nothing changed: {} ({})",
                step + 1,
                way_words(way),
                error.message,
                error.code.as_str()
            ),
            Tone::Bad,
        ),
        Event::VerifyStarted => ("verification started".to_owned(), Tone::Faint),
        Event::Verified {
            mended, summary, ..
        } => {
            let (word, tone) = if *mended {
                ("mended", Tone::Good)
            } else {
                ("NOT mended", Tone::Bad)
            };
            (format!("{word}: {summary}"), tone)
        }
        // When a person asked, the reason says who.
        Event::RollbackStarted { reason, .. } => {
            (format!("rollback started: {reason}"), Tone::Caution)
        }
        Event::Succeeded => ("succeeded".to_owned(), Tone::Good),
        Event::RolledBack => ("rolled back".to_owned(), Tone::Caution),
        Event::Cancelled { reason } => (format!("cancelled: {reason}"), Tone::Caution),
        Event::Stuck { error } => (
            format!(
                "STUCK: {} ({}); next: {}",
                error.message,
                error.code.as_str(),
                error.next
            ),
            Tone::Bad,
        ),
    }
}
