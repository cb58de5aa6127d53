//! The state that each step of a plan finds: what was observed, or what the
//! steps before leave behind.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use crate::{
    effect::{self, State},
    error::Error,
    model::{Effect, Observation, Query, Step},
    plugin::Reads,
};

/// What a step finds.
#[derive(Clone, Debug)]
pub struct Before {
    /// The state of its target.
    pub observation: Arc<Observation>,
    /// Whether it was observed, not simulated.
    pub is_observed: bool,
}

/// The simulated states so far.
#[derive(Debug, Default)]
pub struct Chain {
    simulated: BTreeMap<Query, Arc<Observation>>,
    /// States of other things than the steps' targets, good for judging packets
    /// alone: their text is not the systems' own.
    beside: BTreeMap<Query, Arc<Observation>>,
}

impl Chain {
    /// What the next step with this effect finds.
    pub async fn before(&self, effect: &Effect, reads: &dyn Reads) -> Before {
        let target = effect::target(effect);
        match self.simulated.get(&target) {
            Some(observation) => Before {
                observation: observation.clone(),
                is_observed: false,
            },
            None => Before {
                observation: reads.read(&target).await,
                is_observed: true,
            },
        }
    }

    /// What the step left behind.
    pub fn goes_on_with(&mut self, after: Observation) {
        self.beside.remove(&after.query);
        self.simulated.insert(after.query.clone(), Arc::new(after));
    }

    /// What the step changed beside its target.
    pub fn goes_on_beside(&mut self, after: Observation) {
        self.beside.insert(after.query.clone(), Arc::new(after));
    }

    /// Reads that see what the steps so far leave behind.
    pub fn over<'a>(&'a self, reads: &'a dyn Reads) -> Foreseen<'a> {
        Foreseen { chain: self, reads }
    }
}

/// Reads of the state after the steps so far.
pub struct Foreseen<'a> {
    chain: &'a Chain,
    reads: &'a dyn Reads,
}

#[async_trait]
impl Reads for Foreseen<'_> {
    async fn read(&self, query: &Query) -> Arc<Observation> {
        let Chain { simulated, beside } = self.chain;
        match beside.get(query).or_else(|| simulated.get(query)) {
            Some(foreseen) => foreseen.clone(),
            None => self.reads.read(query).await,
        }
    }
}

/// What each step of a plan was computed from, from its recorded observations.
///
/// # Errors
/// `observation_missing` when something was not recorded.
pub async fn states_before(steps: &[Step], reads: &dyn Reads) -> Result<Vec<State>, Error> {
    let mut chain = Chain::default();
    let mut states = Vec::with_capacity(steps.len());
    for step in steps {
        let before = chain.before(&step.effect, reads).await;
        let state = State::of(&before.observation);
        let after = effect::semantics(&step.effect).simulate(&state)?.state;
        chain.goes_on_with(after.observation(&before.observation));
        states.push(state);
    }
    Ok(states)
}
