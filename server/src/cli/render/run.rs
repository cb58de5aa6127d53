//! A run and its journal.

use naosu_engine::model::{
    Event, Inverse, Plan, Run, RunState, Step, StepState, TunnelAnswers, journal::Way,
};

use super::{day, plan::effect_words, principal, run_state, time, time_of_day, tunnel};
use crate::cli::page::{Page, Tone};

/// What is known beside a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The plan that it executes, where that could be read.
    pub plan: Option<&'a Plan>,
    /// Whether runs are executed by this process, and stop with it.
    pub is_embedded: bool,
    /// Whether the person has just seen the journal on the same screen.
    pub journal_was_shown: bool,
}

/// Where it stands, each step, each entry, and what to do.
pub fn run(page: &mut Page, run: &Run, beside: &Beside) {
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
            tunnel::tunnel(page, when, answers);
        }
    }
    if beside.journal_was_shown {
        page.field(2, "Journal", Tone::Plain, "as shown above, and by:");
        page.command(4, &["run", "show", &run.id.0]);
    } else {
        journal(page, run);
    }
    page.gap();
    next(page, run, beside);
}

fn journal(page: &mut Page, run: &Run) {
    page.gap();
    page.line(0, Tone::Strong, "Journal");
    for entry in &run.entries {
        let (words, tone) = event_words_beside(&entry.event, &run.summary);
        // The day only where it is another than at the start.
        let at = if day(entry.at) == day(run.started_at) {
            time_of_day(entry.at)
        } else {
            time(entry.at)
        };
        let mark = format!("{:>3}  {at}  ", entry.sequence);
        page.item(0, &mark, tone, &words);
    }
}

/// Last, where a terminal shows it: what came of it, and what to do.
fn next(page: &mut Page, run: &Run, beside: &Beside) {
    let diagnose = |page: &mut Page| page.command(2, &["diagnose", run.cluster.as_str()]);
    match run.state {
        RunState::Applying | RunState::Verifying | RunState::RollingBack => {
            let words = if beside.is_embedded {
                "Nobody executes it now, unless another naosu works on this store. To go on with \
                 it, and watch:"
            } else {
                "It goes on at the server. To watch it:"
            };
            page.words(0, Tone::Caution, words);
            page.command(2, &["run", "watch", &run.id.0]);
        }
        RunState::Succeeded => {
            if let Some(words) = partly(run) {
                page.words(0, Tone::Caution, &words);
                page.line(0, Tone::Plain, "To find what remains:");
                diagnose(page);
            }
            take_back(page, run, beside, "To take it back");
        }
        RunState::Stuck => {
            page.words(0, Tone::Bad, "A person must look.");
            in_place(page, run, beside);
            take_back(page, run, beside, "When the cause is removed, take it back");
        }
        RunState::RolledBack => {
            page.words(
                0,
                Tone::Plain,
                "Everything was taken back. To diagnose again:",
            );
            diagnose(page);
        }
        RunState::Cancelled => {
            page.words(0, Tone::Plain, "Nothing was changed. To diagnose again:");
            diagnose(page);
        }
    }
}

/// What is not mended where a run that succeeded mended one of several causes.
fn partly(run: &Run) -> Option<String> {
    let answers = run.tunnel_after().filter(|answers| !answers.carries())?;
    let left = answers.asked.saturating_sub(answers.reached);
    let nodes = match (answers.asked, left) {
        (0, _) => "whether its nodes are reached is not known".to_owned(),
        (_, 1) => "1 node is still not reached".to_owned(),
        (_, left) => format!("{left} nodes are still not reached"),
    };
    // The verification's summary ends with what remains.
    let remains = run
        .summary
        .split_once(&answers.in_words())
        .map(|(_, remains)| remains.trim().trim_end_matches('.'))
        .filter(|remains| !remains.is_empty());
    Some(match remains {
        Some(remains) => format!("PARTLY MENDED: {nodes}; {remains}."),
        None => format!("PARTLY MENDED: {nodes}."),
    })
}

/// The steps that are or may be in place, with their numbers.
fn steps_in_place<'a>(run: &Run, plan: &'a Plan) -> Vec<(usize, &'a Step)> {
    let steps = run.steps.iter().zip(&plan.content.steps).enumerate();
    steps
        .filter(|(_, (state, _))| matches!(state, StepState::Applied | StepState::InFlight))
        .map(|(number, (_, step))| (number + 1, step))
        .collect()
}

/// What a person has to look at, and what Naosu would have done there.
fn in_place(page: &mut Page, run: &Run, beside: &Beside) {
    let Some(plan) = beside.plan else {
        return;
    };
    for (number, step) in steps_in_place(run, plan) {
        let words = format!("step {number} is or may be in place: {}", step.title);
        page.item(2, "- ", Tone::Plain, &words);
        if let Inverse::Effect { effect } = &step.inverse {
            page.item(4, "taken back by: ", Tone::Plain, &effect_words(effect));
        }
    }
}

/// How it is taken back, where it can be.
fn take_back(page: &mut Page, run: &Run, beside: &Beside, title: &str) {
    let steps = beside.plan.map(|plan| steps_in_place(run, plan));
    let for_good: Vec<(usize, &str)> = steps
        .iter()
        .flatten()
        .filter_map(|(number, step)| match &step.inverse {
            Inverse::Irreversible { reason } => Some((*number, reason.as_str())),
            Inverse::Effect { .. } => None,
        })
        .collect();
    let is_all = steps.is_some_and(|steps| steps.len() == for_good.len());
    for (number, reason) in &for_good {
        let words = if is_all && for_good.len() == 1 {
            format!("This cannot be taken back: {reason}")
        } else {
            format!("Step {number} cannot be taken back: {reason}")
        };
        page.words(0, Tone::Caution, &words);
    }
    // A run that is stuck may be ended so, whatever of it is in place.
    if !is_all || run.state == RunState::Stuck {
        page.line(0, Tone::Plain, &format!("{title}:"));
        page.command(2, &["run", "rollback", &run.id.0]);
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

/// Shorter texts are said again where they belong.
const SAID_ONCE: usize = 40;

/// The same beside the run's summary, which is not said twice.
fn event_words_beside(event: &Event, summary: &str) -> (String, Tone) {
    let is_said = |text: &str| text.len() > SAID_ONCE && summary.contains(text);
    let (words, tone) = event_words(event);
    let said = match event {
        Event::Refused { error, .. } | Event::Stuck { error } => error.message.as_str(),
        Event::Cancelled { reason } | Event::RollbackStarted { reason, .. } => reason.as_str(),
        _ => "",
    };
    if is_said(said) {
        (words.replace(said, "see Summary"), tone)
    } else {
        (words, tone)
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
        Event::Probed {
            way,
            tunnel: answers,
        } => {
            let when = match way {
                Way::Forward => "before",
                Way::Back => "after taking back",
            };
            (
                format!("probed {when}: {}", tunnel::in_short(answers)),
                tunnel::tone(answers),
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
            mended,
            summary,
            tunnel,
        } => {
            let carries = tunnel.as_ref().is_none_or(TunnelAnswers::carries);
            let (word, tone) = match (mended, carries) {
                (true, true) => ("mended", Tone::Good),
                (true, false) => ("PARTLY mended", Tone::Caution),
                (false, _) => ("NOT mended", Tone::Bad),
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
