//! Packets on their way through one hook, and what is not the same on it.

use hashbrown::HashMap;

use super::changes::{Change, TablePair};
use crate::iptables::condition::Condition;
use crate::iptables::flow_state::{FlowState, Flows, Tracking};
use crate::iptables::hook::{Hook, Stage};
use crate::iptables::knowledge::Knowledge;
use crate::iptables::node::NodeFirewall;
use crate::iptables::ruleset::{Backend, Family, TableName};
use crate::iptables::walk::IndexedTable;
use crate::set::{AnalysisTooComplex, OtherState, PacketSet, Space};

/// The tables of one family before and after.
pub(super) struct Tables<'a> {
    pub(super) family: Family,
    pub(super) old: Vec<IndexedTable<'a>>,
    pub(super) new: Vec<IndexedTable<'a>>,
}

impl<'a> Tables<'a> {
    pub(super) fn of(family: Family, before: &'a NodeFirewall, after: &'a NodeFirewall) -> Self {
        Self {
            family,
            old: before.tables(family),
            new: after.tables(family),
        }
    }

    /// The way of packets through a hook.
    pub(super) fn way<'t>(&'t self, hook: Hook, changes: &'t Changes<'t, 'a>) -> Way<'t, 'a> {
        Way {
            hook,
            family: self.family,
            other: None,
            old: &self.old,
            new: &self.new,
            changes,
        }
    }

    /// What is not the same, by the stage that meets it. Some stages are of several
    /// hooks: all are looked at once.
    pub(super) fn changes(&self) -> Changes<'_, 'a> {
        let mut changes = HashMap::new();
        for stage in Hook::ALL.iter().flat_map(|hook| hook.stages()) {
            let of_stage = || {
                let pairs = self.pairs(*stage).into_iter();
                pairs.flat_map(|pair| pair.changes(*stage)).collect()
            };
            changes.entry(*stage).or_insert_with(of_stage);
        }
        Changes(changes)
    }

    /// The tables that a stage consults, those of one backend side by side.
    fn pairs(&self, stage: Stage) -> Vec<TablePair<'_, 'a>> {
        fn of<'t, 'a>(
            tables: &'t [IndexedTable<'a>],
            backend: Backend,
            stage: Stage,
        ) -> Option<&'t IndexedTable<'a>> {
            let mut tables = tables.iter();
            tables.find(|table| table.backend == backend && table.table.name == stage.table)
        }
        let backends = [Backend::Legacy, Backend::Nft].into_iter();
        let pairs = backends.map(|backend| TablePair {
            before: of(&self.old, backend, stage),
            after: of(&self.new, backend, stage),
        });
        pairs.collect()
    }
}

/// What is not the same on the two sides, by the stage that meets it.
pub(super) struct Changes<'t, 'a>(HashMap<Stage, Vec<Change<'t, 'a>>>);

impl<'t, 'a> Changes<'t, 'a> {
    pub(super) fn at(&self, stage: Stage) -> &[Change<'t, 'a>] {
        self.0.get(&stage).map_or(&[], Vec::as_slice)
    }
}

/// Packets of one family on their way through one hook.
#[derive(Clone, Copy)]
pub(super) struct Way<'t, 'a> {
    pub(super) hook: Hook,
    pub(super) family: Family,
    /// The state they are in, where it is none that their set tells.
    pub(super) other: Option<OtherState>,
    pub(super) old: &'t [IndexedTable<'a>],
    pub(super) new: &'t [IndexedTable<'a>],
    pub(super) changes: &'t Changes<'t, 'a>,
}

impl Way<'_, '_> {
    /// Whether both backends are consulted at a stage, one of which may change a
    /// packet's state on one side alone.
    pub(super) fn loses_state_on_one_side(&self, stage: Stage) -> bool {
        let [old, new] = [self.old, self.new].map(|tables| {
            let mut consulted = tables
                .iter()
                .filter(|table| table.table.name == stage.table);
            consulted.clone().count() > 1 && consulted.any(IndexedTable::changes_state)
        });
        old != new
    }

    pub(super) fn may_change_tracking(&self) -> bool {
        let tables = self.old.iter().chain(self.new);
        let mut raw = tables.filter(|table| table.table.name == TableName::Raw);
        raw.any(IndexedTable::changes_state)
    }

    /// The packets before they meet a rule.
    pub(super) fn untouched(
        &self,
        space: &mut Space,
        knowledge: &Knowledge,
        set: PacketSet,
    ) -> Result<Flows, AnalysisTooComplex> {
        self.hook.untouched(space, knowledge, self.other, set)
    }

    /// Whether a rule that packets may meet at some stages asks whether their
    /// connection is translated.
    pub(super) fn asks_translation(&self, stages: &[Stage]) -> bool {
        stages.iter().any(|stage| {
            let tables = self.old.iter().chain(self.new);
            let mut consulted = tables.filter(|table| table.table.name == stage.table);
            consulted.any(|table| {
                let reached = table.reached([stage.chain]).into_iter();
                let chains = reached.filter_map(|name| table.chain(name));
                let mut rules = chains.flat_map(|chain| &chain.rules);
                rules.any(|rule| rule.conditions.iter().any(Condition::asks_translation))
            })
        })
    }

    /// The state of a packet behind the `raw` table.
    pub(super) fn tracked(&self, state: FlowState) -> FlowState {
        match self.may_change_tracking() {
            true => FlowState {
                tracking: Tracking::Unknown,
                ..state
            },
            false => state.tracked(),
        }
    }
}
