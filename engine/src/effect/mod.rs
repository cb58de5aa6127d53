//! What each kind of effect means: what it reads, what counts as drift, where
//! it stands against what was read, how it is taken back and what it would do.
//! Pure: everything is computed from observations.

mod back;
pub mod caution;
mod config_map;
pub mod delta;
pub mod facts;
mod firewall;
mod iptables;
mod manual;
mod network_profile;
mod nsg;
mod nsg_context;
mod patch;
mod pod;
mod service_tags;
pub mod state;
mod text;
mod ufw;

use serde_json::Value;

pub use back::{Back, back};
pub use state::State;

use crate::{
    error::{Code, Error},
    model::{Digest, Effect, Inverse, Observation, Query},
};

/// Where an effect stands against what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be performed.
    Ready,
    /// Its result is there already.
    InPlace,
    /// It cannot be performed on this; says why.
    Conflict(String),
}

/// What performing would do, computed by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Method and URL, or the command line.
    pub request: String,
    /// Body of the request.
    pub body: Option<Value>,
    /// The state before, as text for a diff.
    pub before: String,
    /// The state after, as text for a diff.
    pub after: String,
    /// The target's state after, in the form in which it is observed.
    pub state: State,
}

/// What became of an effect whose answer was lost, by reading back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in place.
    InPlace,
    /// Nothing has changed since before it was sent.
    Untouched,
    /// It is not in place, and something else has changed.
    Overtaken,
    /// It cannot be told.
    Unclear,
}

/// The meaning of one effect.
pub(crate) trait Semantics {
    /// What is read for all the rest.
    fn target(&self) -> Query;

    /// The part of the target's state whose change is drift.
    fn projection(&self, state: &State) -> Result<Value, Error>;

    /// Where it stands.
    fn standing(&self, state: &State) -> Result<Standing, Error>;

    /// How it is taken back, given the state before.
    fn inverse(&self, before: &State) -> Result<Inverse, Error>;

    /// What it would do.
    fn simulate(&self, before: &State) -> Result<Simulation, Error>;

    /// In words what must still hold, after "still".
    fn holds(&self) -> String;

    /// Whether the target's version must be unchanged too. Not for objects
    /// whose version changes by itself, as by every update of a status.
    fn is_fenced_by_version(&self) -> bool {
        true
    }

    /// Whether [`Standing`] alone tells if the effect took place. Not where
    /// equal things can stand beside each other, as rules in a chain.
    fn standing_decides(&self) -> bool {
        true
    }

    /// What someone else changed since, in words, where the projection does not show
    /// it although the inverse would set it in force.
    fn hidden_change(&self, _before: &State, _now: &State) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// What became of it, by comparing what is there now with the states before
    /// and after, or by the mark of the step where it leaves one.
    fn outcome(&self, before: &State, now: &State, _mark: &str) -> Result<Outcome, Error> {
        let seen = self.projection(now)?;
        if seen == self.projection(before)? {
            return Ok(Outcome::Untouched);
        }
        if seen == self.projection(&self.simulate(before)?.state)? {
            return Ok(Outcome::InPlace);
        }
        if !self.standing_decides() {
            return Ok(Outcome::Unclear);
        }
        Ok(match self.standing(now)? {
            Standing::InPlace => Outcome::InPlace,
            Standing::Ready | Standing::Conflict(_) => Outcome::Overtaken,
        })
    }
}

pub(crate) fn semantics(effect: &Effect) -> Box<dyn Semantics + Send + Sync + '_> {
    match effect {
        Effect::NsgRuleCreate { nsg, rule } => Box::new(nsg::RuleCreate { nsg, rule }),
        Effect::NsgRuleDelete { nsg, rule } => Box::new(nsg::RuleDelete { nsg, rule }),
        Effect::NsgRulesReplace { nsg, rules } => Box::new(nsg::RulesReplace { nsg, rules }),
        Effect::FirewallRuleAdd(rule) => Box::new(firewall::RuleAdd { rule }),
        Effect::FirewallRuleRemove(rule) => Box::new(firewall::RuleRemove { rule }),
        Effect::UfwRuleInsert(rule) => Box::new(ufw::RuleInsert { rule }),
        Effect::UfwRuleDelete(rule) => Box::new(ufw::RuleDelete { rule }),
        Effect::UfwEnable { node } => Box::new(ufw::Switch { node, on: true }),
        Effect::UfwDisable { node } => Box::new(ufw::Switch { node, on: false }),
        Effect::IptablesRuleInsert(rule) => Box::new(iptables::RuleInsert { rule }),
        Effect::IptablesRuleDelete(rule) => Box::new(iptables::RuleDelete { rule }),
        Effect::PodEvict { namespace, name } => Box::new(pod::Evict { namespace, name }),
        Effect::RolloutRestart {
            workload,
            namespace,
            name,
        } => Box::new(pod::Restart {
            workload,
            namespace,
            name,
        }),
        Effect::ConfigMapSet {
            namespace,
            name,
            key,
            value,
        } => Box::new(config_map::Set {
            namespace,
            name,
            key,
            value,
        }),
        Effect::NetworkProfileSet { cluster, patch } => {
            Box::new(network_profile::Set { cluster, patch })
        }
        Effect::ArmPatch { resource, patch } => Box::new(patch::Arm { resource, patch }),
        Effect::KubernetesPatch { object, patch } => Box::new(patch::Kubernetes { object, patch }),
        Effect::Manual { instruction } => Box::new(manual::Manual { instruction }),
    }
}

/// What is read for an effect's precondition and inverse, and given to the
/// driver as `before`.
pub fn target(effect: &Effect) -> Query {
    semantics(effect).target()
}

/// Where an effect stands against an observation of its target.
///
/// # Errors
/// When the observation is an error or cannot be understood.
pub fn standing(effect: &Effect, observed: &Observation) -> Result<Standing, Error> {
    semantics(effect).standing(&State::of(observed))
}

/// How an effect is taken back, given its target before.
///
/// # Errors
/// When the observation is an error or cannot be understood.
pub fn inverse(effect: &Effect, before: &Observation) -> Result<Inverse, Error> {
    semantics(effect).inverse(&State::of(before))
}

/// What an effect would do to its target.
///
/// # Errors
/// When the observation is an error or cannot be understood.
pub fn simulate(effect: &Effect, before: &Observation) -> Result<Simulation, Error> {
    semantics(effect).simulate(&State::of(before))
}

/// The digest of what must not have changed before the effect.
///
/// # Errors
/// When the observation is an error or cannot be understood.
pub fn state_digest(effect: &Effect, state: &State) -> Result<Digest, Error> {
    let projection = semantics(effect).projection(state)?;
    Digest::of_value(&projection).map_err(|e| {
        Error::new(
            Code::Internal,
            format!("an observed state has no canonical form: {e}"),
            "report this",
        )
    })
}
