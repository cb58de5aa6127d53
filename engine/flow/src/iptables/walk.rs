//! Follows packet sets through the chains of one table.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::decision::{DecidedBy, RulePlace, program};
use super::flow_state::{FlowState, Flows, Tracking};
use super::hook::Stage;
use super::hull::Hull;
use super::image::{translation, unmodelled_translation};
use super::knowledge::Knowledge;
use super::mark::Mark;
use super::matching::{Detail, Reading};
use super::ruleset::{Backend, Chain, ChainPolicy, Family, Rule, Table, TableName};
use super::taken::Taken;
use super::target::Target;
use super::verdicts::Verdicts;
use crate::set::{AnalysisTooComplex, BudgetPart, Space};

/// A chain entered more often than rules can be looked at in reason: nested
/// chains can be made to be entered twice as often at every level.
const RULE_VISITS: u64 = 1_000_000;

/// One table of one ruleset, with its chains by name.
pub(super) struct IndexedTable<'a> {
    pub(super) family: Family,
    pub(super) backend: Backend,
    pub(super) table: &'a Table,
    chains: HashMap<&'a str, &'a Chain>,
}

impl<'a> IndexedTable<'a> {
    pub(super) fn new(family: Family, backend: Backend, table: &'a Table) -> Self {
        let chains = table
            .chains
            .iter()
            .map(|chain| (chain.name.as_str(), chain))
            .collect();
        Self {
            family,
            backend,
            table,
            chains,
        }
    }

    /// Whether a rule of the table may change a packet's mark or tracking.
    pub(super) fn changes_state(&self) -> bool {
        let rules = self.table.chains.iter().flat_map(|chain| &chain.rules);
        rules.into_iter().any(|rule| match &rule.target {
            Target::SetMark { .. } => true,
            Target::Continue(extension) => {
                sets_unknown_mark(&extension.name)
                    || extension.has("--map-mark")
                    || matches!(extension.name.as_str(), "CT" | "NOTRACK")
            }
            _ => false,
        })
    }

    /// The chain of a name.
    pub(super) fn chain(&self, name: &str) -> Option<&'a Chain> {
        self.chains.get(name).copied()
    }

    /// The chains that packets of these can reach, themselves included.
    pub(super) fn reached<'n>(&self, from: impl IntoIterator<Item = &'n str>) -> HashSet<&'a str> {
        let known = |name: &str| self.chains.get_key_value(name).map(|(name, _)| *name);
        let mut open: Vec<&str> = from.into_iter().filter_map(known).collect();
        let mut seen: HashSet<&str> = open.iter().copied().collect();
        while let Some(name) = open.pop() {
            let Some(chain) = self.chain(name) else {
                continue;
            };
            let next = chain.rules.iter().filter_map(|rule| rule.target.chain());
            open.extend(next.filter(|next| seen.insert(next)));
        }
        seen
    }

    /// Where a rule of the table stands.
    pub(super) fn rule_place(&self, chain: &Chain, index: usize, rule: &Rule) -> RulePlace {
        RulePlace {
            family: self.family,
            backend: self.backend,
            table: self.table.name,
            chain: chain.name.clone(),
            number: index + 1,
            line: rule.line,
            specification: rule.to_string().trim_start().to_owned(),
        }
    }
}

impl IndexedTable<'_> {
    /// The policy of one of the table's chains.
    pub(super) fn policy_of(&self, chain: &Chain) -> DecidedBy {
        DecidedBy::ChainPolicy {
            family: self.family,
            backend: self.backend,
            table: self.table.name,
            chain: chain.name.clone(),
        }
    }
}

fn sets_unknown_mark(target: &str) -> bool {
    matches!(target, "MARK" | "HMARK" | "CONNMARK")
}

