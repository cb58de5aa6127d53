//! Which reads of a call failed, and with which code: what a guest hands on is
//! a kind and a message, and a kind has many codes.

use std::sync::Arc;

use super::{bindings::naosu::plugin::types as guest, convert};
use crate::{
    error::Code,
    model::{Observation, ObserveError, ObserveErrorKind},
};

enum Failure {
    /// It was read, and this came.
    Observed(Arc<Observation>),
    /// The host did not let it out.
    Refused(ObserveError),
}

impl Failure {
    fn error(&self) -> Option<&ObserveError> {
        match self {
            Self::Observed(observation) => observation.answer.as_ref().err(),
            Self::Refused(error) => Some(error),
        }
    }
}

/// The failed reads of one call, in order.
#[derive(Default)]
pub(super) struct Failures(Vec<Failure>);

impl Failures {
    /// Remembers an observation that is a failure.
    pub fn observed(&mut self, observation: Arc<Observation>) {
        self.0.push(Failure::Observed(observation));
    }

    /// Remembers a refusal of the host's own, and tells it to the guest.
    pub fn refused(
        &mut self,
        kind: ObserveErrorKind,
        code: Code,
        message: String,
    ) -> guest::ObserveError {
        let error = ObserveError {
            kind,
            code,
            message,
        };
        let told = convert::observe_error_to_guest(&error);
        self.0.push(Failure::Refused(error));
        told
    }

    /// The code of the failure that a guest hands on with this message: of the last
    /// one that it tells, else of the last one of its kind. `None` when no read
    /// failed so.
    pub fn code_of(&self, kind: ObserveErrorKind, message: &str) -> Option<Code> {
        let of_kind = || {
            let errors = self.0.iter().rev().filter_map(Failure::error);
            errors.filter(|error| error.kind == kind)
        };
        let told = |error: &&ObserveError| {
            !error.message.is_empty() && message.contains(error.message.as_str())
        };
        let error = of_kind().find(told).or_else(|| of_kind().next());
        error.map(|error| error.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_that_is_told_decides_and_not_the_last_one() {
        use ObserveErrorKind::{Forbidden, Unavailable};
        let mut failures = Failures::default();
        failures.refused(Unavailable, Code::NodeBusy, "node-0 is busy".into());
        failures.refused(Unavailable, Code::AzureThrottled, "too many".into());
        let code = |kind, message| failures.code_of(kind, message);
        assert_eq!(
            code(Unavailable, "ufw: node-0 is busy"),
            Some(Code::NodeBusy)
        );
        assert_eq!(code(Unavailable, "?"), Some(Code::AzureThrottled));
        assert_eq!(code(Forbidden, "node-0 is busy"), None);
    }
}
