//! `naosu plan`.

use std::io::{self, BufRead, Write};

use jiff::Timestamp;
use naosu_engine::{
    Code, Error,
    facade::{PlanFilter, PlanRequest},
    model::{DiagnosisId, Digest, Plan, PlanId, PlanState},
};
use serde_json::{Map, Value};

use crate::{
    cli::{
        args::{Decide, PlanCommand, PlanStateArg},
        exit::Exit,
        output::Printer,
        render,
        session::with_connection,
    },
    config::Config,
    connection::Connection,
};

/// Makes plans, reads them, decides on them.
pub async fn plan(config: &Config, printer: &Printer, args: PlanCommand) -> Result<Exit, Error> {
    with_connection(config, printer, |connection| async move {
        let naosu = &connection.naosu;
        let principal = &connection.caller.principal;
        match args {
            PlanCommand::Create {
                diagnosis,
                plugin,
                parameters,
                full,
            } => {
                let request = PlanRequest {
                    diagnosis: DiagnosisId(diagnosis),
                    plugin,
                    parameters: parameters_of(parameters),
                };
                let plan = naosu.create_plan(principal, request).await?;
                printer.value(&plan, |page, plan| {
                    if full {
                        page.in_full();
                    }
                    render::plan(page, plan);
                });
            }
            PlanCommand::Show { id, full } => {
                let plan = naosu.plan(&PlanId(id)).await?;
                // How the run stands is beside the plan, which is shown without it too.
                let run = match &plan.run {
                    Some(id) if printer.is_text() => naosu.run(id).await.ok(),
                    _ => None,
                };
                printer.value(&plan, |page, plan| {
                    if full {
                        page.in_full();
                    }
                    render::plan_with_run(page, plan, run.as_ref());
                });
            }
            PlanCommand::List { of, state } => {
                let filter = PlanFilter {
                    cluster: of.cluster.map(|id| id.parse()).transpose()?,
                    state: state.map(plan_state),
                };
                let plans = naosu.plans(&filter).await?;
                // How the runs stand is beside the plans, which are shown without it too.
                let runs = if printer.is_text() && plans.iter().any(|plan| plan.run.is_some()) {
                    let runs = naosu.runs(filter.cluster.as_ref()).await;
                    runs.unwrap_or_default()
                } else {
                    Vec::new()
                };
                printer.value(plans.as_slice(), |page, plans| {
                    render::plans(page, plans, &runs, Timestamp::now());
                });
            }
            PlanCommand::Approve(decide) => {
                connection.may_decide()?;
                let (id, digest) = seen(&connection, printer, &decide, "approve").await?;
                let plan = naosu
                    .approve(principal, &id, &digest, &decide.comment)
                    .await?;
                decided(printer, &plan);
            }
            PlanCommand::Reject(decide) => {
                connection.may_decide()?;
                let (id, digest) = seen(&connection, printer, &decide, "reject").await?;
                let plan = naosu
                    .reject(principal, &id, &digest, &decide.comment)
                    .await?;
                decided(printer, &plan);
            }
        }
        Ok(Exit::Success)
    })
    .await
}

fn decided(printer: &Printer, plan: &Plan) {
    printer.value(plan, |page, plan| {
        render::plans(page, std::slice::from_ref(plan), &[], Timestamp::now());
        render::next_of_plan(page, plan);
    });
}

/// What was seen: the digest that was given, or that of the plan shown now and
/// confirmed by its first digits.
async fn seen(
    connection: &Connection,
    printer: &Printer,
    decide: &Decide,
    verb: &str,
) -> Result<(PlanId, Digest), Error> {
    let id = PlanId(decide.id.clone());
    if let Some(text) = &decide.digest {
        let prefixed = || Digest::parse(&format!("sha256:{text}"));
        let digest = Digest::parse(text).or_else(prefixed).ok_or_else(|| {
            Error::new(
                Code::InvalidParameter,
                format!("{text:?} is not a whole digest"),
                "give all 64 lower-case hex digits of it, as `naosu plan show` prints it",
            )
        })?;
        return Ok((id, digest));
    }
    if !printer.can_ask() {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("--digest is needed to {verb} where nobody can be asked"),
            "give the whole digest that `naosu plan show` prints",
        ));
    }
    let plan = connection.naosu.plan(&id).await?;
    printer.value(&plan, render::plan);
    print!("\nTo {verb} it, type the first twelve hex digits of its digest: ");
    let _ = io::stdout().flush();
    // In a thread of its own, so that Ctrl-C still ends the command.
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = io::stdin().lock().read_line(&mut line);
        line
    });
    let line = typed.await.unwrap_or_default();
    if line.trim() != plan.digest.short() {
        return Err(Error::new(
            Code::InvalidParameter,
            "what was typed is not the beginning of the digest; nothing was decided",
            "read the plan again with `naosu plan show`",
        ));
    }
    Ok((id, plan.digest))
}

/// A JSON value where it is one, else text.
fn parameters_of(given: Vec<(String, String)>) -> Map<String, Value> {
    given
        .into_iter()
        .map(|(name, text)| {
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            (name, value)
        })
        .collect()
}

fn plan_state(state: PlanStateArg) -> PlanState {
    match state {
        PlanStateArg::PendingApproval => PlanState::PendingApproval,
        PlanStateArg::Approved => PlanState::Approved,
        PlanStateArg::Rejected => PlanState::Rejected,
        PlanStateArg::Expired => PlanState::Expired,
    }
}
