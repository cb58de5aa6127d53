//! One step of a run, forward or back: precondition, intent, effect, outcome.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Tools, absent, log::RunLog, same_plugin};
use crate::{
    driver::{self, IdempotencyKey, PerformError, Performed},
    effect::{self, Back, Outcome, Standing, State, facts::ClusterFacts},
    error::{Code, Error},
    journal::InFlight,
    model::{
        Digest, Effect, Event, Inverse, Observation, PlanId, Query, Step, journal::Way,
        plan::PlanContent,
    },
    plugin::Reads,
    snapshot::Snapshot,
    tunnel,
};

/// How often a target is read before it counts as unreadable.
pub(super) const READS_AT_MOST: u32 = 3;
/// How often it is read back before "nothing changed" is believed of a request
/// that got no answer: it may still be at work.
const SETTLING_READS: u32 = 3;

/// What the run is about.
pub(super) struct Subject<'a> {
    pub tools: &'a Tools,
    pub plan: &'a PlanId,
    pub content: &'a PlanContent,
    /// Its digest.
    pub digest: &'a Digest,
    /// What each step was computed from.
    pub befores: &'a [State],
    /// The cluster as it was then.
    pub facts: &'a ClusterFacts,
    pub shutdown: &'a CancellationToken,
}

impl Subject<'_> {
    fn step(&self, index: u32) -> Result<(&Step, &State), Error> {
        let place = index as usize;
        let (step, before) = (self.content.steps.get(place), self.befores.get(place));
        step.zip(before).ok_or_else(|| {
            Error::new(
                Code::StoreCorrupt,
                format!("the plan has no step {index}"),
                "restore a backup of the store",
            )
        })
    }

    /// Reads the target now, trying again when it cannot be read.
    async fn read(&self, effect: &Effect) -> Result<Arc<Observation>, Error> {
        self.look_at(&effect::target(effect)).await
    }

    /// Reads, trying again when it cannot be read.
    async fn look_at(&self, query: &Query) -> Result<Arc<Observation>, Error> {
        let mut tries = 1;
        loop {
            let snapshot = Snapshot::live(
                self.content.cluster.clone(),
                Arc::clone(&self.tools.observer),
                Arc::clone(&self.tools.clock),
            );
            let observation = snapshot.read(query).await;
            let state = State::of(&observation);
            let is_answer = observation.answer.is_ok() || state.is_absent();
            if is_answer
                || tries >= READS_AT_MOST
                || !self.pause(self.tools.settings.retry_pause).await
            {
                return match (is_answer, state.text()) {
                    (false, Err(error)) => Err(error),
                    _ => Ok(observation),
                };
            }
            tries += 1;
        }
    }

    /// Waits; `false` when told to shut down.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.shutdown.cancelled() => false,
        }
    }

    /// Tries one step on one way.
    ///
    /// # Errors
    /// When the journal cannot be written: the run must stop.
    pub(super) async fn run(&self, log: &mut RunLog, flight: InFlight) -> Result<(), Error> {
        let ready = match flight.way {
            Way::Forward => self.ready_forward(log, flight).await,
            Way::Back => self.ready_back(log, flight).await,
        };
        let (effect, before) = match ready {
            Ok(ready) => ready,
            // What is found while going down is found again at the next start.
            Err(event)
                if self.shutdown.is_cancelled() && matches!(*event, Event::Refused { .. }) =>
            {
                return Err(shutting_down());
            }
            Err(event) => return log.append(*event).await,
        };
        if flight.way == Way::Forward
            && let Some(error) = self.withdrawn().await?
        {
            return log.append(refused(flight, error)).await;
        }
        log.append(Event::Intent {
            step: flight.step,
            way: flight.way,
            attempt: flight.attempt,
        })
        .await?;
        let performed = self.perform(flight, effect, before).await;
        let event = match performed {
            Ok(performed) => Event::Applied {
                step: flight.step,
                way: flight.way,
                // On a later try it is Naosu's own earlier one that came through.
                already_in_place: performed.already_in_place && flight.attempt == 1,
                detail: performed.detail,
            },
            // An earlier try may have come through after all.
            Err(PerformError::NotApplied(error)) if flight.attempt == 1 => refused(flight, error),
            Err(PerformError::NotApplied(error)) => match self.read_back(flight, &error).await? {
                Event::Refused { .. } => refused(flight, error),
                event => event,
            },
            Err(PerformError::Unknown(error)) => self.read_back(flight, &error).await?,
        };
        log.append(event).await
    }

    /// Why the run goes no further: the plan could not be applied any more.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn withdrawn(&self) -> Result<Option<Error>, Error> {
        let tools = self.tools;
        let plan = tools.store.plan(self.plan).await?;
        let plan = plan.ok_or_else(|| absent(&self.plan.0))?;
        let plan = plan.at(tools.clock.now());
        let still = tools
            .policy
            .may_apply(&plan)
            .and_then(|()| same_plugin(&tools.plugins, &plan.content).map(drop));
        Ok(still.err())
    }

    /// Performs in a task of its own, which nothing drops midway.
    async fn perform(
        &self,
        flight: InFlight,
        effect: Effect,
        before: Arc<Observation>,
    ) -> Result<Performed, PerformError> {
        let effector = Arc::clone(&self.tools.effector);
        let cluster = self.content.cluster.clone();
        let key = IdempotencyKey {
            plan: self.digest.clone(),
            step: flight.step,
            way: flight.way,
            attempt: flight.attempt,
        };
        let task =
            tokio::spawn(async move { effector.perform(&cluster, &effect, &before, &key).await });
        task.await.unwrap_or_else(|e| {
            Err(PerformError::Unknown(Error::new(
                Code::Internal,
                format!("the driver failed: {e}"),
                "report this",
            )))
        })
    }

    /// Whether what the step was computed from still holds.
    async fn ready_forward(
        &self,
        log: &RunLog,
        flight: InFlight,
    ) -> Result<(Effect, Arc<Observation>), Box<Event>> {
        let refuse = |error| Box::new(refused(flight, error));
        // What cannot be verified afterwards is not begun. What was tried already is read
        // back first: it may have come through.
        if flight.attempt == 1 && !log.status().any_applied() {
            let nodes = self.look_at(&tunnel::all_nodes()).await.map_err(refuse)?;
            State::of(&nodes).text().map_err(refuse)?;
        }
        let (step, _) = self.step(flight.step).map_err(refuse)?;
        let observed = self.read(&step.effect).await.map_err(refuse)?;
        let state = State::of(&observed);
        let digest = effect::state_digest(&step.effect, &state).map_err(refuse)?;
        let expected = &step.precondition;
        // After an own try without effect the version may be another.
        let is_same_version = flight.attempt > 1
            || expected.version.is_none()
            || expected.version == observed.version;
        if digest != expected.digest || !is_same_version {
            let what = if digest == expected.digest {
                format!(
                    "its version is {}, and was {}",
                    observed.version.as_deref().unwrap_or("none"),
                    expected.version.as_deref().unwrap_or("none")
                )
            } else {
                "its content is another".to_owned()
            };
            return Err(refuse(drift(step, &what)));
        }
        match effect::semantics(&step.effect)
            .standing(&state)
            .map_err(refuse)?
        {
            Standing::Ready => {}
            Standing::InPlace => {
                return Err(refuse(drift(step, "the change is in place already")));
            }
            Standing::Conflict(why) => return Err(refuse(drift(step, &why))),
        }
        self.require_same_consequence(step, &observed)
            .await
            .map_err(refuse)?;
        Ok((step.effect.clone(), observed))
    }

    /// Whether the step can be taken back without touching what is not ours.
    async fn ready_back(
        &self,
        log: &RunLog,
        flight: InFlight,
    ) -> Result<(Effect, Arc<Observation>), Box<Event>> {
        let refuse = |error| Box::new(refused(flight, error));
        let (step, before) = self.step(flight.step).map_err(refuse)?;
        let done = |detail: &str| {
            Box::new(Event::Applied {
                step: flight.step,
                way: Way::Back,
                already_in_place: true,
                detail: detail.to_owned(),
            })
        };
        let is_own = log
            .status()
            .steps()
            .get(flight.step as usize)
            .is_some_and(|s| s.own);
        if !is_own {
            return Err(done(
                "it was in place before Naosu wrote anything, so it stays",
            ));
        }
        let effect = match &step.inverse {
            Inverse::Effect { effect } => effect,
            Inverse::Irreversible { reason } => {
                return Err(refuse(Error::new(
                    Code::RunNotReversible,
                    reason.clone(),
                    "look at what the step changed",
                )));
            }
        };
        let observed = self.read(effect).await.map_err(refuse)?;
        match effect::back(&step.effect, effect, before, &State::of(&observed)).map_err(refuse)? {
            Back::Done => Err(done("it is as it was before")),
            Back::Ready => Ok((effect.clone(), observed)),
            Back::Conflict(why) => Err(refuse(Error::new(
                Code::RollbackConflict,
                format!("someone else changed it since: {why}"),
                "decide by hand what should stay",
            ))),
        }
    }

    /// What became of an intent whose answer is not known.
    ///
    /// # Errors
    /// `outcome_unknown` when even reading back does not tell; `shutting_down`
    /// when there is no time to: the next start reads back.
    pub(super) async fn read_back(&self, flight: InFlight, why: &Error) -> Result<Event, Error> {
        let unknown = |detail: String| {
            Error::new(
                Code::OutcomeUnknown,
                format!(
                    "step {}: {detail}; the answer was: {}",
                    flight.step + 1,
                    why.message
                ),
                "look whether the change is there; then roll back, or diagnose again",
            )
        };
        let (step, before) = self.step(flight.step)?;
        let target = match (flight.way, &step.inverse) {
            (Way::Back, Inverse::Effect { effect }) => effect,
            _ => &step.effect,
        };
        let mark = driver::mark(self.digest, flight.step, flight.way);
        let mut untouched = 0;
        loop {
            let now = match self.read(target).await {
                Ok(observed) => State::of(&observed),
                Err(_) if self.shutdown.is_cancelled() => return Err(shutting_down()),
                Err(error) => return Err(unknown(format!("it cannot be read back: {error}"))),
            };
            let outcome = match flight.way {
                Way::Forward => effect::semantics(&step.effect).outcome(before, &now, &mark),
                Way::Back => {
                    effect::back(&step.effect, target, before, &now).map(|stands| match stands {
                        Back::Done => Outcome::InPlace,
                        Back::Ready => Outcome::Untouched,
                        Back::Conflict(_) => Outcome::Unclear,
                    })
                }
            };
            match outcome {
                Ok(Outcome::InPlace) => {
                    return Ok(Event::Applied {
                        step: flight.step,
                        way: flight.way,
                        already_in_place: false,
                        detail: "no answer came; reading back shows it in place".to_owned(),
                    });
                }
                Ok(Outcome::Untouched) => {
                    untouched += 1;
                    if untouched >= SETTLING_READS {
                        let error = unknown("reading back shows that nothing changed".to_owned());
                        return Ok(refused(flight, error));
                    }
                    if !self.pause(self.tools.settings.retry_pause).await {
                        return Err(shutting_down());
                    }
                }
                Ok(Outcome::Overtaken) => {
                    return Ok(refused(
                        flight,
                        drift(step, "someone else changed it meanwhile"),
                    ));
                }
                Ok(Outcome::Unclear) => {
                    return Err(unknown("what is there now tells nothing".to_owned()));
                }
                Err(error) => return Err(unknown(error.message)),
            }
        }
    }
}

fn refused(flight: InFlight, error: Error) -> Event {
    Event::Refused {
        step: flight.step,
        way: flight.way,
        error,
    }
}

fn drift(step: &Step, what: &str) -> Error {
    Error::new(
        Code::Drift,
        format!(
            "{} changed since the plan was made: {what}",
            step.precondition.query
        ),
        "diagnose again and make a new plan",
    )
}

pub(super) fn shutting_down() -> Error {
    Error::new(
        Code::ShuttingDown,
        "the server is going down",
        "what was begun goes on at its next start",
    )
}
