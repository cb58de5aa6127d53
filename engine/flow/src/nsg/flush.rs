//! What a change does to open connections, where the group asks Azure to judge them
//! anew: `flushConnection`.

use super::compile::compiled;
use super::error::NsgError;
use super::group::Nsg;
use super::rule::{Direction, NsgRule};
use super::tags::TagContext;
use crate::delta::FlowDelta;
use crate::policy::{Policy, RulePolicy, Verdict};
use crate::set::{AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, PairSet, Space};

const OPENED_BY_SENDER: &str = "the sender of the packet opened the connection";
const NOT_TOLD: &str = "a packet of an open connection does not tell who opened it";

/// The delta with the open connections that are cut.
///
/// A connection is judged as when it was opened. Its packets go both ways: those of
/// the side that opened it are judged as they are, those of the other side as the
/// packets they answer.
pub(super) fn with_cut_connections(
    space: &mut Space,
    before: &Nsg,
    after: &Nsg,
    tags: &TagContext,
    mut delta: FlowDelta,
) -> Result<FlowDelta, NsgError> {
    if !after.flush_connection || (before == after) {
        return Ok(delta);
    }
    let mut open = PacketSet::EMPTY;
    for direction in [Direction::Inbound, Direction::Outbound] {
        let flow = FlowBox::any().with_state(ConnectionState::Established);
        let facing = space.flow(&flow.with_direction(direction.into()))?;
        open = space.union(open, facing)?;
    }
    // What was open before anyone asked may be anything.
    let passed = if before.flush_connection {
        passing(space, before, tags, open)?
    } else {
        open
    };
    let passes = passing(space, after, tags, open)?;
    let lost = space.difference(passed, passes)?;
    let kept = space.difference(passed, lost)?;
    let cut = FlowDelta::of_sets(space, passed, kept)?;
    delta.newly_denied = space.union(delta.newly_denied, cut.newly_denied)?;
    delta.may_become_denied = space.union(delta.may_become_denied, cut.may_become_denied)?;
    Ok(delta)
}

/// The packets of open connections that pass when those are judged anew.
fn passing(
    space: &mut Space,
    group: &Nsg,
    tags: &TagContext,
    open: PacketSet,
) -> Result<PacketSet, NsgError> {
    let asked = allowed(space, &judging_open(group, tags)?, open)?;
    let answered = allowed(space, &judging_open(&mirrored(group), tags)?, open)?;
    let by_sender = space.atom(OPENED_BY_SENDER, NOT_TOLD)?;
    let asked = space.intersection(asked, by_sender)?;
    let answered = space.difference(answered, by_sender)?;
    Ok(space.union(asked, answered)?)
}

fn allowed(
    space: &mut Space,
    policy: &RulePolicy,
    within: PacketSet,
) -> Result<PacketSet, AnalysisTooComplex> {
    let decisions = policy.decide(space, within)?;
    let allowed = decisions.allowed(space)?;
    space.intersection(allowed, within)
}

/// The rules of a group, for packets of open connections.
fn judging_open(group: &Nsg, tags: &TagContext) -> Result<RulePolicy, NsgError> {
    let mut policy = RulePolicy::constant(&group.name, "no rule matches", Verdict::Deny);
    policy.rules = compiled(group, tags)?;
    for rule in &mut policy.rules {
        rule.matches.flow.states = PairSet::single(1_u8);
    }
    Ok(policy)
}

/// The rules as they are about the answers to the packets they are about.
fn mirrored(group: &Nsg) -> Nsg {
    let mut mirrored = group.clone();
    for rule in mirrored.rules.iter_mut().chain(&mut mirrored.default_rules) {
        let NsgRule {
            direction,
            source_prefixes,
            source_ports,
            source_groups,
            destination_prefixes,
            destination_ports,
            destination_groups,
            ..
        } = rule;
        *direction = match direction {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        std::mem::swap(source_prefixes, destination_prefixes);
        std::mem::swap(source_ports, destination_ports);
        std::mem::swap(source_groups, destination_groups);
    }
    mirrored
}
