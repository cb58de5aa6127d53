//! What a step does, from what was read: computed by this code when the step is
//! planned and once more right before it is performed.

use crate::{
    effect::{
        self, Simulation, State,
        caution::{self, Caution},
        delta::{self, Consequence},
        facts::ClusterFacts,
    },
    error::Error,
    model::{Delta, Effect, Flow, Inverse, Observation},
    plugin::Reads,
};

/// What a step does.
pub struct Assessment {
    /// How it is taken back.
    pub inverse: Inverse,
    /// What it makes of its target.
    pub simulation: Simulation,
    /// Which packets it lets pass or stops.
    pub delta: Delta,
    /// What it changes beside its target.
    pub beside: Option<Observation>,
    /// How careful one must be.
    pub caution: Caution,
}

/// Assesses an effect on what was read of its target.
///
/// # Errors
/// `infeasible_here` where the cluster does not allow it, or when the target
/// cannot be understood.
pub async fn assess(
    effect: &Effect,
    before: &Observation,
    needed: &[Flow],
    facts: &ClusterFacts,
    reads: &dyn Reads,
) -> Result<Assessment, Error> {
    let state = State::of(before);
    let (inverse, simulation) = {
        let meaning = effect::semantics(effect);
        (meaning.inverse(&state)?, meaning.simulate(&state)?)
    };
    let Consequence { delta, beside } =
        delta::of(effect, before, &simulation.state, needed, reads).await;
    let caution = caution::assess(effect, facts, &inverse, &delta)?;
    Ok(Assessment {
        inverse,
        simulation,
        delta,
        beside,
        caution,
    })
}
