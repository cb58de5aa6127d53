//! Which rules and policies are not the same before and after, and which packets
//! they may concern.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use crate::iptables::condition::Condition;
use crate::iptables::flow_state::{FlowState, Tracking};
use crate::iptables::hook::Stage;
use crate::iptables::knowledge::Knowledge;
use crate::iptables::mark::Mark;
use crate::iptables::matching::{Detail, Reading};
use crate::iptables::ruleset::{Chain, ChainPolicy, Rule, TableName};
use crate::iptables::target::Target;
use crate::iptables::walk::IndexedTable;
use crate::set::{AnalysisTooComplex, OtherState, PacketSet, Space};

/// Callers further up than this are not looked at: any packet may come by them.
const CALLERS_FOLLOWED: usize = 16;

/// Which packets are spoken of, and what rules may do to them before.
#[derive(Clone, Copy)]
pub(super) struct Sort<'k> {
    /// The state they are in, where it is none that their set tells.
    pub(super) other: Option<OtherState>,
    /// Whether a rule may change how they are tracked.
    pub(super) is_tracking_changed: bool,
    /// Whether a rule of `nat` may have given them another destination.
    pub(super) is_behind_nat: bool,
    /// Named sets that rules change.
    pub(super) changed_sets: &'k BTreeSet<String>,
}

/// One table before and after, where a stage consults it; either may be missing.
#[derive(Clone, Copy)]
pub(super) struct TablePair<'t, 'a> {
    pub(super) before: Option<&'t IndexedTable<'a>>,
    pub(super) after: Option<&'t IndexedTable<'a>>,
}

/// What is not the same.
pub(super) enum Change<'t, 'a> {
    /// A rule that stands on one side alone, or elsewhere.
    Rule {
        table: &'t IndexedTable<'a>,
        chain: &'a Chain,
        index: usize,
        rule: &'a Rule,
    },
    /// The policy of the stage's chain.
    Policy {
        table: &'t IndexedTable<'a>,
        chain: &'a Chain,
    },
}

impl Change<'_, '_> {
    /// Its place in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Rule {
                table,
                chain,
                index,
                rule,
            } => table.rule_place(chain, *index, rule).to_string(),
            Self::Policy { table, chain } => table.policy_of(chain).to_string(),
        }
    }
}

impl<'t, 'a> TablePair<'t, 'a> {
    fn sides(self) -> [(Option<&'t IndexedTable<'a>>, Option<&'t IndexedTable<'a>>); 2] {
        [(self.before, self.after), (self.after, self.before)]
    }

    /// What packets of a stage may meet that is not the same on both sides.
    pub(super) fn changes(self, stage: Stage) -> Vec<Change<'t, 'a>> {
        let mut changes = Vec::new();
        for (here, there) in self.sides() {
            let Some(table) = here else { continue };
            let mut reached: Vec<&str> = table.reached([stage.chain]).into_iter().collect();
            reached.sort_unstable();
            for name in reached {
                let Some(chain) = table.chain(name) else {
                    continue;
                };
                let other = there.and_then(|table| table.chain(name));
                let others = other.map_or(&[][..], |chain| chain.rules.as_slice());
                for index in only_here(&chain.rules, others) {
                    if let Some(rule) = chain.rules.get(index) {
                        changes.push(Change::Rule {
                            table,
                            chain,
                            index,
                            rule,
                        });
                    }
                }
                if name == stage.chain && drops(Some(chain)) && !drops(other) {
                    changes.push(Change::Policy { table, chain });
                }
            }
        }
        changes
    }
}

fn drops(chain: Option<&Chain>) -> bool {
    chain.is_some_and(|chain| chain.policy == Some(ChainPolicy::Drop))
}

/// The places of the rules between those that both lists begin and end with.
fn only_here(rules: &[Rule], others: &[Rule]) -> std::ops::Range<usize> {
    let same = |(a, b): &(&Rule, &Rule)| a.specification == b.specification;
    let start = rules.iter().zip(others).take_while(same).count();
    let ends = rules.iter().rev().zip(others.iter().rev());
    let shorter = rules.len().min(others.len());
    let end = ends.take(shorter - start).take_while(same).count();
    start..rules.len() - end
}

