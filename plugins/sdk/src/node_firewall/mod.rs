//! What the firewall of a node does to the tunnel's packets. The kernel's own
//! rules decide, whoever put them there.

mod alike;
mod decide;
mod leaving;
mod mention;
mod scope;

pub use scope::{locked, nodes_of, not_judged};

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use naosu_flow::{
    iptables::{
        DecidedBy, FirewallRuleset, Hook, ManagedBy, NodeFirewall, Specifications, TableName,
        managed_chain, managed_specification,
    },
    set::{
        AddressSet, AnalysisTooComplex, ConnectionState, Direction, FlowBox, PacketSet, PortSet,
        Space,
    },
};

use self::{
    alike::{Alike, AlikeNodes, Other},
    mention::Mention,
};
use crate::{
    NodeObservation, NodeQuery, Observed, PluginError, Query, Reads, Tunnel, error::in_words,
    kubernetes::Node, read_json_many,
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
    /// Where the packets pass it: they come to its own kubelet, or begin with its
    /// agents, which send them themselves or have the node pass them on.
    pub hook: Hook,
    /// Its rules, unless they could not be read.
    pub firewall: Result<Observed<NodeFirewall>, String>,
    /// What certainly blocks, in the order packets come to it.
    pub blocks: Vec<NodeBlock>,
    /// What is not known, and why.
    pub unknown: Vec<String>,
    sources: Arc<BTreeSet<IpAddr>>,
    /// Where they go from its agents.
    leaving_for: BTreeSet<IpAddr>,
}

/// What the firewalls of nodes do.
#[derive(Clone, Debug, Default)]
pub struct JudgedNodes {
    /// Nodes that were judged one by one, in the order of the nodes.
    pub judged: Vec<JudgedNode>,
    /// What was read of the others, which certainly let everything pass.
    pub passing: Vec<Observed<()>>,
}