/// Packets on their way through a chain.
struct Frame<'a> {
    chain: &'a Chain,
    next_rule: usize,
    flows: Flows,
    /// Packets that left `flows` and are still among them: of an outline alone.
    taken: Taken,
    /// Packets that go back to where the chain was jumped from.
    returned: Flows,
    hull: Hull,
    /// Whether the chain was entered by a goto.
    by_goto: bool,
}

impl Frame<'_> {
    /// Packets that stay in the chain after all, or come back to it.
    fn stay(&mut self, space: &mut Space, flows: &Flows) -> Result<(), AnalysisTooComplex> {
        if flows.is_empty() {
            return Ok(());
        }
        self.taken.subtract(space, &mut self.flows)?;
        self.flows.append(space, flows)
    }
}

/// Follows packets through a table.
pub(super) struct Walk<'a, 's> {
    pub(super) space: &'s mut Space,
    pub(super) knowledge: &'a Knowledge,
    pub(super) verdicts: Verdicts,
    pub(super) detail: Detail,
    changed_sets: &'a BTreeSet<String>,
    visits: u64,
}

impl<'a, 's> Walk<'a, 's> {
    /// A walk that tells all; `changed_sets` are named sets that rules change.
    pub(super) fn new(
        space: &'s mut Space,
        knowledge: &'a Knowledge,
        changed_sets: &'a BTreeSet<String>,
    ) -> Self {
        Self {
            space,
            knowledge,
            verdicts: Verdicts::default(),
            detail: Detail::Exact,
            changed_sets,
            visits: 0,
        }
    }

    /// A walk that tells only which packets may take which way: its sets overlap
    /// where that is not known, and hold no atoms.
    pub(super) fn outline(
        space: &'s mut Space,
        knowledge: &'a Knowledge,
        changed_sets: &'a BTreeSet<String>,
    ) -> Self {
        Self {
            detail: Detail::Outline,
            ..Self::new(space, knowledge, changed_sets)
        }
    }

    /// Sends packets through a built-in chain; gives back those that pass.
    pub(super) fn stage(
        &mut self,
        table: &IndexedTable<'a>,
        stage: Stage,
        flows: Flows,
        hull: Hull,
    ) -> Result<Flows, AnalysisTooComplex> {
        let Some(&chain) = table.chains.get(stage.chain) else {
            return Ok(flows);
        };
        let mut passed = Flows::default();
        let mut frames = vec![Frame {
            chain,
            next_rule: 0,
            flows,
            taken: Taken::default(),
            returned: Flows::default(),
            hull,
            by_goto: false,
        }];
        while let Some(frame) = frames.last_mut() {
            if !frame.flows.is_empty() && frame.next_rule < frame.chain.rules.len() {
                let place = (frame.chain, frame.next_rule);
                self.rule(table, stage, &mut frames, &mut passed)
                    .map_err(|error| name(error, table, place))?;
                continue;
            }
            let Some(mut done) = frames.pop() else { break };
            done.taken.subtract(self.space, &mut done.flows)?;
            let fell_through = std::mem::take(&mut done.flows);
            done.returned.append(self.space, &fell_through)?;
            match frames.last_mut() {
                Some(caller) if done.by_goto => {
                    caller.returned.append(self.space, &done.returned)?
                }
                Some(caller) => caller.stay(self.space, &done.returned)?,
                None => self.policy(table, chain, &done.returned, &mut passed)?,
            }
        }
        Ok(passed)
    }

    fn policy(
        &mut self,
        table: &IndexedTable<'a>,
        chain: &Chain,
        flows: &Flows,
        passed: &mut Flows,
    ) -> Result<(), AnalysisTooComplex> {
        if flows.is_empty() {
            return Ok(());
        }
        let set = flows.packets(self.space)?;
        let by = table.policy_of(chain);
        if chain.policy == Some(ChainPolicy::Drop) {
            self.verdicts.deny(set, by);
            return Ok(());
        }
        if table.table.name == TableName::Filter {
            self.verdicts.pass(set, by);
        }
        passed.append(self.space, flows)
    }

