//! What a change of a security group does to packets.

use super::admin_policy::AdminPolicy;
use super::error::NsgError;
use super::flush::with_cut_connections;
use super::group::Nsg;
use super::rule::NsgRule;
use super::tags::TagContext;
use crate::delta::FlowDelta;
use crate::policy::Policy;
use crate::set::{PacketSet, Space};

/// The exact delta between two states of a group.
///
/// Only packets matched by a rule that was added, removed or changed can change
/// their verdict, so only those are asked about; where connections are flushed, those
/// of open connections too.
///
/// # Errors
/// [`NsgError`], also when the exact answer costs too much.
pub fn nsg_delta(
    space: &mut Space,
    before: &Nsg,
    after: &Nsg,
    tags: &TagContext,
) -> Result<FlowDelta, NsgError> {
    let mut compare = || {
        let within = touched(space, before, after, tags)?;
        let old = before.policy(tags)?.decide(space, within)?;
        let new = after.policy(tags)?.decide(space, within)?;
        let delta = FlowDelta::between(space, &old, &new)?;
        with_cut_connections(space, before, after, tags, delta)
    };
    compare().map_err(|error: NsgError| {
        let changed = changed_rules(before, after).chain(changed_rules(after, before));
        error.naming(changed)
    })
}

/// The same behind security admin rules, which a group does not change.
///
/// # Errors
/// [`NsgError`], also when the exact answer costs too much.
pub fn nsg_delta_behind(
    space: &mut Space,
    before: &Nsg,
    after: &Nsg,
    tags: &TagContext,
    admin: &AdminPolicy,
) -> Result<FlowDelta, NsgError> {
    let delta = nsg_delta(space, before, after, tags)?;
    let handed_on = admin.handed_on(space)?;
    Ok(delta.among(space, handed_on)?)
}

/// The packets matched by a rule that is not the same in both groups.
fn touched(
    space: &mut Space,
    before: &Nsg,
    after: &Nsg,
    tags: &TagContext,
) -> Result<PacketSet, NsgError> {
    let mut sets = Vec::new();
    for (group, other) in [(before, after), (after, before)] {
        for rule in changed_rules(group, other) {
            let matches = rule.matches(tags)?;
            let packets = matches.packets(space)?;
            sets.push(space.possibly(packets)?);
        }
    }
    Ok(space.union_all(sets)?)
}

/// The rules of `group` that `other` does not have as they are.
fn changed_rules<'a>(group: &'a Nsg, other: &'a Nsg) -> impl Iterator<Item = &'a NsgRule> {
    let key = |rule: &NsgRule| (rule.direction, rule.priority);
    let lists = [
        (&group.rules, &other.rules),
        (&group.default_rules, &other.default_rules),
    ];
    lists.into_iter().flat_map(move |(rules, others)| {
        rules.iter().filter(move |rule| {
            let same = others
                .binary_search_by_key(&key(rule), key)
                .ok()
                .and_then(|at| others.get(at));
            !same.is_some_and(|other| other.means_the_same(rule))
        })
    })
}

impl NsgRule {
    /// Whether two rules decide the same packets the same way at the same
    /// place, text aside.
    pub fn means_the_same(&self, other: &Self) -> bool {
        self.priority == other.priority
            && self.direction == other.direction
            && self.access == other.access
            && self.protocol.eq_ignore_ascii_case(&other.protocol)
            && self.source_prefixes == other.source_prefixes
            && self.source_ports == other.source_ports
            && self.source_groups == other.source_groups
            && self.destination_prefixes == other.destination_prefixes
            && self.destination_ports == other.destination_ports
            && self.destination_groups == other.destination_groups
    }
}