/// Nodes whose dumps are held at once: as many as the host reads in parallel.
const DUMPS_AT_ONCE: usize = 32;

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
    /// are read in parallel, and those that decide alike are judged as one.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn observe_all(
        reads: &dyn Reads,
        tunnel: &Tunnel,
        nodes: &[Node],
    ) -> Result<JudgedNodes, PluginError> {
        let mut alike = AlikeNodes::default();
        let mut judged = Vec::new();
        let mut known = Specifications::default();
        for_each_dumps(
            reads,
            Self::unread(tunnel, nodes),
            |node, dumps| match dumps {
                Ok(dumps) if node.why_no_source().is_none() => {
                    alike.add(node, dumps, &mut known);
                }
                dumps => judged.push(node.with_dumps(dumps, &mut known)),
            },
        );
        let Alike { passing, others } = alike.finish();
        let mut again = Vec::new();
        for other in others {
            match other {
                Other::Read(node) => judged.push(*node),
                Other::Unread(node) => again.push(*node),
            }
        }
        for_each_dumps(reads, again, |node, dumps| {
            judged.push(node.with_dumps(dumps, &mut known));
        });
        judged_in_order(judged, nodes, passing)
    }

    /// [`JudgedNode::observe_all`] of these nodes alone, each judged by itself.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn observe_some(
        reads: &dyn Reads,
        tunnel: &Tunnel,
        nodes: &[Node],
        names: &BTreeSet<String>,
    ) -> Result<JudgedNodes, PluginError> {
        let mut judged = Vec::new();
        let mut known = Specifications::default();
        let mut asked = Self::unread(tunnel, nodes);
        asked.retain(|node| names.contains(&node.node));
        for_each_dumps(reads, asked, |node, dumps| {
            judged.push(node.with_dumps(dumps, &mut known));
        });
        judged_in_order(judged, nodes, Vec::new())
    }

    /// [`JudgedNode::observe_all`], but that nodes are only judged where a rule or
    /// chain has the word in it: of a component that puts it everywhere, the
    /// others have nothing, and they are given as passing. Whatever else is asked
    /// of a node that has it, its rules are there.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn observe_mentioning(
        reads: &dyn Reads,
        tunnel: &Tunnel,
        nodes: &[Node],
        word: &str,
    ) -> Result<JudgedNodes, PluginError> {
        let mention = Mention::of(word);
        let (mut judged, mut passing) = (Vec::new(), Vec::new());
        let mut known = Specifications::default();
        for_each_dumps(
            reads,
            Self::unread(tunnel, nodes),
            |node, dumps| match dumps {
                Ok(dumps) if mention.is_absent(&dumps.value) => passing.push(dumps.without_value()),
                dumps => judged.push(node.with_dumps(dumps, &mut known)),
            },
        );
        judged_in_order(judged, nodes, passing)
    }

    fn with_dumps(
        mut self,
        dumps: Result<Observed<FirewallRuleset>, PluginError>,
        known: &mut Specifications,
    ) -> Self {
        self.firewall = dumps
            .map_err(|error| in_words(&error))
            .and_then(|dumps| firewall(dumps, self.address, known));
        self
    }

    /// The nodes that agents dial from outside, with where they dial from.
    fn unread(tunnel: &Tunnel, nodes: &[Node]) -> Vec<Self> {
        let mut unread: Vec<Self> = Vec::with_capacity(nodes.len());
        for node in nodes.iter().filter(|node| node.why_not_read().is_none()) {
            let name = &node.metadata.name;
            let sources = tunnel.sources_towards(name, nodes);
            let same = unread.last().filter(|last| *last.sources == sources);
            let sources = match same {
                Some(last) => Arc::clone(&last.sources),
                None => Arc::new(sources),
            };
            let Some(address) = node.internal_addresses().next() else {
                continue;
            };
            if !sources.is_empty() {
                unread.push(Self {
                    node: name.clone(),
                    address,
                    hook: Hook::Input,
                    firewall: Err("not read".to_owned()),
                    blocks: Vec::new(),
                    unknown: Vec::new(),
                    sources,
                    leaving_for: BTreeSet::new(),
                });
            }
        }
        unread
    }

    fn judge(&mut self) -> Result<(), PluginError> {
        let judged = match &self.firewall {
            Ok(firewall) => self.decide(&firewall.value)?,
            Err(reason) => (Vec::new(), vec![reason.clone()]),
        };
        (self.blocks, self.unknown) = judged;
        Ok(())
    }

    /// Why no packet can be asked about, if none can: all known senders have addresses of
    /// the other family than the node.
    fn why_no_source(&self) -> Option<String> {
        let (hook, to) = (self.hook, self.address);
        let mut sources = self.sources.iter();
        let is_dialled = hook != Hook::Input || sources.any(|from| from.is_ipv4() == to.is_ipv4());
        (!is_dialled).then(|| format!("which addresses dial {to} is not known"))
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
        if let Some(reason) = self.why_no_source() {
            return Ok((Vec::new(), vec![reason]));
        }
        let mut space = Space::new();
        self.packets(&mut space)
            .and_then(|asked| decide::decide(&mut space, self.hook, asked, firewall))
            .map_err(|e| PluginError::AnalysisTooComplex(format!("node {}: {e}", self.node)))
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
                .with_direction(Direction::Forwarded)
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

    /// New connections to kubelets, as they pass this node.
    pub fn packets(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        decide::packets(space, self.hook, &self.sources, self.destinations())
    }

    /// The kubelets that they go to.
    pub fn destinations(&self) -> impl Iterator<Item = IpAddr> {
        let own = (self.hook == Hook::Input).then_some(self.address);
        own.into_iter().chain(self.leaving_for.iter().copied())
    }

    /// Where the agents' packets come from.
    pub fn sources(&self) -> &BTreeSet<IpAddr> {
        &self.sources
    }
}

fn firewall(
    dumps: Observed<FirewallRuleset>,
    own: IpAddr,
    known: &mut Specifications,
) -> Result<Observed<NodeFirewall>, String> {
    let firewall = dumps.value.firewall_sharing(&[own], known);
    Ok(Observed {
        value: firewall.map_err(|e| format!("{}: {e}", dumps.resource))?,
        resource: dumps.resource,
        observed_at: dumps.observed_at,
    })
}

/// Reads the dumps of nodes, a few at a time: together they are large.
fn for_each_dumps(
    reads: &dyn Reads,
    mut nodes: Vec<JudgedNode>,
    mut take: impl FnMut(JudgedNode, Result<Observed<FirewallRuleset>, PluginError>),
) {
    while !nodes.is_empty() {
        let some: Vec<JudgedNode> = nodes.drain(..nodes.len().min(DUMPS_AT_ONCE)).collect();
        let queries: Vec<Query> = some
            .iter()
            .map(|node| {
                Query::Node(NodeQuery {
                    node: node.node.clone(),
                    what: NodeObservation::FirewallRuleset,
                })
            })
            .collect();
        for (node, dumps) in some.into_iter().zip(read_json_many(reads, &queries)) {
            take(node, dumps);
        }
    }
}

fn judged_in_order(
    mut judged: Vec<JudgedNode>,
    nodes: &[Node],
    passing: Vec<Observed<()>>,
) -> Result<JudgedNodes, PluginError> {
    let places = nodes.iter().enumerate();
    let places: BTreeMap<&str, usize> = places
        .map(|(at, node)| (node.metadata.name.as_str(), at))
        .collect();
    judged.sort_by_key(|node| places.get(node.node.as_str()).copied());
    for node in &mut judged {
        node.judge()?;
    }
    Ok(JudgedNodes { judged, passing })
}
