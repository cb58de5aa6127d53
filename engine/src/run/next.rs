//! What a run does next, decided from its status alone: the same after a
//! restart as without one.

use crate::{
    error::{Code, Error},
    journal::{InFlight, Status},
    model::{journal::Way, run::RunState, run::StepState},
};

/// How often a step is tried on one way.
const TRIES_AT_MOST: u32 = 3;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing.
    End,
    /// Find out what became of an intent.
    ReadBack(InFlight),
    /// Ask the tunnel, before the first step or after the way back.
    Probe(Way),
    /// Perform a step, or take it back.
    Step(InFlight),
    /// Journal that all steps are in place.
    StartVerify,
    /// Ask plugin and probe.
    Verify,
    /// Journal the good end.
    Succeed,
    /// Journal that steps are going to be taken back.
    StartRollback(String),
    /// Journal that all steps are taken back.
    RolledBack,
    /// Journal the end before any effect.
    Cancel(String),
    /// Journal that a person must look.
    Stick(Error),
}

/// Decides.
pub(super) fn next_move(status: &Status) -> Move {
    if status.is_final() {
        return Move::End;
    }
    if let Some(flight) = status.in_flight() {
        return Move::ReadBack(flight);
    }
    match status.state() {
        Some(RunState::Applying) => applying(status),
        Some(RunState::Verifying) => match status.verified() {
            None => Move::Verify,
            Some(true) => Move::Succeed,
            Some(false) => Move::StartRollback(
                "the steps are in place, but verification shows that they did not mend it"
                    .to_owned(),
            ),
        },
        Some(RunState::RollingBack) => rolling_back(status),
        _ => Move::End,
    }
}

fn applying(status: &Status) -> Move {
    if status.may_probe(Way::Forward) {
        return Move::Probe(Way::Forward);
    }
    let Some(step) = status.next_step(Way::Forward) else {
        return Move::StartVerify;
    };
    let tries = tries(status, step, Way::Forward);
    let refusal = status
        .steps()
        .get(step as usize)
        .and_then(|s| s.refused.as_ref());
    match refusal {
        // Reading back has shown that nothing changed.
        Some(refusal) if refusal.code == Code::OutcomeUnknown && tries < TRIES_AT_MOST => {
            forward(step, tries)
        }
        None => forward(step, tries),
        Some(refusal) => {
            let reason = format!("step {} was not done: {}", step + 1, refusal.message);
            if status.any_applied() {
                Move::StartRollback(reason)
            } else {
                Move::Cancel(reason)
            }
        }
    }
}

fn forward(step: u32, tries: u32) -> Move {
    Move::Step(InFlight {
        step,
        way: Way::Forward,
        attempt: tries + 1,
    })
}

fn tries(status: &Status, step: u32, way: Way) -> u32 {
    status
        .steps()
        .get(step as usize)
        .map_or(0, |s| s.attempts_on(way))
}

fn rolling_back(status: &Status) -> Move {
    let steps = (0_u32..).zip(status.steps());
    let refused = steps
        .filter(|(_, s)| s.state == StepState::Applied)
        .find_map(|(step, s)| Some((step, s.refused.as_ref()?)))
        .filter(|(_, refusal)| refusal.code != Code::RunNotReversible);
    if let Some((step, refusal)) = refused {
        let tries = tries(status, step, Way::Back);
        let may_pass = refusal.code != Code::RollbackConflict && tries > 0 && tries < TRIES_AT_MOST;
        if may_pass {
            return back(step, tries);
        }
        return Move::Stick(Error::new(
            refusal.code,
            format!(
                "step {} could not be taken back: {}",
                step + 1,
                refusal.message
            ),
            "look at what the step changed; when it is as it should be, roll back again or leave it",
        ));
    }
    match status.next_step(Way::Back) {
        Some(step) => back(step, tries(status, step, Way::Back)),
        None if status.any_applied() => Move::Stick(Error::new(
            Code::RunNotReversible,
            what_stays(status),
            "look at the cluster: what those steps did stays",
        )),
        None if status.may_probe(Way::Back) => Move::Probe(Way::Back),
        None => Move::RolledBack,
    }
}

/// Which steps stay, why each does, and why they were to be taken back.
fn what_stays(status: &Status) -> String {
    let steps = (1_u32..).zip(status.steps());
    let stays = steps.filter(|(_, s)| s.state == StepState::Applied);
    let stays: Vec<String> = stays
        .map(|(number, s)| {
            let why = s.refused.as_ref().map(|r| r.message.as_str());
            format!("step {number}: {}", why.unwrap_or("it stays"))
        })
        .collect();
    let because = status.back_because().unwrap_or("that was asked for");
    format!(
        "all that can be taken back is, and some steps cannot be ({}); they were to be because {because}",
        stays.join("; ")
    )
}

fn back(step: u32, tries: u32) -> Move {
    Move::Step(InFlight {
        step,
        way: Way::Back,
        attempt: tries + 1,
    })
}
