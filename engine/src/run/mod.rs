//! Executes runs: one task a run, driven by what its journal says next.

mod anew;
mod comparison;
mod concern;
mod log;
mod next;
mod remaining;
mod step;
mod supervise;
mod verify;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{log::RunLog, next::Move, step::Subject, supervise::Driven};
use crate::{
    clock::Clock,
    driver::{Effector, Observer},
    effect::{State, facts::ClusterFacts},
    error::{Code, Error},
    model::{Event, Finding, TunnelAnswers, plan::PlanContent, run::RunId},
    planning::chain::states_before,
    plugin::{Plugin, Reads},
    policy::Policy,
    snapshot::Snapshot,
    store::{PlanRecord, RunRecord, Store},
};

/// How long things are waited for.
#[derive(Clone, Copy, Debug)]
pub struct RunSettings {
    /// How long a change may take until verification sees it.
    pub verify_for: Duration,
    /// Between two looks.
    pub verify_pause: Duration,
    /// Before a target is read once more.
    pub retry_pause: Duration,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            verify_for: Duration::from_secs(120),
            verify_pause: Duration::from_secs(2),
            retry_pause: Duration::from_secs(2),
        }
    }
}

/// What every run works with.
pub(crate) struct Tools {
    pub store: Arc<dyn Store>,
    pub observer: Arc<dyn Observer>,
    pub effector: Arc<dyn Effector>,
    pub clock: Arc<dyn Clock>,
    pub plugins: BTreeMap<String, Arc<dyn Plugin>>,
    pub policy: Policy,
    pub settings: RunSettings,
}

