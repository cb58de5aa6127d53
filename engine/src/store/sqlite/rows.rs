//! The statements, and rows to values and back.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{key, observations};
use crate::{
    model::{Approval, Decision, Diagnosis, Digest, Entry, PlanId, RunId},
    store::{Activity, PlanInputs, PlanRecord, RunRecord, StoreError},
};

pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Failed(e.to_string()))
}

fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("{what} in the store: {e}")))
}

/// A transaction that has the write lock from its beginning, so that what it
/// reads is still so when it writes.
fn writing(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)
}

fn texts(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map(values, |row| row.get(0))
        .map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// The observations are a column of their own: lists of diagnoses do without.
pub(super) fn add_diagnosis(
    connection: &Connection,
    mut diagnosis: Diagnosis,
) -> Result<(), StoreError> {
    let observations = observations::encode(&std::mem::take(&mut diagnosis.observations))?;
    let cluster = key(&diagnosis.cluster);
    let body = encode(&diagnosis)?;
    connection
        .execute(
            "INSERT INTO diagnoses (id, cluster, body, observations) VALUES (?1, ?2, ?3, ?4)",
            params![diagnosis.id.0, cluster, body, observations],
        )
        .map_err(failed)
        .map(drop)
}

pub(super) fn diagnosis(
    connection: &Connection,
    id: &str,
) -> Result<Option<Diagnosis>, StoreError> {
    let row: Option<(String, Vec<u8>)> = connection
        .query_row(
            "SELECT body, observations FROM diagnoses WHERE id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(failed)?;
    let Some((body, column)) = row else {
        return Ok(None);
    };
    let mut diagnosis: Diagnosis = decode(id, &body)?;
    diagnosis.observations = observations::decode(id, &column)?;
    observations::check(&diagnosis)?;
    Ok(Some(diagnosis))
}

pub(super) fn diagnoses(
    connection: &Connection,
    cluster: Option<&str>,
    limit: u32,
) -> Result<Vec<Diagnosis>, StoreError> {
    texts(
        connection,
        "SELECT body FROM diagnoses WHERE ?1 IS NULL OR cluster = ?1 ORDER BY number DESC LIMIT ?2",
        params![cluster, limit],
    )?
    .iter()
    .map(|body| decode("a diagnosis", body))
    .collect()
}

pub(super) fn add_plan(
    connection: &Connection,
    (id, cluster, digest): (&str, &str, &str),
    content: &str,
    inputs: &str,
) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO plans (id, cluster, digest, content, inputs) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, cluster, digest, content, inputs],
        )
        .map_err(failed)
        .map(drop)
}

type PlanRow = (String, String, String);

fn plan_row(row: &Row<'_>) -> rusqlite::Result<PlanRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// The digest is taken again, so that what was approved is what is read.
fn plan_record(
    connection: &Connection,
    (id, digest, content): PlanRow,
) -> Result<PlanRecord, StoreError> {
    let content: crate::model::plan::PlanContent = decode(&id, &content)?;
    let taken = Digest::of_value(&content).map_err(|e| StoreError::Failed(e.to_string()))?;
    if taken.as_str() != digest {
        return Err(StoreError::Corrupt(format!(
            "{id} in the store has digest {taken}, but was stored with {digest}"
        )));
    }
    let approvals = texts(
        connection,
        "SELECT body FROM approvals WHERE plan = ?1 ORDER BY number",
        [&id],
    )?
    .iter()
    .map(|body| decode("an approval", body))
    .collect::<Result<Vec<Approval>, _>>()?;
    let run = run_of_plan(connection, &id)?;
    Ok(PlanRecord {
        id: PlanId(id),
        digest: taken,
        content,
        approvals,
        run,
    })
}

pub(super) fn plan(connection: &Connection, id: &str) -> Result<Option<PlanRecord>, StoreError> {
    connection
        .query_row(
            "SELECT id, digest, content FROM plans WHERE id = ?1",
            [id],
            plan_row,
        )
        .optional()
        .map_err(failed)?
        .map(|row| plan_record(connection, row))
        .transpose()
}

pub(super) fn plan_inputs(
    connection: &Connection,
    id: &str,
) -> Result<Option<PlanInputs>, StoreError> {
    let stored = texts(connection, "SELECT inputs FROM plans WHERE id = ?1", [id])?;
    let Some(inputs) = stored.first() else {
        return Ok(None);
    };
    let inputs: PlanInputs = decode(id, inputs)?;
    observations::check_answers(id, &inputs.observations)?;
    Ok(Some(inputs))
}

pub(super) fn plans(
    connection: &Connection,
    cluster: Option<&str>,
    limit: u32,
) -> Result<Vec<PlanRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT id, digest, content FROM plans WHERE ?1 IS NULL OR cluster = ?1
             ORDER BY number DESC LIMIT ?2",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map(params![cluster, limit], plan_row)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    rows.into_iter()
        .map(|row| plan_record(connection, row))
        .collect()
}

