//! The tools, one file a noun.

mod diagnoses;
mod plans;
mod plugins;
mod runs;

use super::catalog::Entry;

/// All tools, in the order of their use.
pub(super) fn all() -> Vec<Entry> {
    [
        plugins::list(),
        diagnoses::diagnose(),
        diagnoses::get(),
        diagnoses::list(),
        plans::create(),
        plans::get(),
        plans::list(),
        plans::apply(),
        runs::get(),
        runs::list(),
        runs::rollback(),
    ]
    .into_iter()
    .filter_map(|entry| {
        entry
            .inspect_err(|reason| tracing::error!(%reason, "a tool has no input schema"))
            .ok()
    })
    .collect()
}
