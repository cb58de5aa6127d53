//! For tests and benchmarks of plugins: recorded reads, and a small estate to
//! record them from.

mod call;
mod estate;
mod firewall;
mod ports;

pub use call::{diagnose, plan, verify};
pub use estate::Estate;
pub use firewall::TestFirewall;
pub use ports::MeasuredNode;

use crate::{Observation, ObserveError, Query, Reads};

/// When everything of a [`Recorded`] was read, in milliseconds since 1970.
pub const OBSERVED_AT: u64 = 1_760_000_000_000;

/// Reads that were recorded, or made up. What is not there is not found.
#[derive(Clone, Debug, Default)]
pub struct Recorded(pub Vec<(Query, Result<Observation, ObserveError>)>);

impl Recorded {
    /// Records an answer; a later one for the same query replaces it.
    pub fn put(&mut self, query: Query, body: impl ToString) {
        let observation = Observation {
            body: body.to_string(),
            observed_at: OBSERVED_AT,
            digest: String::new(),
        };
        self.set(query, Ok(observation));
    }

    /// Records that a read failed.
    pub fn fail(&mut self, query: Query, error: ObserveError) {
        self.set(query, Err(error));
    }

    /// Changes an answer that was recorded.
    pub fn edit(&mut self, query: &Query, change: impl FnOnce(&mut serde_json::Value)) {
        let body = self.read(query).map(|observation| observation.body);
        let mut body = serde_json::from_str(&body.unwrap_or_default()).unwrap_or_default();
        change(&mut body);
        self.put(query.clone(), body);
    }

    fn set(&mut self, query: Query, answer: Result<Observation, ObserveError>) {
        self.0.retain(|(known, _)| *known != query);
        self.0.push((query, answer));
    }
}

impl Reads for Recorded {
    fn read(&self, query: &Query) -> Result<Observation, ObserveError> {
        self.0.iter().find(|(known, _)| known == query).map_or_else(
            || {
                Err(ObserveError::NotFound(format!(
                    "{query:?} was not recorded"
                )))
            },
            |(_, answer)| answer.clone(),
        )
    }
}
