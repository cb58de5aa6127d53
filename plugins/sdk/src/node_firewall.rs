//! What the firewall of a node does to the tunnel's packets. The kernel's own
//! rules decide, whoever put them there.

use std::{collections::BTreeSet, net::IpAddr};

use naosu_flow::{
    iptables::{
        DecidedBy, FirewallRuleset, Hook, ManagedBy, NodeFirewall, TableName, managed_chain,
        managed_specification,
    },
    set::{
        AddressSet, AnalysisTooComplex, ConnectionState, Direction, FlowBox, PacketSet, PortSet,
        Space,
    },
};

use crate::{
    KUBELET_PORT, NodeObservation, NodeQuery, Observed, PluginError, Query, Reads, Tunnel,
    error::in_words, kubernetes::Node, prefixes, read_json_many,
};

/// Something that stops the tunnel's packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeBlock {
    /// What does.
    pub by: DecidedBy,
    /// Which packets, in words.
    pub packets: String,
}

/// A node and what its firewall does.
#[derive(Clone, Debug)]
pub struct JudgedNode {
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: IpAddr,
    /// Its rules, unless they could not be read.
    pub firewall: Result<Observed<NodeFirewall>, String>,
    /// What certainly blocks, in the order packets come to it.
    pub blocks: Vec<NodeBlock>,
    /// What is not known, and why.
    pub unknown: Vec<String>,
    sources: BTreeSet<IpAddr>,
}

/// Whether ufw owns the chain a block stands in, or its policy: ufw sets
/// `INPUT` to drop and puts its own chains below it.
pub fn is_ufws(by: &DecidedBy, firewall: &NodeFirewall) -> bool {
    let is_ufw_chain = |chain: &str| managed_chain(chain) == Some(ManagedBy::Ufw);
    match by {
        DecidedBy::Rule(place) => is_ufw_chain(&place.chain),
        DecidedBy::ChainPolicy { table, chain, .. } => firewall.rulesets.iter().any(|loaded| {
            let chain = loaded.ruleset.table(*table).and_then(|t| t.chain(chain));
            chain.is_some_and(|chain| {
                let targets = chain.rules.iter().filter_map(|rule| rule.target.chain());
                targets.into_iter().any(is_ufw_chain)
            })
        }),
        DecidedBy::NoFilter | DecidedBy::Unread { .. } => false,
    }
}

/// Whether a block is a rule that belongs to a component of the cluster, by its
/// chain or its comment.
pub fn is_managed(by: &DecidedBy) -> bool {
    matches!(by, DecidedBy::Rule(place)
        if managed_specification(place.family, &place.chain, &place.specification).is_some())
}

