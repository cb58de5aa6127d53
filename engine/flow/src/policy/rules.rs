//! Policies that are one ordered list of rules.

use super::Policy;
use super::decisions::{DecidingRule, Decisions};
use super::verdict::Verdict;
use crate::set::{
    AddressSet, AnalysisTooComplex, Atom, FlowBox, Label, PacketMap, PacketSet, Space,
};

/// Addresses that are not known: a tag or group without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownAddresses {
    /// The atom that tells packets whose address is one of them.
    pub atom: Atom,
    /// Whether the address is one of them when the atom is true; else when it
    /// is false.
    pub when: bool,
    /// Where they can lie at all.
    pub within: AddressSet,
}

/// Which packets a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMatch {
    /// The known part; its addresses are joined with the unknown ones below.
    pub flow: FlowBox,
    /// Further sources that are not known.
    pub unknown_sources: Vec<UnknownAddresses>,
    /// Further destinations that are not known.
    pub unknown_destinations: Vec<UnknownAddresses>,
    /// Unknown conditions that must all hold besides.
    pub conditions: Vec<Atom>,
}

impl From<FlowBox> for RuleMatch {
    fn from(flow: FlowBox) -> Self {
        Self {
            flow,
            unknown_sources: Vec::new(),
            unknown_destinations: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

impl RuleMatch {
    /// A box around every packet the rule may be about.
    pub fn bounds(&self) -> FlowBox {
        let mut bounds = self.flow.clone();
        for unknown in &self.unknown_sources {
            bounds.sources = bounds.sources.union(&unknown.within);
        }
        for unknown in &self.unknown_destinations {
            bounds.destinations = bounds.destinations.union(&unknown.within);
        }
        bounds
    }

    /// Whether the rule may be about a packet of a box; `false` is certain.
    pub fn may_concern(&self, extent: &FlowBox) -> bool {
        let flow = &self.flow;
        let unknown = |list: &[UnknownAddresses], addresses: &AddressSet| {
            list.iter()
                .any(|unknown| unknown.within.intersects(addresses))
        };
        flow.destination_ports.intersects(&extent.destination_ports)
            && flow.protocols.intersects(&extent.protocols)
            && flow.directions.intersects(&extent.directions)
            && (flow.sources.intersects(&extent.sources)
                || unknown(&self.unknown_sources, &extent.sources))
            && (flow.destinations.intersects(&extent.destinations)
                || unknown(&self.unknown_destinations, &extent.destinations))
            && flow.states.intersects(&extent.states)
            && flow.source_ports.intersects(&extent.source_ports)
    }

    /// The part of the match that is inside a box.
    #[must_use]
    pub(crate) fn inside(&self, flow: &FlowBox) -> Self {
        let within = |unknown: &[UnknownAddresses], addresses: &AddressSet| {
            let cut = |one: &UnknownAddresses| UnknownAddresses {
                within: one.within.intersection(addresses),
                ..one.clone()
            };
            unknown.iter().map(cut).collect()
        };
        Self {
            flow: self.flow.intersection(flow),
            unknown_sources: within(&self.unknown_sources, &flow.sources),
            unknown_destinations: within(&self.unknown_destinations, &flow.destinations),
            conditions: self.conditions.clone(),
        }
    }

    /// The packets the rule is about.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn packets(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        self.packets_within(space, None)
    }

    /// The packets of a box the rule is about.
    pub(crate) fn packets_inside(
        &self,
        space: &mut Space,
        extent: &FlowBox,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        self.packets_within(space, Some(extent))
    }

    fn packets_within(
        &self,
        space: &mut Space,
        extent: Option<&FlowBox>,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let cut = |flow: &FlowBox| match extent {
            Some(extent) => flow.intersection(extent),
            None => flow.clone(),
        };
        if self.unknown_sources.is_empty()
            && self.unknown_destinations.is_empty()
            && self.conditions.is_empty()
        {
            return space.flow(&cut(&self.flow));
        }
        let mut rest = self.flow.clone();
        rest.sources = AddressSet::any();
        rest.destinations = AddressSet::any();
        let mut packets = space.flow(&cut(&rest))?;
        let known = FlowBox::any().with_sources(self.flow.sources.clone());
        let mut sources = space.flow(&cut(&known))?;
        for unknown in &self.unknown_sources {
            let atom = space.atom(&unknown.atom.name, &unknown.atom.reason)?;
            let within = space.flow(&cut(&FlowBox::any().with_sources(unknown.within.clone())))?;
            let members = if unknown.when {
                space.intersection(within, atom)?
            } else {
                space.difference(within, atom)?
            };
            sources = space.union(sources, members)?;
        }
        packets = space.intersection(packets, sources)?;
        let known = FlowBox::any().with_destinations(self.flow.destinations.clone());
        let mut destinations = space.flow(&cut(&known))?;
        for unknown in &self.unknown_destinations {
            let atom = space.atom(&unknown.atom.name, &unknown.atom.reason)?;
            let within = space.flow(&cut(
                &FlowBox::any().with_destinations(unknown.within.clone())
            ))?;
            let members = if unknown.when {
                space.intersection(within, atom)?
            } else {
                space.difference(within, atom)?
            };
            destinations = space.union(destinations, members)?;
        }
        packets = space.intersection(packets, destinations)?;
        for condition in &self.conditions {
            let atom = space.atom(&condition.name, &condition.reason)?;
            packets = space.intersection(packets, atom)?;
        }
        Ok(packets)
    }

    /// Whether every packet of a box is certainly matched.
    pub(crate) fn certainly_covers(&self, extent: &FlowBox) -> bool {
        let flow = &self.flow;
        // Few rules match every address: what they most often fail comes first.
        self.conditions.is_empty()
            && extent.sources.is_subset(&flow.sources)
            && extent.destinations.is_subset(&flow.destinations)
            && extent.destination_ports.is_subset(&flow.destination_ports)
            && extent.source_ports.is_subset(&flow.source_ports)
            && extent.directions.is_subset(&flow.directions)
            && extent.states.is_subset(&flow.states)
            && extent.protocols.is_subset(&flow.effective_protocols())
    }
}

/// One rule of an ordered list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As its owner names it.
    pub name: String,
    /// Which packets it is about.
    pub matches: RuleMatch,
    /// What it does with them. Unknown: it decides them, but which way is not
    /// known.
    pub verdict: Verdict,
}

/// An ordered list of rules; the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePolicy {
    /// The name people know the policy by.
    pub name: String,
    /// The rules, first match first.
    pub rules: Vec<Rule>,
    /// What happens where no rule matches, and under which name.
    pub default: (String, Verdict),
}

