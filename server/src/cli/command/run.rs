//! `naosu apply` and `naosu run`.

use futures::StreamExt;
use jiff::Timestamp;
use naosu_engine::{
    Code, Error,
    facade::PlanFilter,
    model::{PlanId, Run, RunId, RunState},
};

use crate::{
    cli::{
        args::{Apply, RunCommand},
        exit::Exit,
        output::Printer,
        progress::Progress,
        render,
        session::with_connection,
    },
    config::Config,
    connection::Connection,
    signal::asked_to_end,
};

/// Executes an approved plan.
pub async fn apply(config: &Config, printer: &Printer, args: Apply) -> Result<Exit, Error> {
    with_connection(config, printer, |connection| async move {
        let Apply { plan, detach } = args;
        may_detach(&connection, detach)?;
        let run = connection
            .naosu
            .apply(&connection.caller.principal, &PlanId(plan))
            .await?;
        if detach {
            show(&connection, printer, &run, false).await;
            return Ok(Exit::Success);
        }
        follow(&connection, printer, &run.id, RunState::Succeeded, 0).await
    })
    .await
}

/// Reads runs, watches them, takes them back.
pub async fn run(config: &Config, printer: &Printer, args: RunCommand) -> Result<Exit, Error> {
    with_connection(config, printer, |connection| async move {
        let naosu = &connection.naosu;
        match args {
            RunCommand::Show { id } => {
                let run = naosu.run(&RunId(id)).await?;
                show(&connection, printer, &run, false).await;
            }
            RunCommand::List(of) => {
                let cluster = of.cluster.map(|id| id.parse()).transpose()?;
                let runs = naosu.runs(cluster.as_ref()).await?;
                // What they did is beside the runs, which are shown without it too.
                let plans = if printer.is_text() && !runs.is_empty() {
                    let of = PlanFilter {
                        cluster,
                        ..PlanFilter::default()
                    };
                    naosu.plans(&of).await.unwrap_or_default()
                } else {
                    Vec::new()
                };
                printer.value(runs.as_slice(), |page, runs| {
                    render::runs(page, runs, &plans, Timestamp::now());
                });
            }
            RunCommand::Watch { id } => {
                return follow(&connection, printer, &RunId(id), RunState::Succeeded, 0).await;
            }
            RunCommand::Rollback { id, detach } => {
                may_detach(&connection, detach)?;
                let run = naosu
                    .rollback(&connection.caller.principal, &RunId(id))
                    .await?;
                if !detach {
                    // What went before was shown when it was applied.
                    let known = run.entries.len().saturating_sub(1);
                    let wanted = RunState::RolledBack;
                    return follow(&connection, printer, &run.id, wanted, known).await;
                }
                show(&connection, printer, &run, false).await;
            }
        }
        Ok(Exit::Success)
    })
    .await
}

fn may_detach(connection: &Connection, detach: bool) -> Result<(), Error> {
    if detach && connection.is_embedded() {
        return Err(Error::new(
            Code::InvalidParameter,
            "--detach needs a server: without one the run would stop with this process",
            "leave --detach out, or name a server by --server",
        ));
    }
    Ok(())
}

/// Shows it, to a person with what its plan says of the way back.
async fn show(connection: &Connection, printer: &Printer, run: &Run, journal_was_shown: bool) {
    // The plan is beside the run, which is shown without it too.
    let plan = if printer.is_text() {
        connection.naosu.plan(&run.plan).await.ok()
    } else {
        None
    };
    let beside = render::Beside {
        plan: plan.as_ref(),
        is_embedded: connection.is_embedded(),
        journal_was_shown,
    };
    printer.value(run, |page, run| render::run(page, run, &beside));
}

/// Watches a run to its end, or until interrupted, beginning with the entry of
/// this number.
async fn follow(
    connection: &Connection,
    printer: &Printer,
    id: &RunId,
    wanted: RunState,
    known: usize,
) -> Result<Exit, Error> {
    let interrupted = asked_to_end();
    tokio::pin!(interrupted);
    let mut progress = Progress::start(printer, &id.0);
    progress.leave_out(known);
    let mut runs = connection.naosu.watch_run(id).await?;
    let mut last: Option<Run> = None;
    loop {
        let item = tokio::select! {
            item = runs.next() => item,
            () = &mut interrupted => {
                progress.end();
                let words = if connection.is_embedded() {
                    "interrupted: an effect in flight is finished and journaled first. To go on \
                     with the run, and watch:"
                } else {
                    "interrupted: the run goes on at the server. To watch it again:"
                };
                printer.note_command(words, &["run", "watch", &id.0]);
                return Ok(Exit::Interrupted);
            }
        };
        match item {
            Some(run) => {
                let run = run?;
                progress.running(&run);
                last = Some(run);
            }
            None => break,
        }
    }
    progress.end();
    let run = match last {
        Some(run) => run,
        None => connection.naosu.run(id).await?,
    };
    let journal_was_shown = known == 0 && printer.shows_both();
    show(connection, printer, &run, journal_was_shown).await;
    Ok(Exit::of_run(&run, wanted))
}
