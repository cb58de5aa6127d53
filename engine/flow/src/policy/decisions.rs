//! What a policy decides about the packets of a question.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::answer::{Block, PacketAnswer, Partition};
use super::translated::Translated;
use super::verdict::Verdict;
use crate::set::{AnalysisTooComplex, Label, Packet, PacketMap, PacketSet, Space};

/// A rule that decides packets, and how.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct DecidingRule {
    /// The policy the rule belongs to.
    pub policy: String,
    /// The rule, as its owner names it.
    pub rule: String,
    /// What it does: allow or deny. A rule whose effect is not known appears
    /// once with each, separated by an atom.
    pub verdict: Verdict,
}

/// For every packet of a question, the rule that decides it.
///
/// Which rule that is may depend on atoms; then the packet's verdict may, too.
#[derive(Debug, Clone)]
pub struct Decisions {
    within: PacketSet,
    map: PacketMap,
    rules: Vec<DecidingRule>,
    translated: Vec<Translated>,
    // Asked for again by every question about the same decisions.
    allowed: OnceLock<PacketSet>,
}

impl Decisions {
    /// From a map whose label `n + 1` stands for `rules[n]`, in the order in
    /// which rules come. Packets of `within` without a label have an unknown
    /// verdict.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`] when even the restriction to `within` is too much.
    pub fn new(
        space: &mut Space,
        within: PacketSet,
        map: PacketMap,
        rules: Vec<DecidingRule>,
    ) -> Result<Self, AnalysisTooComplex> {
        let map = space.restricted(map, within)?;
        Ok(Self {
            within,
            map,
            rules,
            translated: Vec::new(),
            allowed: OnceLock::new(),
        })
    }

    /// The same decisions about packets some of which get other addresses.
    #[must_use]
    pub fn translating(mut self, translated: Vec<Translated>) -> Self {
        self.translated.extend(translated);
        self
    }

    /// The packets that get other addresses, should they pass.
    pub fn translated(&self) -> &[Translated] {
        &self.translated
    }

    pub(super) fn map(&self) -> PacketMap {
        self.map
    }

    /// The packets that are decided here.
    pub fn within(&self) -> PacketSet {
        self.within
    }

    /// The rules, in order; label `n + 1` of the map is rule `n`.
    pub fn rules(&self) -> &[DecidingRule] {
        &self.rules
    }

    pub(super) fn rule(&self, label: Label) -> Option<&DecidingRule> {
        let index = usize::try_from(label).ok()?.checked_sub(1)?;
        self.rules.get(index)
    }

    /// The packets that pass, with the atoms that decides on.
    pub fn allowed(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        if let Some(allowed) = self.allowed.get() {
            return Ok(*allowed);
        }
        let allowed = self.find_allowed(space)?;
        Ok(*self.allowed.get_or_init(|| allowed))
    }

    fn find_allowed(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        let passing = space.where_label(self.map, |label| {
            self.rule(label)
                .is_some_and(|rule| rule.verdict == Verdict::Allow)
        })?;
        let mut allowed = passing;
        for label in space.labels(self.map) {
            let (name, reason) = match self.rule(label) {
                None => (
                    UNDECIDED.to_owned(),
                    "no rule of the policy decides these packets".to_owned(),
                ),
                Some(rule) if rule.verdict == Verdict::Unknown => (
                    format!("{} lets {} pass", rule.policy, rule.rule),
                    format!("what {} does with {} is not known", rule.policy, rule.rule),
                ),
                Some(_) => continue,
            };
            let packets = space.where_label(self.map, |other| other == label)?;
            let packets = space.intersection(packets, self.within)?;
            if packets.is_empty() {
                continue;
            }
            let passes = space.atom(&name, &reason)?;
            let maybe = space.intersection(packets, passes)?;
            allowed = space.union(allowed, maybe)?;
        }
        Ok(allowed)
    }

    /// The packets one rule decides, with the atoms that decides on.
    pub fn decided_by(
        &self,
        space: &mut Space,
        rule: usize,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let wanted = u32::try_from(rule + 1).unwrap_or(Label::MAX);
        space.where_label(self.map, |label| label == wanted)
    }

    /// The packets by verdict.
    pub fn partition(&self, space: &mut Space) -> Result<Partition, AnalysisTooComplex> {
        let allowed = self.allowed(space)?;
        Partition::new(space, self.within, allowed)
    }

