//! One direction of one security group, and the tunnel's packets through it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use naosu_plugin::{
    Evidence, KUBELET_PORT, Observed, PluginError,
    flow::{
        nsg::{Direction, Nsg, NsgRule, TagContext},
        policy::{Policy, Verdict},
        set::{
            AddressSet, AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, PortSet, Space,
        },
    },
    flow_error,
};

/// Packets of one agent to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub source: IpAddr,
    /// Index of the interface they leave by; `None` when not known.
    pub source_interface: Option<usize>,
    pub destination: IpAddr,
    /// Index of the interface they arrive at.
    pub destination_interface: usize,
}

/// A group, a direction, and what has to pass.
pub struct Checkpoint {
    pub group: Observed<Nsg>,
    pub direction: Direction,
    /// Boxes of sources and destinations.
    required: Vec<(BTreeSet<IpAddr>, BTreeSet<IpAddr>)>,
}

/// What the group does to it.
#[derive(Default)]
pub struct Outcome {
    /// Rules that block, each with the packets it blocks in words.
    pub blocks: Vec<(NsgRule, String)>,
    /// Rules that let all or some of it pass.
    pub allows: Vec<NsgRule>,
    /// What is not known, and why; empty when all is known.
    pub unknown: Vec<String>,
}

impl Checkpoint {
    pub fn new(group: Observed<Nsg>, direction: Direction, pairs: Vec<Pair>) -> Self {
        let mut by_source: BTreeMap<IpAddr, BTreeSet<IpAddr>> = BTreeMap::new();
        for pair in pairs {
            let destinations = by_source.entry(pair.source).or_default();
            destinations.insert(pair.destination);
        }
        // Agents with the same destinations share a box.
        let mut boxes: BTreeMap<BTreeSet<IpAddr>, BTreeSet<IpAddr>> = BTreeMap::new();
        for (source, destinations) in by_source {
            boxes.entry(destinations).or_default().insert(source);
        }
        let required = boxes.into_iter().map(|(to, from)| (from, to)).collect();
        Self {
            group,
            direction,
            required,
        }
    }

    pub fn sources(&self) -> BTreeSet<IpAddr> {
        let sources = self.required.iter().flat_map(|(sources, _)| sources);
        sources.copied().collect()
    }

    pub fn destinations(&self) -> BTreeSet<IpAddr> {
        let destinations = self
            .required
            .iter()
            .flat_map(|(_, destinations)| destinations);
        destinations.copied().collect()
    }

    /// New connections to the kubelet that have to pass.
    pub fn flows(&self) -> Vec<FlowBox> {
        let addresses = |set: &BTreeSet<IpAddr>| {
            let prefixes = naosu_plugin::prefixes::exactly(set.iter().copied());
            AddressSet::prefixes(&prefixes)
        };
        let boxes = self.required.iter();
        boxes
            .map(|(sources, destinations)| {
                let port = PortSet::single(KUBELET_PORT);
                FlowBox::new_tcp(addresses(sources), addresses(destinations), port)
                    .with_direction(self.direction.into())
                    .with_state(ConnectionState::New)
            })
            .collect()
    }

    fn packets(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        let mut sets = Vec::new();
        for flow in self.flows() {
            sets.push(space.flow(&flow)?);
        }
        space.union_all(sets)
    }

    /// What the group does to the packets that have to pass.
    pub fn judge(&self, tags: &TagContext) -> Result<Outcome, PluginError> {
        let policy = self.group.value.policy(tags).map_err(flow_error)?;
        let mut space = Space::new();
        self.decide(&mut space, &policy)
            .map_err(|e| PluginError::AnalysisTooComplex(e.to_string()))
    }

    fn decide(
        &self,
        space: &mut Space,
        policy: &dyn Policy,
    ) -> Result<Outcome, AnalysisTooComplex> {
        let required = self.packets(space)?;
        let decisions = policy.decide(space, required)?;
        let parts = decisions.partition(space)?;
        let mut outcome = Outcome::default();
        for (index, deciding) in decisions.rules().iter().enumerate() {
            let decided = decisions.decided_by(space, index)?;
            let decided = space.intersection(decided, required)?;
            let Some(rule) = self.rule(&deciding.rule) else {
                continue;
            };
            if deciding.verdict == Verdict::Allow {
                if !decided.is_empty() {
                    outcome.allows.push(rule.clone());
                }
                continue;
            }
            let blocked = space.intersection(decided, parts.denied)?;
            if !blocked.is_empty() {
                outcome.blocks.push((rule.clone(), words(space, blocked)?));
            }
        }
        for atom in space.atoms_of(parts.passing) {
            if let Some(atom) = space.atom_of(atom) {
                outcome
                    .unknown
                    .push(format!("{}: {}", atom.name, atom.reason));
            }
        }
        if parts.unknown.is_empty() {
            outcome.unknown.clear();
        }
        Ok(outcome)
    }

    fn rule(&self, name: &str) -> Option<&NsgRule> {
        let mut rules = self.group.value.evaluated(self.direction);
        rules.find(|rule| rule.name == name)
    }

    /// Evidence from a rule of the group.
    pub fn evidence(&self, rule: &NsgRule, meaning: String) -> Evidence {
        let is_custom = self
            .group
            .value
            .rules
            .iter()
            .any(|own| own.name == rule.name);
        let list = if is_custom {
            "securityRules"
        } else {
            "defaultSecurityRules"
        };
        self.group.evidence(
            format!("properties.{list}[{}]", rule.name),
            rule_words(rule),
            meaning,
        )
    }
}

/// Boxes of a set shown in words; the rest is counted.
const SHOWN_BOXES: usize = 4;

fn words(space: &Space, set: PacketSet) -> Result<String, AnalysisTooComplex> {
    let boxes = space.boxes(set)?;
    let mut words: Vec<String> = boxes
        .iter()
        .take(SHOWN_BOXES)
        .map(|(flow, _)| flow.to_string())
        .collect();
    if let Some(more @ 1..) = boxes.len().checked_sub(SHOWN_BOXES) {
        words.push(format!("{more} more"));
    }
    Ok(words.join("; "))
}

/// A rule on one line.
pub fn rule_words(rule: &NsgRule) -> String {
    let side = |prefixes: &[String], groups: &[String], ports: &[String]| {
        let places: Vec<&str> = prefixes.iter().chain(groups).map(String::as_str).collect();
        format!("{}:{}", places.join(","), ports.join(","))
    };
    format!(
        "priority {} {} {} {} from {} to {}",
        rule.priority,
        rule.direction.arm(),
        rule.access.arm(),
        rule.protocol,
        side(
            &rule.source_prefixes,
            &rule.source_groups,
            &rule.source_ports
        ),
        side(
            &rule.destination_prefixes,
            &rule.destination_groups,
            &rule.destination_ports
        ),
    )
}