impl RulePolicy {
    /// The policy that gives all packets one verdict.
    pub fn constant(name: impl Into<String>, rule: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            name: name.into(),
            rules: Vec::new(),
            default: (rule.into(), verdict),
        }
    }

    /// The atom of a rule whose verdict is not known.
    fn outcome(&self, rule: &str) -> Atom {
        Atom {
            name: format!("{} lets {rule} pass", self.name),
            reason: format!("what {} does with {rule} is not known", self.name),
        }
    }

    /// One label for a rule that allows or denies; two, told apart by an atom,
    /// for one whose verdict is not known.
    fn label(
        &self,
        space: &mut Space,
        (name, verdict): (&str, Verdict),
        packets: PacketSet,
        rules: &mut Vec<DecidingRule>,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        let mut add = |verdict| {
            rules.push(DecidingRule {
                policy: self.name.clone(),
                rule: name.to_owned(),
                verdict,
            });
            u32::try_from(rules.len()).unwrap_or(Label::MAX)
        };
        if verdict != Verdict::Unknown {
            let label = add(verdict);
            return space.labelled(packets, label);
        }
        let (passes, stops) = (add(Verdict::Allow), add(Verdict::Deny));
        let atom = self.outcome(name);
        let atom = space.atom(&atom.name, &atom.reason)?;
        let passing = space.intersection(packets, atom)?;
        let passing = space.labelled(passing, passes)?;
        let rest = space.labelled(packets, stops)?;
        space.or_else(passing, rest)
    }

    fn decide_with(
        &self,
        space: &mut Space,
        within: PacketSet,
        extent: &FlowBox,
        concerned: &[&Rule],
    ) -> Result<Decisions, AnalysisTooComplex> {
        let mut maps = Vec::with_capacity(concerned.len() + 1);
        let mut rules = Vec::with_capacity(concerned.len() + 1);
        for rule in concerned {
            let packets = rule.matches.packets_inside(space, extent)?;
            maps.push(self.label(space, (&rule.name, rule.verdict), packets, &mut rules)?);
        }
        let default = (self.default.0.as_str(), self.default.1);
        maps.push(self.label(space, default, PacketSet::ALL, &mut rules)?);
        let map = space.first_of(maps)?;
        Decisions::new(space, within, map, rules)
    }
}

impl Policy for RulePolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let extent = space.bounds(within);
        let mut concerned = Vec::new();
        for rule in &self.rules {
            if rule.matches.may_concern(&extent) {
                concerned.push(rule);
                // What comes after a rule that takes everything is never asked.
                if rule.matches.certainly_covers(&extent) {
                    break;
                }
            }
        }
        self.decide_with(space, within, &extent, &concerned)
            .map_err(|error| error.naming(concerned.iter().map(|rule| rule.name.as_str())))
    }
}