    /// The verdict of one packet and the rule that decides it.
    pub fn answer(
        &self,
        space: &mut Space,
        packet: &Packet,
    ) -> Result<PacketAnswer, AnalysisTooComplex> {
        let rules: Vec<DecidingRule> = space
            .labels_of(self.map, packet)
            .into_iter()
            .filter_map(|label| self.rule(label).cloned())
            .collect();
        let allowed = self.allowed(space)?;
        Ok(PacketAnswer::new(
            space,
            self.within,
            allowed,
            packet,
            rules,
        ))
    }

    /// The rules that keep packets from passing, in order, each with its part.
    pub fn blocks(&self, space: &mut Space) -> Result<Vec<Block>, AnalysisTooComplex> {
        let mut blocks = Vec::new();
        for label in space.labels(self.map) {
            let Some(rule) = self.rule(label) else {
                continue;
            };
            if rule.verdict == Verdict::Allow {
                continue;
            }
            let part = space.where_label(self.map, |other| other == label)?;
            blocks.push(Block {
                rule: rule.clone(),
                index: label as usize - 1,
                part,
            });
        }
        Ok(blocks)
    }

    /// What both policies decide one after the other: what this one denies is
    /// decided here, all else by `next`.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn then(&self, space: &mut Space, next: &Self) -> Result<Self, AnalysisTooComplex> {
        let stopping = space.relabelled(self.map, |label| match self.rule(label) {
            Some(rule) if rule.verdict != Verdict::Allow => label,
            _ => 0,
        })?;
        let offset = u32::try_from(self.rules.len()).unwrap_or(Label::MAX);
        let going_on = space.relabelled(next.map, |label| match label {
            0 => 0,
            label => label.saturating_add(offset),
        })?;
        let map = space.or_else(stopping, going_on)?;
        let within = space.intersection(self.within, next.within)?;
        let rules = self.rules.iter().chain(&next.rules).cloned().collect();
        let translated = self.translated.iter().chain(&next.translated);
        let translated = translated.cloned().collect();
        Ok(Self::new(space, within, map, rules)?.translating(translated))
    }

    /// What this decides, and for packets it leaves without a rule what
    /// `other` decides.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn or_else(&self, space: &mut Space, other: &Self) -> Result<Self, AnalysisTooComplex> {
        let offset = u32::try_from(self.rules.len()).unwrap_or(Label::MAX);
        let others = space.relabelled(other.map, |label| match label {
            0 => 0,
            label => label.saturating_add(offset),
        })?;
        let map = space.or_else(self.map, others)?;
        let within = space.union(self.within, other.within)?;
        let rules = self.rules.iter().chain(&other.rules).cloned().collect();
        let translated = self.translated.iter().chain(&other.translated);
        let translated = translated.cloned().collect();
        Ok(Self::new(space, within, map, rules)?.translating(translated))
    }

    /// The same decisions, but where a rule is not accepted, left without one.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn only_rules(
        &self,
        space: &mut Space,
        accept: impl Fn(&DecidingRule) -> bool,
    ) -> Result<Self, AnalysisTooComplex> {
        let map = space.relabelled(self.map, |label| match self.rule(label) {
            Some(rule) if accept(rule) => label,
            _ => 0,
        })?;
        Ok(Self {
            within: self.within,
            map,
            rules: self.rules.clone(),
            translated: self.translated.clone(),
            allowed: OnceLock::new(),
        })
    }

    /// The same decisions with other names of the rules.
    #[must_use]
    pub fn renamed(mut self, name: impl Fn(&DecidingRule) -> String) -> Self {
        for rule in &mut self.rules {
            rule.rule = name(rule);
        }
        self.allowed = OnceLock::new();
        self
    }

    /// The same decisions for packets in one direction, no longer asking it.
    #[must_use]
    pub fn facing(&self, space: &Space, direction: crate::set::Direction) -> Self {
        Self {
            within: space.facing(self.within, direction),
            map: space.map_facing(self.map, direction),
            rules: self.rules.clone(),
            translated: self
                .translated
                .iter()
                .map(|translated| translated.facing(space, direction))
                .collect(),
            allowed: OnceLock::new(),
        }
    }
}

const UNDECIDED: &str = "verdict where no rule decides";