impl JudgedNode {
    /// Reads the rules of every node that agents dial and judges them. Nodes
    /// are read in parallel.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn observe_all(
        reads: &dyn Reads,
        tunnel: &Tunnel,
        nodes: &[Node],
    ) -> Result<Vec<Self>, PluginError> {
        let mut judged = Vec::new();
        for node in nodes {
            let name = &node.metadata.name;
            let sources = tunnel.sources_towards(name, nodes);
            let Some(address) = node.internal_addresses().next() else {
                continue;
            };
            if !sources.is_empty() {
                judged.push(Self {
                    node: name.clone(),
                    address,
                    firewall: Err("not read".to_owned()),
                    blocks: Vec::new(),
                    unknown: Vec::new(),
                    sources,
                });
            }
        }
        let queries: Vec<Query> = judged
            .iter()
            .map(|node| {
                Query::Node(NodeQuery {
                    node: node.node.clone(),
                    what: NodeObservation::FirewallRuleset,
                })
            })
            .collect();
        let answers = read_json_many::<FirewallRuleset>(reads, &queries);
        for (node, answer) in judged.iter_mut().zip(answers) {
            node.firewall = answer.map_err(|error| in_words(&error)).and_then(|dumps| {
                let firewall = dumps.value.firewall(&[node.address]);
                Ok(Observed {
                    value: firewall.map_err(|e| format!("{}: {e}", dumps.resource))?,
                    resource: dumps.resource,
                    observed_at: dumps.observed_at,
                })
            });
            node.judge()?;
        }
        Ok(judged)
    }

    fn judge(&mut self) -> Result<(), PluginError> {
        match self.firewall.clone() {
            Ok(firewall) => {
                let (blocks, unknown) = self.decide(&firewall.value)?;
                self.blocks = blocks;
                self.unknown = unknown;
            }
            Err(reason) => self.unknown = vec![reason],
        }
        Ok(())
    }

    /// What a firewall in place of the node's own would do: the blocks, and
    /// what is not known.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn decide(
        &self,
        firewall: &NodeFirewall,
    ) -> Result<(Vec<NodeBlock>, Vec<String>), PluginError> {
        self.decide_in(&mut Space::new(), firewall)
            .map_err(|e| PluginError::AnalysisTooComplex(format!("node {}: {e}", self.node)))
    }

    fn decide_in(
        &self,
        space: &mut Space,
        firewall: &NodeFirewall,
    ) -> Result<(Vec<NodeBlock>, Vec<String>), AnalysisTooComplex> {
        let required = self.packets(space)?;
        let decided = firewall.analyse(space, Hook::Input, required)?;
        let parts = decided.decisions.partition(space)?;
        let mut blocks = Vec::new();
        for block in decided.decisions.blocks(space)? {
            let part = space.intersection(block.part, parts.denied)?;
            if let (Some(decision), false) = (decided.made_by(block.index), part.is_empty()) {
                let boxes = space.boxes(part)?;
                let words: Vec<String> = boxes.iter().take(3).map(|(b, _)| b.to_string()).collect();
                blocks.push(NodeBlock {
                    by: decision.by.clone(),
                    packets: words.join("; "),
                });
            }
        }
        let mut unknown = Vec::new();
        if !parts.unknown.is_empty() {
            for atom in space.atoms_of(parts.passing) {
                if let Some(atom) = space.atom_of(atom) {
                    unknown.push(format!("{}: {}", atom.name, atom.reason));
                }
            }
        }
        Ok((blocks, unknown))
    }

    /// Whether ufw certainly drops some of what the node passes on for its pods.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn ufw_drops_forwarded(&self) -> Result<bool, PluginError> {
        let Ok(firewall) = &self.firewall else {
            return Ok(false);
        };
        let firewall = &firewall.value;
        let is_asked = firewall.rulesets.iter().any(|loaded| {
            let filter = loaded.ruleset.table(TableName::Filter);
            let chain = filter.and_then(|table| table.chain("FORWARD"));
            chain.is_some_and(|chain| {
                let mut targets = chain.rules.iter().filter_map(|rule| rule.target.chain());
                targets.any(|target| managed_chain(target) == Some(ManagedBy::Ufw))
            })
        });
        if !is_asked {
            return Ok(false);
        }
        let dropped = |space: &mut Space| -> Result<bool, AnalysisTooComplex> {
            let addresses = || AddressSet::any_v4();
            let web = FlowBox::new_tcp(addresses(), addresses(), PortSet::single(443_u16));
            let flow = web
                .with_direction(Direction::Inbound)
                .with_state(ConnectionState::New);
            let passed_on = space.flow(&flow)?;
            let decided = firewall.analyse(space, Hook::Forward, passed_on)?;
            let parts = decided.decisions.partition(space)?;
            for block in decided.decisions.blocks(space)? {
                let part = space.intersection(block.part, parts.denied)?;
                let by_ufw = decided
                    .made_by(block.index)
                    .is_some_and(|decision| is_ufws(&decision.by, firewall));
                if by_ufw && !part.is_empty() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        dropped(&mut Space::new())
            .map_err(|e| PluginError::AnalysisTooComplex(format!("node {}: {e}", self.node)))
    }

    /// New connections of the agents to the kubelet of this node.
    pub fn packets(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        let sources = prefixes::exactly(self.sources.iter().copied());
        let port = PortSet::single(KUBELET_PORT);
        let flow = FlowBox::new_tcp(
            AddressSet::prefixes(&sources),
            AddressSet::host(self.address),
            port,
        );
        space.flow(
            &flow
                .with_direction(Direction::Inbound)
                .with_state(ConnectionState::New),
        )
    }

    /// Where the agents' packets to this node come from.
    pub fn sources(&self) -> &BTreeSet<IpAddr> {
        &self.sources
    }
}
