//! The status of a run, folded from its journal by one function that owns the
//! legal transitions: [`Status::after`].

mod status;

#[cfg(test)]
mod tests;

pub use status::{InFlight, Status, StepStatus};

use crate::{
    error::{Code, Error},
    model::{Entry, Event, Run, run::RunState, run::StepState},
    store::RunRecord,
};

/// An entry that cannot follow the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} ({event}) cannot follow: {why}")]
pub struct IllegalTransition {
    /// Its sequence number.
    pub sequence: u64,
    /// What it says.
    pub event: String,
    /// Why it cannot follow.
    pub why: String,
}

impl From<IllegalTransition> for Error {
    fn from(error: IllegalTransition) -> Self {
        Self::new(
            Code::StoreCorrupt,
            format!("the journal is not one that Naosu writes: {error}"),
            "do not apply anything on this cluster before a person has looked at it",
        )
    }
}

/// Folds a journal.
///
/// # Errors
/// [`IllegalTransition`] for the first entry that cannot follow.
pub fn fold(step_count: u32, entries: &[Entry]) -> Result<Status, IllegalTransition> {
    let mut status = Status::new(step_count);
    for (expected, entry) in (0_u64..).zip(entries) {
        if entry.sequence != expected {
            return Err(IllegalTransition {
                sequence: entry.sequence,
                event: event_name(&entry.event).to_owned(),
                why: format!("its number should be {expected}"),
            });
        }
        status = status
            .after(&entry.event)
            .map_err(|why| IllegalTransition {
                sequence: entry.sequence,
                event: event_name(&entry.event).to_owned(),
                why,
            })?;
    }
    Ok(status)
}

/// The run as everyone sees it.
///
/// # Errors
/// `store_corrupt` when the journal is empty or not a legal one.
pub fn run_of(record: &RunRecord) -> Result<Run, Error> {
    let status = fold(record.step_count, &record.entries)?;
    let (Some(first), Some(last)) = (record.entries.first(), record.entries.last()) else {
        return Err(Error::new(
            Code::StoreCorrupt,
            format!("{} has no entries", record.id.0),
            "restore a backup of the store",
        ));
    };
    let Event::Started {
        plan,
        digest,
        principal,
    } = &first.event
    else {
        // `fold` has refused that.
        return Err(IllegalTransition {
            sequence: 0,
            event: event_name(&first.event).to_owned(),
            why: "a journal begins with started".to_owned(),
        }
        .into());
    };
    Ok(Run {
        id: record.id.clone(),
        plan: plan.clone(),
        plan_digest: digest.clone(),
        cluster: record.cluster.clone(),
        principal: principal.clone(),
        state: status.state().unwrap_or(RunState::Applying),
        steps: status.steps().iter().map(StepStatus::shown).collect(),
        summary: summary(&record.entries),
        started_at: first.at,
        updated_at: last.at,
        entries: record.entries.clone(),
    })
}

/// The last entry that says something to a person.
fn summary(entries: &[Entry]) -> String {
    let words = |event: &Event| match event {
        Event::Verified { summary, .. } => Some(summary.clone()),
        Event::RollbackStarted { reason, .. } | Event::Cancelled { reason } => Some(reason.clone()),
        Event::Stuck { error } => Some(format!("{} {}", error.message, error.next)),
        Event::Refused { error, .. } => Some(error.message.clone()),
        _ => None,
    };
    entries
        .iter()
        .rev()
        .find_map(|entry| words(&entry.event))
        .unwrap_or_default()
}

/// The snake_case name of an event, as in its JSON.
pub fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::Probed { .. } => "probed",
        Event::Intent { .. } => "intent",
        Event::Applied { .. } => "applied",
        Event::Refused { .. } => "refused",
        Event::VerifyStarted => "verify_started",
        Event::Verified { .. } => "verified",
        Event::RollbackStarted { .. } => "rollback_started",
        Event::Succeeded => "succeeded",
        Event::RolledBack => "rolled_back",
        Event::Cancelled { .. } => "cancelled",
        Event::Stuck { .. } => "stuck",
    }
}

impl StepStatus {
    /// As the model shows it.
    pub fn shown(&self) -> StepState {
        if self.in_flight {
            return StepState::InFlight;
        }
        self.state
    }
}