    /// Applies the next rule of the innermost chain.
    fn rule(
        &mut self,
        table: &IndexedTable<'a>,
        stage: Stage,
        frames: &mut Vec<Frame<'a>>,
        passed: &mut Flows,
    ) -> Result<(), AnalysisTooComplex> {
        self.visits += 1;
        if self.visits > RULE_VISITS {
            let (part, limit) = (BudgetPart::Steps, RULE_VISITS);
            return Err(AnalysisTooComplex {
                part,
                limit,
                rules: Vec::new(),
            });
        }
        let Some(frame) = frames.last_mut() else {
            return Ok(());
        };
        let (chain, index) = (frame.chain, frame.next_rule);
        frame.next_rule += 1;
        let Some(rule) = chain.rules.get(index) else {
            return Ok(());
        };
        if rule.target == Target::None || rule.conditions.iter().any(|c| frame.hull.excludes(c)) {
            return Ok(());
        }
        let matched = self.split(table, stage, frames, chain, rule)?;
        let Some(frame) = frames.last_mut() else {
            return Ok(());
        };
        if matched.is_empty() {
            return Ok(());
        }
        let by = |table: &IndexedTable<'a>| DecidedBy::Rule(table.rule_place(chain, index, rule));
        match &rule.target {
            Target::None => {}
            Target::Accept => {
                if table.table.name == TableName::Filter {
                    let set = matched.packets(self.space)?;
                    self.verdicts.pass(set, by(table));
                }
                passed.append(self.space, &matched)?;
            }
            Target::Drop | Target::Reject(_) => {
                let set = matched.packets(self.space)?;
                self.verdicts.deny(set, by(table));
            }
            Target::Return => frame.returned.append(self.space, &matched)?,
            Target::Jump(to) | Target::Goto(to) => {
                // The parser knows every chain that is jumped to.
                let Some(&chain) = table.chains.get(to.as_str()) else {
                    return Ok(());
                };
                let hull = frame.hull.narrowed(&rule.conditions);
                frames.push(Frame {
                    chain,
                    next_rule: 0,
                    flows: matched,
                    taken: Taken::default(),
                    returned: Flows::default(),
                    hull,
                    by_goto: matches!(rule.target, Target::Goto(_)),
                });
            }
            Target::SetMark { value, mask } => {
                let marked = matched.changed(self.space, |state| FlowState {
                    mark: state.mark.set(*value, *mask),
                    ..state
                })?;
                frame.stay(self.space, &marked)?;
            }
            Target::Continue(extension) => {
                let change = |state: FlowState| match extension.name.as_str() {
                    "NOTRACK" => FlowState {
                        tracking: Tracking::Untracked,
                        ..state
                    },
                    "CT" if extension.has("--notrack") => FlowState {
                        tracking: Tracking::Untracked,
                        ..state
                    },
                    "CT" if extension
                        .options
                        .iter()
                        .any(|o| o.name.starts_with("--zone")) =>
                    {
                        FlowState {
                            tracking: Tracking::Unknown,
                            ..state
                        }
                    }
                    "SET" if extension.has("--map-mark") => FlowState {
                        mark: Mark::UNKNOWN,
                        ..state
                    },
                    name if sets_unknown_mark(name) && !extension.has("--save-mark") => FlowState {
                        mark: Mark::UNKNOWN,
                        ..state
                    },
                    _ => state,
                };
                let changed = matched.changed(self.space, change)?;
                frame.stay(self.space, &changed)?;
            }
            Target::Translate(extension) => {
                let set = matched.packets(self.space)?;
                let by = by(table);
                if self.detail == Detail::Exact {
                    let at = (table.family, stage);
                    let translation = translation(extension, at, self.knowledge);
                    self.verdicts.translate(set, &by, translation);
                }
                if stage.rewrites_destination() {
                    let reason = format!("{} changes where the packet goes", extension.name);
                    self.verdicts.lose(set, by, reason);
                } else {
                    passed.append(self.space, &matched)?;
                }
            }
            Target::Unmodelled(extension) => {
                let set = matched.packets(self.space)?;
                if self.detail == Detail::Exact
                    && let Some(translation) = unmodelled_translation(extension)
                {
                    self.verdicts.translate(set, &by(table), translation);
                }
                let name = extension.name.escape_debug();
                let reason = format!("what the target {name} does is not modelled");
                self.verdicts.lose(set, by(table), reason);
            }
        }
        Ok(())
    }

