//! The rules that packets of a hook can meet.

use std::sync::Arc;

use hashbrown::HashSet;

use super::hook::Hook;
use super::node::{LoadedRuleset, NodeFirewall};
use super::ruleset::{Backend, Chain, Family, TableName};
use super::walk::IndexedTable;

/// The part of a node's firewall that packets of one hook can meet. Where two
/// nodes have an equal one, and the same is known of both, they decide those
/// packets alike; lines and counters may differ all the same.
///
/// Comparing costs little where the dumps were read with the same
/// [`Specifications`](super::Specifications).
#[derive(Debug, Clone)]
pub struct Consulted<'a> {
    rulesets: Vec<ConsultedRuleset<'a>>,
}

#[derive(Debug, Clone)]
struct ConsultedRuleset<'a> {
    family: Family,
    backend: Backend,
    legacy_tables_present: bool,
    unreadable_tables: &'a [String],
    tables: Vec<ConsultedTable<'a>>,
}

#[derive(Debug, Clone)]
struct ConsultedTable<'a> {
    name: TableName,
    // Rules that are not reached count, too, where two backends meet.
    changes_state: bool,
    // In the order in which they are reached, which the rules decide.
    chains: Vec<&'a Chain>,
}

impl NodeFirewall {
    /// The rules that packets of a hook can meet.
    pub fn consulted(&self, hook: Hook) -> Consulted<'_> {
        let rulesets = self.rulesets.iter();
        Consulted {
            rulesets: rulesets.map(|loaded| of_ruleset(loaded, hook)).collect(),
        }
    }
}

fn of_ruleset(loaded: &LoadedRuleset, hook: Hook) -> ConsultedRuleset<'_> {
    let LoadedRuleset { backend, ruleset } = loaded;
    let tables = ruleset.tables.iter().map(|table| {
        let indexed = IndexedTable::new(ruleset.family, *backend, table);
        let stages = hook.stages().iter();
        let built_in = stages.filter(|stage| stage.table == table.name);
        ConsultedTable {
            name: table.name,
            changes_state: indexed.changes_state(),
            chains: reached(&indexed, built_in.map(|stage| stage.chain)),
        }
    });
    ConsultedRuleset {
        family: ruleset.family,
        backend: *backend,
        legacy_tables_present: ruleset.legacy_tables_present,
        unreadable_tables: &ruleset.unreadable_tables,
        tables: tables.collect(),
    }
}

fn reached<'a>(
    table: &IndexedTable<'a>,
    built_in: impl Iterator<Item = &'static str>,
) -> Vec<&'a Chain> {
    let mut open: Vec<&str> = built_in.collect();
    let mut seen: HashSet<&str> = open.iter().copied().collect();
    let mut chains = Vec::new();
    while let Some(name) = open.pop() {
        let Some(chain) = table.chain(name) else {
            continue;
        };
        chains.push(chain);
        let next = chain.rules.iter().filter_map(|rule| rule.target.chain());
        open.extend(next.filter(|next| seen.insert(next)));
    }
    chains
}

impl PartialEq for Consulted<'_> {
    fn eq(&self, other: &Self) -> bool {
        pairwise(&self.rulesets, &other.rulesets, |a, b| {
            a.family == b.family
                && a.backend == b.backend
                && a.legacy_tables_present == b.legacy_tables_present
                && a.unreadable_tables == b.unreadable_tables
                && pairwise(&a.tables, &b.tables, same_table)
        })
    }
}

fn same_table(a: &ConsultedTable<'_>, b: &ConsultedTable<'_>) -> bool {
    a.name == b.name
        && a.changes_state == b.changes_state
        && pairwise(&a.chains, &b.chains, |a, b| {
            a.name == b.name
                && a.policy == b.policy
                && pairwise(&a.rules, &b.rules, |a, b| {
                    Arc::ptr_eq(&a.specification, &b.specification)
                        || a.specification == b.specification
                })
        })
}

fn pairwise<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
