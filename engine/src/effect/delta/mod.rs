//! Which packets a step lets pass or stops, computed by the host from the
//! effect and what it observed itself.

mod firewall;
mod needed;
mod node;
#[cfg(test)]
mod tests;

use naosu_flow::{
    delta::{FlowBox, FlowDelta},
    nsg::{Nsg, NsgError, TagContext, nsg_delta_behind},
    set::{AnalysisTooComplex, PacketSet, Space},
};

use super::{
    State, nsg,
    nsg_context::{self, Surroundings},
};
use crate::{
    error::{Code, Error},
    model::{Delta, Effect, Flow, Observation},
    plugin::Reads,
};

/// What a step does to packets.
#[derive(Clone, Debug)]
pub struct Consequence {
    /// The packets.
    pub delta: Delta,
    /// Something else that it changes and that later steps are judged by: the
    /// kernel's rules, where the effect is one on ufw's.
    pub beside: Option<Observation>,
}

fn alone(delta: Delta) -> (Delta, Option<Observation>) {
    (delta, None)
}

/// What a step does to packets, `after` being the simulated state.
///
/// What cannot be read or analysed makes the delta unknown, never empty.
pub async fn of(
    effect: &Effect,
    before: &Observation,
    after: &State,
    needed: &[Flow],
    reads: &dyn Reads,
) -> Consequence {
    let computed = match effect {
        Effect::NsgRuleCreate { .. }
        | Effect::NsgRuleDelete { .. }
        | Effect::NsgRulesReplace { .. } => of_nsg(before, after, needed, reads).await.map(alone),
        Effect::UfwRuleInsert(_)
        | Effect::UfwRuleDelete(_)
        | Effect::UfwEnable { .. }
        | Effect::UfwDisable { .. }
        | Effect::IptablesRuleInsert(_)
        | Effect::IptablesRuleDelete(_) => node::delta(effect, before, after, needed, reads).await,
        Effect::FirewallRuleAdd(rule) | Effect::FirewallRuleRemove(rule) => {
            let delta = firewall::delta(&rule.resource, before, after, needed, reads);
            delta.await.map(alone)
        }
        Effect::ArmPatch { .. } | Effect::KubernetesPatch { .. } => Err(not_analysed(
            "a generic patch may change anything, so its packets are not known",
        )),
        Effect::Manual { .. } => Err(not_analysed(
            "what a person does by hand is not known beforehand",
        )),
        Effect::PodEvict { .. }
        | Effect::RolloutRestart { .. }
        | Effect::ConfigMapSet { .. }
        | Effect::NetworkProfileSet { .. } => Ok(alone(Delta::NotAFirewall)),
    };
    let (delta, beside) = computed.unwrap_or_else(|error| alone(Delta::Unknown { error }));
    Consequence { delta, beside }
}

async fn of_nsg(
    before: &Observation,
    after: &State,
    needed: &[Flow],
    reads: &dyn Reads,
) -> Result<Delta, Error> {
    let state = State::of(before);
    let groups = (nsg::parse(&state)?, nsg::parse(after)?);
    let around = nsg_context::surroundings(&state, &groups, reads).await?;
    let needed = needed.to_vec();
    // Exact, bounded, and not short for a large group: not on a thread that
    // serves others.
    computing(move || nsg_between(&groups, &around, &needed)).await
}

fn nsg_between(
    (before, after): &(Nsg, Nsg),
    around: &Surroundings,
    needed: &[Flow],
) -> Result<Delta, Error> {
    let mut space = Space::new();
    let Surroundings { tags, admin } = around;
    let delta = nsg_delta_behind(&mut space, before, after, tags, admin).map_err(|e| match e {
        NsgError::TooComplex(e) => too_complex(&e),
        e => Error::new(
            Code::RulesetMalformed,
            e.to_string(),
            "look at the rules of the security group",
        ),
    })?;
    computed(&mut space, &delta, needed, tags)
}

/// The report and the excess over what is needed.
fn computed(
    space: &mut Space,
    delta: &FlowDelta,
    needed: &[Flow],
    tags: &TagContext,
) -> Result<Delta, Error> {
    let needed = needed::packets(space, needed, tags)?;
    computed_of(space, delta, needed, &Vec::new)
}

/// The same; `changed` names the rules that change, for an answer of too many
/// boxes.
fn computed_of(
    space: &mut Space,
    delta: &FlowDelta,
    needed: PacketSet,
    changed: &dyn Fn() -> Vec<String>,
) -> Result<Delta, Error> {
    let complex = |e: AnalysisTooComplex| too_complex(&e.naming(changed()));
    let excess = delta.excess(space, needed).map_err(complex)?;
    Ok(Delta::Computed {
        report: delta.report(space).map_err(complex)?,
        excess: FlowBox::list(space, excess).map_err(complex)?,
    })
}

async fn computing(
    work: impl FnOnce() -> Result<Delta, Error> + Send + 'static,
) -> Result<Delta, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        Error::new(
            Code::Internal,
            format!("the flow analysis failed: {e}"),
            "report this",
        )
    })?
}

fn too_complex(error: &AnalysisTooComplex) -> Error {
    Error::new(
        Code::AnalysisTooComplex,
        error.to_string(),
        "judge the change by the rules themselves, or simplify them first",
    )
}

fn not_analysed(what: &str) -> Error {
    Error::new(
        Code::Unsupported,
        what,
        "judge the change by its text; treat its packets as unknown",
    )
}
