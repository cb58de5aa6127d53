//! `naosu apply` and `naosu run`.

use futures::StreamExt;
use naosu_engine::{
    Code, Error,
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
            printer.value(&run, render::run);
            return Ok(Exit::Success);
        }
        follow(&connection, printer, &run.id, RunState::Succeeded).await
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
                printer.value(&run, render::run);
            }
            RunCommand::List(of) => {
                let cluster = of.cluster.map(|id| id.parse()).transpose()?;
                let runs = naosu.runs(cluster.as_ref()).await?;
                printer.value(runs.as_slice(), render::runs);
            }
            RunCommand::Watch { id } => {
                return follow(&connection, printer, &RunId(id), RunState::Succeeded).await;
            }
            RunCommand::Rollback { id, detach } => {
                may_detach(&connection, detach)?;
                let run = naosu
                    .rollback(&connection.caller.principal, &RunId(id))
                    .await?;
                if !detach {
                    return follow(&connection, printer, &run.id, RunState::RolledBack).await;
                }
                printer.value(&run, render::run);
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

/// Watches a run to its end, or until interrupted.
async fn follow(
    connection: &Connection,
    printer: &Printer,
    id: &RunId,
    wanted: RunState,
) -> Result<Exit, Error> {
    let interrupted = asked_to_end();
    tokio::pin!(interrupted);
    let mut progress = Progress::start(printer, &id.0);
    let mut runs = connection.naosu.watch_run(id).await?;
    let mut last: Option<Run> = None;
    loop {
        let item = tokio::select! {
            item = runs.next() => item,
            () = &mut interrupted => {
                progress.end();
                let words = if connection.is_embedded() {
                    format!(
                        "interrupted: the effect in flight is finished and journaled first. \
                         `naosu run watch {}` then goes on with the run and watches it.",
                        id.0
                    )
                } else {
                    format!(
                        "interrupted: the run goes on at the server. \
                         `naosu run watch {}` watches it again.",
                        id.0
                    )
                };
                printer.note(&words);
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
    printer.value(&run, render::run);
    Ok(Exit::of_run(run.state, wanted))
}