pub(super) fn add_approval(
    connection: &mut Connection,
    plan: &str,
    number: u32,
    body: &str,
) -> Result<(), StoreError> {
    let transaction = writing(connection)?;
    let next: u32 = transaction
        .query_row(
            "SELECT count(*) FROM approvals WHERE plan = ?1",
            [plan],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if next != number {
        return Err(StoreError::Taken {
            owner: plan.to_owned(),
            number: number.into(),
        });
    }
    transaction
        .execute(
            "INSERT INTO approvals (plan, number, body) VALUES (?1, ?2, ?3)",
            params![plan, number, body],
        )
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Makes the one who asks the executor, by a number that nobody had before.
pub(super) fn next_epoch(connection: &mut Connection) -> Result<i64, StoreError> {
    connection
        .query_row(
            "UPDATE executor SET epoch = epoch + 1 RETURNING epoch",
            [],
            |row| row.get(0),
        )
        .map_err(failed)
}

/// Refuses who is not the executor any more, in the transaction that it writes in.
fn require_executor(connection: &Connection, epoch: i64) -> Result<(), StoreError> {
    let current: i64 = connection
        .query_row("SELECT epoch FROM executor", [], |row| row.get(0))
        .map_err(failed)?;
    if current == epoch {
        Ok(())
    } else {
        Err(StoreError::NotTheExecutor)
    }
}

pub(super) fn add_run(
    connection: &mut Connection,
    run: &RunRecord,
    epoch: i64,
) -> Result<(), StoreError> {
    let cluster = run.cluster.as_str().to_ascii_lowercase();
    let transaction = writing(connection)?;
    require_executor(&transaction, epoch)?;
    let applied = texts(
        &transaction,
        "SELECT id FROM runs WHERE plan = ?1",
        [&run.plan.0],
    )?;
    if let Some(other) = applied.into_iter().next() {
        return Err(StoreError::PlanAlreadyApplied {
            plan: run.plan.0.clone(),
            run: other,
        });
    }
    // Someone may have rejected it since it was found approved.
    let decisions = texts(
        &transaction,
        "SELECT body FROM approvals WHERE plan = ?1",
        [&run.plan.0],
    )?;
    for decision in decisions {
        let approval: Approval = decode(&run.plan.0, &decision)?;
        if approval.decision == Decision::Reject {
            return Err(StoreError::PlanRejected {
                plan: run.plan.0.clone(),
            });
        }
    }
    busy(&transaction, &cluster, &run.id.0)?;
    transaction
        .execute(
            "INSERT INTO runs (id, plan, cluster, cluster_id, step_count, active)
             VALUES (?1, ?2, ?3, ?4, ?5, 1)",
            params![
                run.id.0,
                run.plan.0,
                cluster,
                run.cluster.as_str(),
                run.step_count
            ],
        )
        .map_err(failed)?;
    for entry in &run.entries {
        insert_entry(&transaction, entry)?;
    }
    transaction.commit().map_err(failed)
}

fn busy(connection: &Connection, cluster: &str, run: &str) -> Result<(), StoreError> {
    let others = texts(
        connection,
        "SELECT id FROM runs WHERE cluster = ?1 AND active = 1 AND id <> ?2",
        [cluster, run],
    )?;
    match others.into_iter().next() {
        Some(run) => Err(StoreError::ClusterBusy { run }),
        None => Ok(()),
    }
}

fn insert_entry(connection: &Connection, entry: &Entry) -> Result<(), StoreError> {
    let sequence = i64::try_from(entry.sequence)
        .map_err(|_| StoreError::Failed("sequence out of range".to_owned()))?;
    connection
        .execute(
            "INSERT INTO entries (run, sequence, at, event) VALUES (?1, ?2, ?3, ?4)",
            params![
                entry.run.0,
                sequence,
                entry.at.to_string(),
                encode(&entry.event)?
            ],
        )
        .map_err(failed)
        .map(drop)
}

pub(super) fn append(
    connection: &mut Connection,
    entry: &Entry,
    activity: Activity,
    epoch: i64,
) -> Result<(), StoreError> {
    let transaction = writing(connection)?;
    require_executor(&transaction, epoch)?;
    let next: i64 = transaction
        .query_row(
            "SELECT count(*) FROM entries WHERE run = ?1",
            [&entry.run.0],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if i64::try_from(entry.sequence) != Ok(next) {
        return Err(StoreError::Taken {
            owner: entry.run.0.clone(),
            number: entry.sequence,
        });
    }
    let active = activity == Activity::Active;
    if active {
        let cluster: String = transaction
            .query_row(
                "SELECT cluster FROM runs WHERE id = ?1",
                [&entry.run.0],
                |row| row.get(0),
            )
            .map_err(failed)?;
        busy(&transaction, &cluster, &entry.run.0)?;
    }
    transaction
        .execute(
            "UPDATE runs SET active = ?2 WHERE id = ?1",
            params![entry.run.0, active],
        )
        .map_err(failed)?;
    insert_entry(&transaction, entry)?;
    transaction.commit().map_err(failed)
}

type RunRow = (String, String, String, u32);

const RUN_COLUMNS: &str = "SELECT id, plan, cluster_id, step_count FROM runs";

fn run_records(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<RunRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("{RUN_COLUMNS} {condition}"))
        .map_err(failed)?;
    let rows = statement
        .query_map(values, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .map_err(failed)?
        .collect::<Result<Vec<RunRow>, _>>()
        .map_err(failed)?;
    rows.into_iter()
        .map(|row| run_record(connection, row))
        .collect()
}

fn run_record(
    connection: &Connection,
    (id, plan, cluster, step_count): RunRow,
) -> Result<RunRecord, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT sequence, at, event FROM entries WHERE run = ?1 ORDER BY sequence")
        .map_err(failed)?;
    let rows = statement
        .query_map([&id], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let corrupt =
        |e: &dyn std::fmt::Display| StoreError::Corrupt(format!("{id} in the store: {e}"));
    let entries = rows
        .into_iter()
        .map(|(sequence, at, event)| {
            Ok(Entry {
                run: RunId(id.clone()),
                sequence: u64::try_from(sequence).map_err(|e| corrupt(&e))?,
                at: at.parse().map_err(|e: jiff::Error| corrupt(&e))?,
                event: decode(&id, &event)?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(RunRecord {
        plan: PlanId(plan),
        cluster: cluster
            .parse()
            .map_err(|e: crate::error::Error| corrupt(&e))?,
        id: RunId(id),
        step_count,
        entries,
    })
}

pub(super) fn run(connection: &Connection, id: &str) -> Result<Option<RunRecord>, StoreError> {
    Ok(run_records(connection, "WHERE id = ?1", [id])?
        .into_iter()
        .next())
}

fn run_of_plan(connection: &Connection, plan: &str) -> Result<Option<RunId>, StoreError> {
    let ids = texts(connection, "SELECT id FROM runs WHERE plan = ?1", [plan])?;
    Ok(ids.into_iter().next().map(RunId))
}

pub(super) fn runs(
    connection: &Connection,
    cluster: Option<&str>,
    limit: u32,
) -> Result<Vec<RunRecord>, StoreError> {
    run_records(
        connection,
        "WHERE ?1 IS NULL OR cluster = ?1 ORDER BY number DESC LIMIT ?2",
        params![cluster, limit],
    )
}

pub(super) fn active_runs(connection: &Connection) -> Result<Vec<RunRecord>, StoreError> {
    run_records(connection, "WHERE active = 1 ORDER BY number", [])
}
