//! All rulesets of a node together.

use std::collections::BTreeSet;

use super::decision::{DecidedBy, Decision};
use super::flow_state::{FlowState, Flows, Tracking};
use super::hook::{Hook, Stage};
use super::hull::Hull;
use super::knowledge::Knowledge;
use super::mark::Mark;
use super::matching::Detail;
use super::nft_chain::NftChain;
use super::ruleset::{Backend, Family, Ruleset, TableName};
use super::target::Target;
use super::walk::{IndexedTable, Walk};
use crate::policy::{DecidingRule, Decisions, Policy, Verdict};
use crate::set::{
    AddressSet, AnalysisTooComplex, ConnectionState, FlowBox, OtherState, PacketSet, PortSet,
    Protocol, ProtocolSet, Space,
};

/// A ruleset and the backend that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedRuleset {
    /// The backend.
    pub backend: Backend,
    /// Its rules of one family.
    pub ruleset: Ruleset,
}

/// The firewall of a node: every ruleset in force there, and what is known of
/// the node besides.
///
/// A packet passes when the rules of both backends let it pass. A family of
/// which no ruleset is given is not known; give [`Ruleset::empty`] for one that
/// is known to have no rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFirewall {
    /// The rulesets.
    pub rulesets: Vec<LoadedRuleset>,
    /// What the rules refer to but do not say.
    pub knowledge: Knowledge,
}

/// The decisions of a node's firewall, with the places of the rules.
#[derive(Debug, Clone)]
pub struct NodeDecisions {
    /// The decisions; rule `n` is that of `made[n]`.
    pub decisions: Decisions,
    /// What made them, in the order packets come to it.
    pub made: Vec<Decision>,
}

/// The name of the policy that decisions of a node's firewall carry.
pub const POLICY_NAME: &str = "node firewall";

impl NodeFirewall {
    /// A firewall of rulesets whose dumps name their backends, `nft` where one
    /// does not.
    pub fn new(rulesets: impl IntoIterator<Item = Ruleset>, knowledge: Knowledge) -> Self {
        let rulesets = rulesets
            .into_iter()
            .map(|ruleset| LoadedRuleset {
                backend: ruleset.backend.unwrap_or(Backend::Nft),
                ruleset,
            })
            .collect();
        Self {
            rulesets,
            knowledge,
        }
    }

    /// Decides every packet of `within` on its way through one hook. Rules that
    /// cannot concern such a packet cost next to nothing.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`], naming the rule that was too much.
    pub fn analyse(
        &self,
        space: &mut Space,
        hook: Hook,
        within: PacketSet,
    ) -> Result<NodeDecisions, AnalysisTooComplex> {
        self.decide_hooks(space, (within, None), &[(hook, within)])
    }

    /// The same of packets in another state than their set tells.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`], naming the rule that was too much.
    pub fn analyse_in_state(
        &self,
        space: &mut Space,
        (hook, state): (Hook, OtherState),
        within: PacketSet,
    ) -> Result<NodeDecisions, AnalysisTooComplex> {
        self.decide_hooks(space, (within, Some(state)), &[(hook, within)])
    }

    /// Decides the packets of each hook; the sets are disjoint.
    fn decide_hooks(
        &self,
        space: &mut Space,
        (within, other): (PacketSet, Option<OtherState>),
        hooks: &[(Hook, PacketSet)],
    ) -> Result<NodeDecisions, AnalysisTooComplex> {
        let changed_sets = self.changed_sets();
        let mut walk = Walk::new(space, &self.knowledge, &changed_sets);
        for (hook, packets) in hooks {
            for family in [Family::Ipv4, Family::Ipv6] {
                let set = of_family(walk.space, family, *packets)?;
                if !set.is_empty() {
                    self.family(&mut walk, family, (*hook, other), set)?;
                }
            }
        }
        concluded(walk, within)
    }

