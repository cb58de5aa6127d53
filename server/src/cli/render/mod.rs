//! Results as text.

mod diagnosis;
mod error;
mod flow;
mod flow_answer;
mod lists;
mod plan;
mod plugin;
mod run;
#[cfg(test)]
mod tests;
mod tunnel;
mod what_to_do;

pub use diagnosis::diagnosis;
pub use error::error;
pub use flow_answer::flow_answer;
pub use lists::{diagnoses, plans, plugins, runs};
pub use plan::{next_of_plan, plan, plan_with_run};
pub use plugin::plugin;
pub use run::{Beside, event_words, run};

use jiff::Timestamp;
use naosu_engine::model::{Judgement, Principal, Risk, RunState};

use super::page::Tone;

/// A time to the second, in UTC.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// The time of day, where the day is shown elsewhere.
fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// An ARM id as its last type and name and its group; anything else as it is.
/// Whole ids are in the JSON form.
fn resource(id: &str) -> String {
    let segments: Vec<&str> = id.split('/').collect();
    let group = segments
        .windows(2)
        .find(|pair| pair[0].eq_ignore_ascii_case("resourceGroups"))
        .map(|pair| pair[1]);
    match (group, segments.as_slice()) {
        (Some(group), [.., kind, name]) => format!("{kind}/{name} in {group}"),
        _ => id.to_owned(),
    }
}

fn principal(principal: &Principal) -> String {
    if principal.is_assistant {
        format!("{} (assistant)", principal.name)
    } else {
        principal.name.clone()
    }
}

fn judgement(judgement: Judgement) -> (&'static str, Tone) {
    match judgement {
        Judgement::Confirmed => ("confirmed", Tone::Bad),
        Judgement::Suspected => ("suspected", Tone::Caution),
        Judgement::Unknown => ("unknown", Tone::Caution),
        Judgement::RuledOut => ("ruled out", Tone::Good),
    }
}

fn risk(risk: Risk) -> (&'static str, Tone) {
    match risk {
        Risk::Low => ("low", Tone::Plain),
        Risk::Medium => ("medium", Tone::Caution),
        Risk::High => ("high", Tone::Bad),
        Risk::Highest => ("highest", Tone::Bad),
    }
}

fn run_state(state: RunState) -> (&'static str, Tone) {
    let tone = match state {
        RunState::Applying | RunState::Verifying => Tone::Plain,
        RunState::Succeeded => Tone::Good,
        RunState::RollingBack | RunState::RolledBack | RunState::Cancelled => Tone::Caution,
        RunState::Stuck => Tone::Bad,
    };
    (state.as_str(), tone)
}
