//! Beginning runs, taking them back and watching them.

use tokio_stream::wrappers::ReceiverStream;

use super::{Engine, diagnosing::now};
use crate::{
    error::{Code, Error},
    facade::ItemStream,
    journal::{fold, run_of},
    model::{
        Entry, Event, Inverse, PlanId, Principal, Run, RunId,
        plan::PlanContent,
        run::{RunState, StepState},
    },
    planning::manual_step,
    run::{record, same_plugin},
    store::{Activity, RunRecord},
};

/// How often a run is looked at that another process executes.
const LOOK_PERIOD: std::time::Duration = std::time::Duration::from_millis(500);

impl Engine {
    pub(super) async fn begin_run(&self, principal: &Principal, id: &PlanId) -> Result<Run, Error> {
        self.require_executor().await?;
        let at = now(self);
        let plan = self.stored_plan(id).await?.at(at);
        if let Some(run) = &plan.run {
            let (plan, run) = (id.0.clone(), run.0.clone());
            return Err(crate::store::StoreError::PlanAlreadyApplied { plan, run }.into());
        }
        self.tools.policy.may_apply(&plan)?;
        same_plugin(&self.tools.plugins, &plan.content)?;
        require_performable(&plan.content)?;
        let run = RunId(format!("run-{}", uuid::Uuid::now_v7()));
        let record = RunRecord {
            id: run.clone(),
            plan: plan.id.clone(),
            cluster: plan.content.cluster.clone(),
            step_count: u32::try_from(plan.content.steps.len()).unwrap_or(u32::MAX),
            entries: vec![Entry {
                run: run.clone(),
                sequence: 0,
                at,
                event: Event::Started {
                    plan: plan.id,
                    digest: plan.digest,
                    principal: principal.clone(),
                },
            }],
        };
        let shown = run_of(&record)?;
        self.store().add_run(&record).await?;
        self.executor.tell();
        self.executor.start(&run);
        Ok(shown)
    }

    pub(super) async fn begin_rollback(
        &self,
        principal: &Principal,
        id: &RunId,
    ) -> Result<Run, Error> {
        self.require_executor().await?;
        let mut record = record(self.store(), id).await?;
        let plan = self.stored_plan(&record.plan).await?;
        self.require_reversible(&record, &plan.content)?;
        let entry = Entry {
            run: id.clone(),
            sequence: record.entries.len() as u64,
            at: now(self),
            event: Event::RollbackStarted {
                reason: format!("{} asked to take it back", principal.name),
                principal: Some(principal.clone()),
            },
        };
        record.entries.push(entry.clone());
        let shown = run_of(&record)?;
        self.store().append(&entry, Activity::Active).await?;
        self.executor.tell();
        self.executor.start(id);
        Ok(shown)
    }

    fn require_reversible(&self, record: &RunRecord, content: &PlanContent) -> Result<(), Error> {
        let status = fold(record.step_count, &record.entries)?;
        let state = status.state();
        if !matches!(state, Some(RunState::Succeeded | RunState::Stuck)) {
            let state = state.map_or("not begun", RunState::as_str);
            return Err(Error::new(
                Code::RunNotReversible,
                format!("{} is {state}", record.id.0),
                "only a run that succeeded or is stuck can be taken back",
            ));
        }
        let mut steps = status.steps().iter().zip(&content.steps);
        let left = steps.find(|(status, step)| {
            let may_be_in_place = status.in_flight || status.state == StepState::Applied;
            may_be_in_place && matches!(step.inverse, Inverse::Effect { .. })
        });
        if left.is_some() || state == Some(RunState::Stuck) {
            return Ok(());
        }
        Err(Error::new(
            Code::RunNotReversible,
            format!("no step of {} can be taken back", record.id.0),
            "what was done stays; make a new plan to change it",
        ))
    }

    pub(super) async fn follow(&self, id: &RunId) -> Result<ItemStream<Run>, Error> {
        let mut written = self.executor.watch();
        let tools = std::sync::Arc::clone(&self.tools);
        let mut current = record(tools.store.as_ref(), id).await?;
        let id = id.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let mut seen = current.entries.len().saturating_sub(1);
            loop {
                // One item an entry, even when several came at once.
                for length in seen + 1..=current.entries.len() {
                    let prefix = RunRecord {
                        entries: current.entries.iter().take(length).cloned().collect(),
                        ..current.clone()
                    };
                    let item = run_of(&prefix);
                    let is_last = item.is_err()
                        || (length == current.entries.len()
                            && item.as_ref().is_ok_and(|run| run.state.is_final()));
                    if sender.send(item).await.is_err() || is_last {
                        return;
                    }
                }
                seen = current.entries.len();
                tokio::select! {
                    () = sender.closed() => return,
                    changed = written.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(LOOK_PERIOD) => {}
                }
                match record(tools.store.as_ref(), &id).await {
                    Ok(now) => current = now,
                    Err(error) => {
                        drop(sender.send(Err(error)).await);
                        return;
                    }
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

fn require_performable(content: &PlanContent) -> Result<(), Error> {
    match manual_step(&content.steps) {
        None => Ok(()),
        Some(step) => Err(Error::new(
            Code::Unsupported,
            format!("{:?} has to be done by a person", step.title),
            "do it as the plan says, then diagnose again: the finding will say whether it worked",
        )),
    }
}