    /// Decides packets of one family, in a state of which their set tells nothing
    /// where one is given.
    pub(super) fn family<'a>(
        &'a self,
        walk: &mut Walk<'a, '_>,
        family: Family,
        (hook, other): (Hook, Option<OtherState>),
        set: PacketSet,
    ) -> Result<(), AnalysisTooComplex> {
        if !self.has_read(family) {
            let what = format!("the rules of {}", family_name(family));
            let reason = format!("{what} were not read");
            walk.verdicts.lose(set, DecidedBy::Unread { what }, reason);
            return Ok(());
        }
        let tables = self.tables(family);
        let flows = hook.untouched(walk.space, &self.knowledge, other, set)?;
        let hull = Hull::of(walk.space, family, set);
        let earlier = walk.verdicts.translated.len();
        let flows = pass_stages(walk, &tables, hook.stages(), flows, hull)?;
        // A packet that is sent on is not followed to the rules that change its source.
        if changes_sources(&tables, hook) {
            let sent_on = walk.verdicts.translated.iter_mut().skip(earlier);
            for translated in sent_on.filter(|it| it.translation.destinations.is_some()) {
                translated.translation.sources = Some(AddressSet::any());
                translated.translation.source_ports = Some(PortSet::full());
            }
        }
        self.arrive(walk, (hook, family), &flows)
    }

    /// Whether some ruleset of a family is given.
    pub(super) fn has_read(&self, family: Family) -> bool {
        self.of_family(family).next().is_some()
    }

    fn of_family(&self, family: Family) -> impl Iterator<Item = &LoadedRuleset> {
        let rulesets = self.rulesets.iter();
        rulesets.filter(move |loaded| loaded.ruleset.family == family)
    }

    /// The named sets that rules change while packets pass.
    pub(super) fn changed_sets(&self) -> BTreeSet<String> {
        let tables = self
            .rulesets
            .iter()
            .flat_map(|loaded| &loaded.ruleset.tables);
        let rules = tables
            .flat_map(|table| &table.chains)
            .flat_map(|chain| &chain.rules);
        let names = rules.filter_map(|rule| match &rule.target {
            Target::Continue(extension) if extension.name == "SET" => {
                let changing = ["--add-set", "--del-set"].into_iter();
                Some(changing.filter_map(|option| extension.value(option)))
            }
            _ => None,
        });
        names.flatten().map(str::to_owned).collect()
    }

    /// Lets packets that passed all stages arrive, unless rules that were not shown
    /// drop them.
    pub(super) fn arrive(
        &self,
        walk: &mut Walk<'_, '_>,
        (hook, family): (Hook, Family),
        flows: &Flows,
    ) -> Result<(), AnalysisTooComplex> {
        let mut passed = flows.packets(walk.space)?;
        let beside = self.beside(family, hook);
        let shown = self.unread(family).into_iter().chain(beside);
        let mut hidden: Vec<(String, &str)> = shown
            .map(|what| (what, "rules that exist were not shown"))
            .collect();
        if self.knowledge.nft_unlisted {
            let what = "the rules of nft tables that are not those of iptables".to_owned();
            hidden.push((what, "the node has no nft to show whether there are any"));
        }
        for (what, reason) in hidden {
            let dropped = walk
                .space
                .atom(&format!("{what} drop the packet"), reason)?;
            let denied = walk.space.intersection(passed, dropped)?;
            passed = walk.space.difference(passed, dropped)?;
            walk.verdicts.deny(denied, DecidedBy::Unread { what });
        }
        walk.verdicts.arrive(walk.space, passed)
    }

    /// Rules of a family that exist but were not given.
    pub(super) fn unread(&self, family: Family) -> Vec<String> {
        let rulesets = || self.of_family(family);
        let mut unread = Vec::new();
        let warned = rulesets().any(|loaded| loaded.ruleset.legacy_tables_present);
        if warned && !rulesets().any(|loaded| loaded.backend == Backend::Legacy) {
            unread.push(format!("the legacy rules of {}", family_name(family)));
        }
        for name in rulesets().flat_map(|loaded| &loaded.ruleset.unreadable_tables) {
            let name = name.escape_debug();
            unread.push(format!(
                "the nft rules of table {name} of {}",
                family_name(family)
            ));
        }
        unread
    }

    /// Tables besides those of iptables that may drop packets.
    fn beside(&self, family: Family, hook: Hook) -> BTreeSet<String> {
        let chains = self.knowledge.nft_chains.iter();
        chains
            .filter(|chain| chain.may_drop() && chain.concerns(family, hook))
            .map(NftChain::table_in_words)
            .collect()
    }

    /// The tables of a family, those of the legacy backend first.
    pub(super) fn tables(&self, family: Family) -> Vec<IndexedTable<'_>> {
        let mut tables: Vec<IndexedTable<'_>> = self
            .rulesets
            .iter()
            .filter(|loaded| loaded.ruleset.family == family)
            .flat_map(|loaded| {
                let tables = loaded.ruleset.tables.iter();
                tables.map(|table| IndexedTable::new(family, loaded.backend, table))
            })
            .collect();
        tables.sort_by_key(|table| table.backend);
        tables
    }
}

