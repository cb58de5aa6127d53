//! Runs.

use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use naosu_engine::{
    Error,
    model::{ClusterId, PlanId, Run, RunId, RunState},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::{
    answer::RunAnswer,
    catalog::{Call, Entry, LOOK, Nature, OfCluster},
};

/// The longest that `get_run` waits, in seconds; clients give up soon after.
const LONGEST_WAIT_SECONDS: u32 = 120;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitForRun {
    /// Id of the run: "run-…".
    run: RunId,
    /// How long to wait for its end, in seconds, at most 120; 0 answers at once.
    #[serde(default)]
    wait_seconds: u32,
}

/// `get_run`
pub(super) fn get() -> Result<Entry, String> {
    Entry::new(
        "get_run",
        "Read a run",
        "Gives a run with its journal: what was intended, what was done, what the verification \
         said. With wait_seconds it waits that long for the run's end.",
        LOOK,
        |call, which: WaitForRun| async move {
            let limit = Duration::from_secs(which.wait_seconds.min(LONGEST_WAIT_SECONDS).into());
            match tokio::time::timeout(limit, end(&call, &which.run)).await {
                Ok(run) => Ok(RunAnswer::from(run?)),
                Err(_) => Ok(RunAnswer::from(call.naosu.run(&which.run).await?)),
            }
        },
    )
}

async fn end(call: &Call, id: &RunId) -> Result<Run, Error> {
    let mut states = call.naosu.watch_run(id).await?;
    while let Some(run) = states.next().await {
        let run = run?;
        (call.progress)(format!("{} entries in the journal", run.entries.len()));
        if run.state.is_final() {
            return Ok(run);
        }
    }
    call.naosu.run(id).await
}

#[derive(Serialize, JsonSchema)]
struct Runs {
    /// Newest first.
    runs: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    id: RunId,
    plan: PlanId,
    cluster: ClusterId,
    state: RunState,
    summary: String,
    updated_at: Timestamp,
}

/// `list_runs`
pub(super) fn list() -> Result<Entry, String> {
    Entry::new(
        "list_runs",
        "List runs",
        "Lists runs, newest first; of one cluster, when given.",
        LOOK,
        |call, of: OfCluster| async move {
            let runs = call.naosu.runs(of.id()?.as_ref()).await?;
            let rows = runs.into_iter().map(|run| Row {
                id: run.id,
                plan: run.plan,
                cluster: run.cluster,
                state: run.state,
                summary: run.summary,
                updated_at: run.updated_at,
            });
            Ok(Runs {
                runs: rows.collect(),
            })
        },
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichRun {
    /// Id of the run: "run-…".
    run: RunId,
}

/// `rollback_run`
pub(super) fn rollback() -> Result<Entry, String> {
    Entry::new(
        "rollback_run",
        "Take a run back",
        "Takes the steps of a run back by their recorded inverses, last first. A change that \
         someone else made in between is never overwritten: the run then stops as STUCK. The \
         inverses were part of the plan that was approved. Answers at once: follow with get_run.",
        Nature {
            read_only: false,
            destructive: true,
            idempotent: true,
            open_world: true,
        },
        |call, which: WhichRun| async move {
            let run = call.naosu.rollback(&call.principal, &which.run).await?;
            Ok(RunAnswer::from(run))
        },
    )
}
