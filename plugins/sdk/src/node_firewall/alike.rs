//! Nodes whose firewalls decide alike, judged together: the nodes of a cluster
//! have almost the same rules, and most of them let everything pass.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use naosu_flow::{
    iptables::{Exemplar, FirewallRuleset, Knowledge, NodeFirewall, Specifications},
    set::{AddressSet, AnalysisTooComplex, Space},
};

use super::{JudgedNode, decide, firewall};
use crate::{Observed, prefixes};

/// Groups that one node is compared with.
const GROUPS_COMPARED: usize = 8;

/// Nodes in groups that decide alike.
#[derive(Default)]
pub(super) struct AlikeNodes {
    groups: Vec<Group>,
    /// Those that are like none: not certain to be what they seem.
    others: Vec<JudgedNode>,
    /// Senders of the last node, and the set of them.
    senders: Option<(Arc<BTreeSet<IpAddr>>, AddressSet)>,
}

/// Nodes with the same rules for the same senders, of which the same is known.
struct Group {
    exemplar: Exemplar,
    /// What of the first node's knowledge decides, its own address aside.
    knowledge: Knowledge,
    /// The first node, and its rules.
    first: JudgedNode,
    rules: Observed<NodeFirewall>,
    /// The others, with what was read of them.
    members: Vec<(JudgedNode, Observed<()>)>,
}

/// What became of the nodes.
pub(super) struct Alike {
    /// What was read of nodes that certainly let everything pass.
    pub passing: Vec<Observed<()>>,
    /// The others, to be judged one by one.
    pub others: Vec<Other>,
}

/// A node to be judged by itself.
pub(super) enum Other {
    /// With its rules.
    Read(Box<JudgedNode>),
    /// Its rules were let go: those of thousands are large.
    Unread(Box<JudgedNode>),
}

impl AlikeNodes {
    /// Adds a node with the dumps that were read of it.
    pub fn add(
        &mut self,
        mut node: JudgedNode,
        dumps: Observed<FirewallRuleset>,
        known: &mut Specifications,
    ) {
        let peers = self.peers(&node.sources);
        let knowledge = dumps.value.knowledge(&[node.address]);
        let knowledge = knowledge.about(node.address, &peers);
        if let Some(knowledge) = &knowledge {
            let mut groups = self.groups.iter_mut().rev().take(GROUPS_COMPARED);
            let group = groups.find(|group| {
                group.first.sources == node.sources
                    && group.knowledge == *knowledge
                    && group.exemplar.decides_as(&dumps.value, known)
            });
            if let Some(group) = group {
                group.members.push((node, dumps.without_value()));
                return;
            }
        }
        let shown = dumps.value.clone();
        match (firewall(dumps, node.address, known), knowledge) {
            (Ok(rules), Some(knowledge)) => self.groups.push(Group {
                exemplar: Exemplar::new(shown, &rules.value, node.hook),
                knowledge,
                rules,
                first: node,
                members: Vec::new(),
            }),
            (read, _) => {
                node.firewall = read;
                self.others.push(node);
            }
        }
    }

    fn peers(&mut self, sources: &Arc<BTreeSet<IpAddr>>) -> AddressSet {
        match &self.senders {
            Some((same, peers)) if same == sources => peers.clone(),
            _ => {
                let peers = prefixes::exactly(sources.iter().copied());
                let peers = AddressSet::prefixes(&peers);
                self.senders = Some((Arc::clone(sources), peers.clone()));
                peers
            }
        }
    }

    /// Judges each group as one. What is too complex together may be simple enough
    /// one by one.
    pub fn finish(self) -> Alike {
        let alone = |node| Other::Read(Box::new(node));
        let mut alike = Alike {
            passing: Vec::new(),
            others: self.others.into_iter().map(alone).collect(),
        };
        for group in self.groups {
            let is_passing = !group.members.is_empty() && group.lets_all_pass().unwrap_or(false);
            let Group {
                mut first,
                rules,
                members,
                ..
            } = group;
            if is_passing {
                alike.passing.push(rules.without_value());
                alike
                    .passing
                    .extend(members.into_iter().map(|(_, read)| read));
            } else {
                let members = members.into_iter();
                let members = members.map(|(node, _)| Other::Unread(Box::new(node)));
                first.firewall = Ok(rules);
                alike.others.push(alone(first));
                alike.others.extend(members);
            }
        }
        alike
    }
}

impl Group {
    /// Whether all asked packets pass. Each packet goes to one of the nodes, and
    /// each takes its own address for its own: so all of their addresses may be
    /// taken for those of one node.
    fn lets_all_pass(&self) -> Result<bool, AnalysisTooComplex> {
        let members = self.members.iter().map(|(node, _)| node.address);
        let own: Vec<IpAddr> = std::iter::once(self.first.address).chain(members).collect();
        let mut firewall = self.rules.value.clone();
        firewall.knowledge = self.knowledge.clone().with_own(own.iter().copied());
        let mut space = Space::new();
        let hook = self.first.hook;
        let asked = decide::packets(&mut space, hook, &self.first.sources, own.into_iter())?;
        let (blocks, unknown) = decide::decide(&mut space, hook, asked, &firewall)?;
        Ok(blocks.is_empty() && unknown.is_empty())
    }
}