/// The packets of `asked` that may come to one of the changes and match it.
pub(super) fn touched(
    space: &mut Space,
    knowledge: &Knowledge,
    (stage, sort): (Stage, Sort<'_>),
    changes: &[Change<'_, '_>],
    asked: PacketSet,
) -> Result<PacketSet, AnalysisTooComplex> {
    let mut arriving: HashMap<(*const Chain, bool), PacketSet> = HashMap::new();
    let mut sets = Vec::with_capacity(changes.len());
    for change in changes {
        let Change::Rule {
            table, chain, rule, ..
        } = change
        else {
            return Ok(asked);
        };
        if rule.target == Target::None {
            continue;
        }
        let mut reader = Reader {
            space,
            knowledge,
            stage,
            sort,
        };
        let key = (std::ptr::from_ref(*chain), chain.name == stage.chain);
        let here = match arriving.get(&key) {
            Some(set) => *set,
            None => {
                let callers = Callers::of(table, stage);
                let mut known = HashMap::new();
                let set =
                    callers.arriving(&mut reader, table, &chain.name, asked, &mut known, 0)?;
                arriving.insert(key, set);
                set
            }
        };
        sets.push(reader.may_match(table, rule, here)?);
    }
    space.union_all(sets)
}

/// Reads rules for packets of which only the stage is known.
struct Reader<'s, 'k> {
    space: &'s mut Space,
    knowledge: &'k Knowledge,
    stage: Stage,
    sort: Sort<'k>,
}

impl Reader<'_, '_> {
    fn may_match(
        &mut self,
        table: &IndexedTable<'_>,
        rule: &Rule,
        within: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let reading = Reading {
            family: table.family,
            backend: table.backend,
            knowledge: self.knowledge,
            has_interface: self.stage.interfaces(),
            visit: &String::new,
            detail: Detail::Outline,
            changed_sets: self.sort.changed_sets,
        };
        // A new connection may be a translated one here, which its set does not tell.
        let may_be_translated = self.sort.is_behind_nat
            && self.sort.other.is_none()
            && rule.conditions.iter().any(Condition::asks_translation);
        let is_known = self.stage.table != TableName::Raw
            && !self.sort.is_tracking_changed
            && !may_be_translated;
        let state = FlowState {
            mark: Mark::UNKNOWN,
            tracking: Tracking::NotYet,
            other: self.sort.other,
        };
        let state = match is_known {
            true => state.tracked(),
            false => FlowState {
                tracking: Tracking::Unknown,
                ..state
            },
        };
        let hit = reading.matching(self.space, &rule.conditions, state, within)?;
        Ok(hit.possible)
    }
}

/// The rules that lead to each chain.
struct Callers<'a>(HashMap<&'a str, Vec<(&'a str, &'a Rule)>>);

impl<'a> Callers<'a> {
    fn of(table: &IndexedTable<'a>, stage: Stage) -> Self {
        let reached: HashSet<&str> = table.reached([stage.chain]);
        let mut callers: HashMap<&str, Vec<(&str, &Rule)>> = HashMap::new();
        for chain in reached.into_iter().filter_map(|name| table.chain(name)) {
            for rule in &chain.rules {
                if let Some(to) = rule.target.chain() {
                    callers.entry(to).or_default().push((&chain.name, rule));
                }
            }
        }
        Self(callers)
    }

    /// The packets that may come to a chain.
    fn arriving(
        &self,
        reader: &mut Reader<'_, '_>,
        table: &IndexedTable<'a>,
        chain: &'a str,
        asked: PacketSet,
        known: &mut HashMap<&'a str, PacketSet>,
        depth: usize,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        if chain == reader.stage.chain || depth >= CALLERS_FOLLOWED {
            return Ok(asked);
        }
        if let Some(set) = known.get(chain) {
            return Ok(*set);
        }
        let mut sets = Vec::new();
        for (caller, rule) in self.0.get(chain).into_iter().flatten() {
            let before = self.arriving(reader, table, caller, asked, known, depth + 1)?;
            sets.push(reader.may_match(table, rule, before)?);
        }
        let set = reader.space.union_all(sets)?;
        known.insert(chain, set);
        Ok(set)
    }
}
