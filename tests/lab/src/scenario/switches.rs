//! How the emulated APIs and nodes misbehave on demand.

use serde::{Deserialize, Serialize};

/// Misbehaviour of the emulated estate; nothing by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// How many of the first ARM requests are answered 429 with a Retry-After of a second.
    pub throttled_requests: u32,
    /// The same of the first writes, of each method.
    pub throttled_writes: u32,
    /// The same of the first questions after an asynchronous operation.
    pub throttled_polls: u32,
    /// How many of the first asynchronous ARM writes end in `Failed`, having changed nothing.
    pub async_failures: u32,
    /// The error code of those failures.
    pub async_failure_code: String,
    /// How many of the first conditional ARM writes find that someone else wrote in between.
    pub etag_conflicts: u32,
    /// How many of the first run commands are refused because one is in progress.
    pub busy_run_commands: u32,
    /// How long an ARM operation takes.
    pub operation_milliseconds: u64,
    /// How long a run command takes at least.
    pub run_command_milliseconds: u64,
    /// `LANGUAGE` of node scripts, such as `fr`, unless they set it themselves.
    pub node_language: Option<String>,
    /// Whether nodes have no `ufw`.
    pub ufw_absent: bool,
    /// Patterns over the paths of ARM requests on which the caller has no rights, where `*` stands
    /// for any text.
    pub forbidden_paths: Vec<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            throttled_requests: 0,
            throttled_writes: 0,
            throttled_polls: 0,
            async_failures: 0,
            async_failure_code: "AnotherOperationInProgress".into(),
            etag_conflicts: 0,
            busy_run_commands: 0,
            operation_milliseconds: 50,
            run_command_milliseconds: 50,
            node_language: None,
            ufw_absent: false,
            forbidden_paths: Vec::new(),
        }
    }
}