    /// Takes the packets that a rule matches out of the innermost chain.
    fn split(
        &mut self,
        table: &IndexedTable<'a>,
        stage: Stage,
        frames: &mut [Frame<'a>],
        chain: &Chain,
        rule: &Rule,
    ) -> Result<Flows, AnalysisTooComplex> {
        let visit = || visit_name(table, stage, frames, chain, rule);
        let reading = Reading {
            family: table.family,
            backend: table.backend,
            knowledge: self.knowledge,
            has_interface: stage.interfaces(),
            visit: &visit,
            detail: self.detail,
            changed_sets: self.changed_sets,
        };
        let (mut matched, mut rest) = (Flows::default(), Flows::default());
        let mut taken = Vec::new();
        let Some(frame) = frames.last() else {
            return Ok(matched);
        };
        for (state, set) in frame.flows.iter() {
            let hit = reading.matching(self.space, &rule.conditions, state, set)?;
            match self.detail {
                Detail::Exact => {
                    let missed = if hit.certain.is_empty() {
                        set
                    } else {
                        self.space.difference(set, hit.certain)?
                    };
                    rest.add(self.space, state, missed)?;
                    matched.add(self.space, state, hit.possible)?;
                }
                Detail::Outline => {
                    let possible = frame.taken.rest(self.space, state, hit.possible)?;
                    matched.add(self.space, state, possible)?;
                    taken.push((state, hit.certain));
                }
            }
        }
        let Some(frame) = frames.last_mut() else {
            return Ok(matched);
        };
        if self.detail == Detail::Exact {
            frame.flows = rest;
        }
        for (state, set) in taken {
            frame.taken.add(self.space, state, set)?;
        }
        Ok(matched)
    }
}

/// Names one visit of a rule, the same however the rules around it change:
/// where it stands and by which jumps it was reached.
fn visit_name(
    table: &IndexedTable<'_>,
    stage: Stage,
    frames: &[Frame<'_>],
    chain: &Chain,
    rule: &Rule,
) -> String {
    let mut path = String::new();
    let (callers, index) = match frames {
        [callers @ .., here] => (callers, here.next_rule),
        [] => (frames, 0),
    };
    for caller in callers {
        let jump = caller.next_rule.checked_sub(1);
        if let Some(jump) = jump.and_then(|index| caller.chain.rules.get(index)) {
            let jump = among_alike(caller.chain, caller.next_rule, jump);
            path.push_str(&format!("{jump} > "));
        }
    }
    format!(
        "{} {} {} {path}{}",
        program(table.family, table.backend),
        stage.table.as_str(),
        stage.chain,
        among_alike(chain, index, rule),
    )
}

/// A rule of a chain with its number among those that say the same, of the first ones
/// of that chain.
fn among_alike(chain: &Chain, first: usize, rule: &Rule) -> String {
    let rules = chain.rules.iter().take(first);
    let alike = rules.filter(|other| other.same_specification(rule)).count();
    format!("{}#{alike}{rule}", chain.name)
}

fn name(
    error: AnalysisTooComplex,
    table: &IndexedTable<'_>,
    (chain, index): (&Chain, usize),
) -> AnalysisTooComplex {
    let rule = chain.rules.get(index);
    error.naming(rule.map(|rule| table.rule_place(chain, index, rule).to_string()))
}