/// Executes the runs of this process.
pub(crate) struct Executor {
    tools: Arc<Tools>,
    driven: Driven,
    /// Counts journal entries, for those who watch.
    written: watch::Sender<u64>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Executor {
    pub(crate) fn new(tools: Arc<Tools>) -> Self {
        Self {
            tools,
            driven: Driven::default(),
            written: watch::Sender::new(0),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Told of every entry written in this process.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Tells those who watch that an entry was written.
    pub(crate) fn tell(&self) {
        self.written.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// # Errors
    /// `shutting_down`.
    pub(crate) fn require_open(&self) -> Result<(), Error> {
        if self.shutdown.is_cancelled() {
            return Err(step::shutting_down());
        }
        Ok(())
    }

    /// Goes on with every run that has not ended.
    pub(crate) async fn resume(&self) -> Result<(), Error> {
        for run in self.tools.store.active_runs().await? {
            self.start(&run.id);
        }
        Ok(())
    }

    /// Drives a run in a task of its own; the one that does already is told that
    /// there is more.
    pub(crate) fn start(&self, id: &RunId) {
        if self.shutdown.is_cancelled() {
            return;
        }
        let Some(hold) = self.driven.begin(id) else {
            return;
        };
        let driving = Driving {
            tools: Arc::clone(&self.tools),
            written: self.written.clone(),
            shutdown: self.shutdown.clone(),
        };
        self.tasks
            .spawn(async move { driving.supervise(hold).await });
    }

    /// Finishes and journals the effects in flight; the rest of each run is
    /// left for the next start.
    pub(crate) async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Driving {
    tools: Arc<Tools>,
    written: watch::Sender<u64>,
    shutdown: CancellationToken,
}

impl Driving {
    fn tell(&self) {
        self.written.send_modify(|n| *n = n.wrapping_add(1));
    }

    async fn drive(&self, id: &RunId) -> Result<(), Error> {
        let tools = &self.tools;
        let record = tools.store.run(id).await?.ok_or_else(|| absent(&id.0))?;
        let plan = tools.store.plan(&record.plan).await?;
        let plan = plan.ok_or_else(|| absent(&record.plan.0))?;
        let mut log = RunLog::new(Arc::clone(&tools.store), Arc::clone(&tools.clock), record)?;
        let recorded = match self.recorded(&plan).await {
            Ok(recorded) => recorded,
            // What the store cannot give now it may give later.
            Err(error) if error.code == Code::StoreFailed => return Err(error),
            // Without what it was computed from nothing can be judged.
            Err(error) => return log.append(Event::Stuck { error }).await,
        };
        let subject = Subject {
            tools,
            plan: &plan.id,
            content: &plan.content,
            digest: &plan.digest,
            befores: &recorded.befores,
            facts: &recorded.facts,
            shutdown: &self.shutdown,
        };
        loop {
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let step = match next::next_move(log.status()) {
                Move::End => return Ok(()),
                Move::Step(flight) => subject.run(&mut log, flight).await,
                Move::ReadBack(flight) => {
                    let lost = Error::new(
                        Code::OutcomeUnknown,
                        "Naosu stopped before the answer came",
                        "",
                    );
                    match subject.read_back(flight, &lost).await {
                        Ok(event) => log.append(event).await,
                        Err(error) => Err(error),
                    }
                }
                Move::Verify => match self
                    .verdict(&plan, &recorded.other_causes, log.tunnel_before())
                    .await
                {
                    Ok(Some(event)) => log.append(event).await,
                    Ok(None) => return Ok(()),
                    Err(error) => log.append(Event::Stuck { error }).await,
                },
                Move::Probe(way) => {
                    match verify::probe(tools, &plan.content, way, &self.shutdown).await {
                        Some(event) => log.append(event).await,
                        None => return Ok(()),
                    }
                }
                Move::StartVerify => match subject.withdrawn().await? {
                    // Who rejected it is not overruled by steps in place already.
                    Some(error) if error.code == Code::PlanRejected => {
                        let (reason, principal) = (error.message, None);
                        log.append(Event::RollbackStarted { reason, principal })
                            .await
                    }
                    _ => log.append(Event::VerifyStarted).await,
                },
                Move::Succeed => log.append(Event::Succeeded).await,
                Move::RolledBack => log.append(Event::RolledBack).await,
                Move::Cancel(reason) => log.append(Event::Cancelled { reason }).await,
                Move::StartRollback(reason) => {
                    let principal = None;
                    log.append(Event::RollbackStarted { reason, principal })
                        .await
                }
                Move::Stick(error) => log.append(Event::Stuck { error }).await,
            };
            match step {
                Ok(()) => {}
                Err(error) if error.code == Code::OutcomeUnknown => {
                    log.append(Event::Stuck { error }).await?;
                }
                Err(error) => return Err(error),
            }
            self.tell();
            tracing::info!(
                run = %id.0,
                state = ?log.status().state(),
                entries = log.record().entries.len(),
                "journaled"
            );
        }
    }

    async fn recorded(&self, plan: &PlanRecord) -> Result<Recorded, Error> {
        let store = &self.tools.store;
        let content = &plan.content;
        let inputs = store.plan_inputs(&plan.id).await?;
        let inputs = inputs.ok_or_else(|| absent(&plan.id.0))?;
        let diagnosis = store.diagnosis(&content.diagnosis).await?;
        let (findings, diagnosed) = diagnosis
            .map(|diagnosis| (diagnosis.findings, diagnosis.observations))
            .unwrap_or_default();
        let replay = Snapshot::replay(
            content.cluster.clone(),
            diagnosed.into_iter().chain(inputs.observations),
            Arc::clone(&self.tools.clock),
        );
        let facts = replay.read(&ClusterFacts::query(&content.cluster)).await;
        Ok(Recorded {
            befores: states_before(&content.steps, &replay).await?,
            facts: ClusterFacts::of(&facts)?,
            other_causes: remaining::other_causes(&findings, &content.finding),
        })
    }

    async fn verdict(
        &self,
        plan: &PlanRecord,
        other_causes: &[Finding],
        before: Option<&TunnelAnswers>,
    ) -> Result<Option<Event>, Error> {
        let plugin = same_plugin(&self.tools.plugins, &plan.content)?;
        Ok(verify::verify(
            &self.tools,
            plugin.as_ref(),
            &plan.content,
            &verify::Known {
                other_causes,
                before,
            },
            &self.shutdown,
        )
        .await)
    }
}

/// What a plan was made from.
struct Recorded {
    /// What each step found.
    befores: Vec<State>,
    /// The cluster.
    facts: ClusterFacts,
    /// What was found beside what the plan mends.
    other_causes: Vec<Finding>,
}

/// The very plugin that proposed the plan.
///
/// # Errors
/// `plugin_not_found`, or `drift` when another version is loaded.
pub(crate) fn same_plugin<'a>(
    plugins: &'a BTreeMap<String, Arc<dyn Plugin>>,
    content: &PlanContent,
) -> Result<&'a Arc<dyn Plugin>, Error> {
    let plugin = plugins
        .get(&content.plugin)
        .ok_or_else(|| crate::planning::not_loaded(&content.plugin))?;
    let loaded = &plugin.info().digest;
    if *loaded != content.plugin_digest {
        return Err(Error::new(
            Code::Drift,
            format!(
                "the plan was made by {} {}, but {} is loaded",
                content.plugin,
                content.plugin_digest.short(),
                loaded.short()
            ),
            "load the plugin that made the plan, or make a new plan",
        ));
    }
    Ok(plugin)
}

fn absent(what: &str) -> Error {
    Error::new(
        Code::StoreCorrupt,
        format!("{what} is not in the store"),
        "restore a backup of the store",
    )
}

/// A run as stored, for those who only look.
pub(crate) async fn record(store: &dyn Store, id: &RunId) -> Result<RunRecord, Error> {
    store.run(id).await?.ok_or_else(|| {
        Error::new(
            Code::RunNotFound,
            format!("there is no run {:?}", id.0),
            "`naosu run list` shows the runs",
        )
    })
}
