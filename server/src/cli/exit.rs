//! Exit codes: stable, documented in `naosu --help`.

use naosu_engine::{
    Code, Error,
    error::Category,
    model::{Diagnosis, Run, RunState},
};

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// A fault of Naosu itself.
    Internal = 1,
    /// Wrong usage, configuration or input.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Not in this state: unapproved, expired, already applied …
    Refused = 4,
    /// Not allowed, or not authenticated.
    Forbidden = 5,
    /// Something else changed or is at work: drift, busy, conflict.
    Conflict = 6,
    /// Something does not answer, or asks to slow down.
    Unavailable = 7,
    /// The run ended, but not in SUCCEEDED (or ROLLED_BACK for a rollback).
    RunFailed = 8,
    /// The run is STUCK: a person must look.
    RunStuck = 9,
    /// Interrupted; what was begun can be resumed.
    Interrupted = 130,
}

/// The part of `naosu --help` about exit codes.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    a fault of naosu itself
  2    wrong usage, configuration or input
  3    no such cluster, diagnosis, plan, run, plugin or resource
  4    refused in this state: not approved, expired, stale digest, applied before
  5    not allowed, or not authenticated
  6    something changed or is at work: drift, cluster busy, conflict; also when
       that cancelled a run before it wrote anything
  7    something does not answer, is too slow, or asks to slow down
  8    the run ended otherwise than asked: rolled back, or cancelled otherwise
  9    the run is stuck: a person must look
       a diagnosis that could read nothing of Kubernetes is shown, and ends with
       the code of the failure (2, 5 or 7)
  130  interrupted; `naosu run watch` finishes a run that was begun, or its server";

impl Exit {
    /// The exit code of an error.
    pub fn of_error(error: &Error) -> Self {
        if error.code == Code::ShuttingDown {
            return Self::Interrupted;
        }
        match error.code.category() {
            Category::InvalidArgument => Self::Usage,
            Category::NotFound => Self::NotFound,
            Category::FailedPrecondition => Self::Refused,
            Category::PermissionDenied | Category::Unauthenticated => Self::Forbidden,
            Category::Aborted => Self::Conflict,
            Category::ResourceExhausted | Category::Unavailable | Category::DeadlineExceeded => {
                Self::Unavailable
            }
            Category::Internal => Self::Internal,
        }
    }

    /// The exit code of a diagnosis: it is none of the cluster where reads failed so
    /// that it says little.
    pub fn of_diagnosis(diagnosis: &Diagnosis) -> Self {
        match diagnosis.failure() {
            None => Self::Success,
            Some(code) => Self::of_error(&Error::new(code, "", "")),
        }
    }

    /// The exit code of a run that was to end in `wanted`.
    pub fn of_run(run: &Run, wanted: RunState) -> Self {
        // Drift, a conflict or a failed precondition is that, before a run or in it.
        let is_conflict = |error: &Error| Self::of_error(error) == Self::Conflict;
        match run.state {
            state if state == wanted => Self::Success,
            RunState::Stuck => Self::RunStuck,
            _ if run.cancelled_by().is_some_and(is_conflict) => Self::Conflict,
            _ => Self::RunFailed,
        }
    }
}