/// The packets of a set that are of one family.
pub(super) fn of_family(
    space: &mut Space,
    family: Family,
    set: PacketSet,
) -> Result<PacketSet, AnalysisTooComplex> {
    let addresses = match family {
        Family::Ipv4 => AddressSet::any_v4(),
        Family::Ipv6 => AddressSet::any_v6(),
    };
    let all = space.flow(&FlowBox::any().with_sources(addresses))?;
    space.intersection(all, set)
}

/// Whether rules may change the sources of a hook's packets.
fn changes_sources(tables: &[IndexedTable<'_>], hook: Hook) -> bool {
    let stages = hook.stages().iter();
    let mut stages =
        stages.filter(|stage| stage.table == TableName::Nat && !stage.rewrites_destination());
    stages.any(|stage| {
        let mut tables = tables
            .iter()
            .filter(|table| table.table.name == stage.table);
        tables.any(|table| {
            let reached = table.reached([stage.chain]).into_iter();
            let chains = reached.filter_map(|name| table.chain(name));
            let mut rules = chains.flat_map(|chain| &chain.rules);
            rules.any(|rule| matches!(rule.target, Target::Translate(_)))
        })
    })
}

/// What a walk decided about the packets of `within`.
pub(super) fn concluded(
    walk: Walk<'_, '_>,
    within: PacketSet,
) -> Result<NodeDecisions, AnalysisTooComplex> {
    let Walk {
        space,
        mut verdicts,
        ..
    } = walk;
    let translated = std::mem::take(&mut verdicts.translated);
    let (map, made) = verdicts.finish(space)?;
    let rules = made.iter().map(deciding_rule).collect();
    Ok(NodeDecisions {
        decisions: Decisions::new(space, within, map, rules)?.translating(translated),
        made,
    })
}

/// Sends packets through stages, one after the other.
pub(super) fn pass_stages<'a>(
    walk: &mut Walk<'a, '_>,
    tables: &[IndexedTable<'a>],
    stages: &[Stage],
    mut flows: Flows,
    hull: Hull,
) -> Result<Flows, AnalysisTooComplex> {
    for stage in stages {
        flows = pass_stage(walk, tables, *stage, flows, hull)?;
        if stage.table == TableName::Raw {
            flows = flows.changed(walk.space, FlowState::tracked)?;
        }
    }
    Ok(flows)
}

/// Sends packets through the tables consulted at one stage.
fn pass_stage<'a>(
    walk: &mut Walk<'a, '_>,
    tables: &[IndexedTable<'a>],
    stage: Stage,
    mut flows: Flows,
    hull: Hull,
) -> Result<Flows, AnalysisTooComplex> {
    let consulted: Vec<&IndexedTable<'_>> = tables
        .iter()
        .filter(|table| table.table.name == stage.table)
        .collect();
    // Which backend comes first depends on which was loaded first, so what one
    // of them does to a packet cannot be told where both are consulted.
    let state_lost = consulted.len() > 1 && consulted.iter().any(|table| table.changes_state());
    let forget = |state: FlowState| FlowState {
        mark: Mark::UNKNOWN,
        tracking: match stage.table {
            TableName::Raw => Tracking::Unknown,
            _ => state.tracking,
        },
        ..state
    };
    for table in consulted {
        if state_lost {
            flows = flows.changed(walk.space, forget)?;
        }
        let (translated, others) = match stage.table {
            TableName::Nat => opening(walk, flows)?,
            _ => (flows, Flows::default()),
        };
        flows = walk.stage(table, stage, translated, hull)?;
        flows.append(walk.space, &others)?;
    }
    if state_lost {
        flows = flows.changed(walk.space, forget)?;
    }
    Ok(flows)
}

/// Splits off what the `nat` table sees: first packets of tracked connections.
fn opening(walk: &mut Walk<'_, '_>, flows: Flows) -> Result<(Flows, Flows), AnalysisTooComplex> {
    let new = walk
        .space
        .flow(&FlowBox::any().with_state(ConnectionState::New))?;
    let (mut opening, mut others) = (Flows::default(), Flows::default());
    for (state, set) in flows.iter() {
        match state.tracking {
            Tracking::Untracked | Tracking::Invalid => {
                others.add(walk.space, state, set)?;
                continue;
            }
            Tracking::Related => {
                let (first, later) = opening_related(walk, set)?;
                opening.add(walk.space, state, first)?;
                others.add(walk.space, state, later)?;
                continue;
            }
            Tracking::NotYet | Tracking::Tracked | Tracking::Unknown => {}
        }
        let first = walk.space.intersection(new, set)?;
        opening.add(walk.space, state, first)?;
        let later = walk.space.difference(set, new)?;
        others.add(walk.space, state, later)?;
    }
    Ok((opening, others))
}

/// Splits packets about a connection: those that open one of their own, and
/// others, such as all errors of ICMP.
fn opening_related(
    walk: &mut Walk<'_, '_>,
    set: PacketSet,
) -> Result<(PacketSet, PacketSet), AnalysisTooComplex> {
    let errors = [Protocol::ICMP, Protocol::ICMPV6].map(|protocol| u128::from(protocol.0));
    let errors = ProtocolSet::from_ranges(errors.map(|number| (number, number)));
    let errors = walk.space.flow(&FlowBox::any().with_protocols(errors))?;
    let (errors, rest) = (
        walk.space.intersection(set, errors)?,
        walk.space.difference(set, errors)?,
    );
    if walk.detail == Detail::Outline {
        return Ok((rest, set));
    }
    let opens = walk.space.atom(
        "a related packet opens a connection of its own",
        "only its helper knows whether a packet about a connection opens another",
    )?;
    let first = walk.space.intersection(rest, opens)?;
    let later = walk.space.difference(rest, opens)?;
    Ok((first, walk.space.union(later, errors)?))
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

fn deciding_rule(decision: &Decision) -> DecidingRule {
    DecidingRule {
        policy: POLICY_NAME.to_owned(),
        rule: match decision.verdict {
            // An atom is named after it, which must not change when another
            // rule is inserted before.
            Verdict::Unknown => decision.by.without_number(),
            Verdict::Allow | Verdict::Deny => decision.by.to_string(),
        },
        verdict: decision.verdict,
    }
}

impl NodeDecisions {
    /// What decides about the packets of a decision, by its place in
    /// [`Decisions::rules`].
    pub fn made_by(&self, rule: usize) -> Option<&Decision> {
        self.made.get(rule)
    }

    /// The first thing that keeps packets of the question from passing, and
    /// which packets it keeps.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn first_block(
        &self,
        space: &mut Space,
    ) -> Result<Option<(Decision, PacketSet)>, AnalysisTooComplex> {
        for block in self.decisions.blocks(space)? {
            if let Some(decision) = self.made.get(block.index)
                && decision.verdict != Verdict::Allow
            {
                return Ok(Some((decision.clone(), block.part)));
            }
        }
        Ok(None)
    }
}

/// Inbound packets are decided by `INPUT`, outbound ones by `OUTPUT`, those that the
/// node passes on by `FORWARD`.
impl Policy for NodeFirewall {
    fn name(&self) -> &str {
        POLICY_NAME
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let mut hooks = Vec::new();
        for hook in Hook::ALL {
            let set = space.flow(&FlowBox::any().with_direction(hook.direction()))?;
            hooks.push((hook, space.intersection(set, within)?));
        }
        Ok(self.decide_hooks(space, (within, None), &hooks)?.decisions)
    }
}
