//! The nodes of agents, on which the tunnel's packets begin: what keeps them in
//! there keeps them from every kubelet.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use naosu_flow::iptables::{Hook, Specifications};

use super::{JudgedNode, for_each_dumps, mention::Mention};
use crate::{Flow, KUBELET_PORT, PluginError, Reads, Tunnel, kubernetes::Node, prefixes};

/// Prefixes that a flow may list.
const LISTED_PREFIXES: usize = 1_000;

impl JudgedNode {
    /// Reads the rules of the nodes that agents run on, or of those of them that are
    /// named, and judges them for packets on their way out: `OUTPUT` for agents in
    /// the node's own network, `FORWARD` for others. Where a word is given, only those
    /// are judged that have a rule or chain with it.
    ///
    /// # Errors
    /// When the analysis is too complex to be exact.
    pub fn observe_leaving(
        reads: &dyn Reads,
        tunnel: &Tunnel,
        nodes: &[Node],
        names: Option<&BTreeSet<String>>,
        word: Option<&str>,
    ) -> Result<Vec<Self>, PluginError> {
        let mention = word.map(Mention::of);
        let mut known = Specifications::default();
        let mut judged = Vec::new();
        let mut asked = unread(tunnel, nodes);
        asked.retain(|node| names.is_none_or(|names| names.contains(&node.node)));
        let is_absent = |dumps: &_| {
            mention
                .as_ref()
                .is_some_and(|mention| mention.is_absent(dumps))
        };
        for_each_dumps(reads, asked, |node, dumps| match dumps {
            Ok(dumps) if is_absent(&dumps.value) => {}
            dumps => judged.push(node.with_dumps(dumps, &mut known)),
        });
        for node in &mut judged {
            node.judge()?;
        }
        Ok(judged)
    }

    /// The packets that must pass this node; none where they are too many to list.
    pub fn required_flow(&self) -> Option<Flow> {
        let sources = prefixes::exactly(self.sources().iter().copied());
        let destinations = prefixes::exactly(self.destinations());
        (destinations.len() <= LISTED_PREFIXES).then(|| Flow {
            protocol: "Tcp".to_owned(),
            source_prefixes: prefixes::texts(&sources),
            destination_prefixes: prefixes::texts(&destinations),
            destination_ports: vec![KUBELET_PORT.to_string()],
        })
    }
}

/// One a node and way, with the addresses of all agents there that take it.
fn unread(tunnel: &Tunnel, nodes: &[Node]) -> Vec<JudgedNode> {
    let mut sources: BTreeMap<(&str, Hook), BTreeSet<IpAddr>> = BTreeMap::new();
    for agent in &tunnel.agents {
        let spec = &agent.pod.spec;
        let (hook, address) = if spec.host_network {
            (Hook::Output, agent.address)
        } else {
            // Translated only after it was passed on.
            (Hook::Forward, agent.pod.status.pod_ip.parse().ok())
        };
        if let Some(address) = address {
            let of_node = sources.entry((spec.node_name.as_str(), hook));
            of_node.or_default().insert(address);
        }
    }
    let unread = sources.into_iter().filter_map(|((name, hook), sources)| {
        let node = nodes.iter().find(|node| node.metadata.name == name)?;
        if node.why_not_read().is_some() {
            return None;
        }
        // What an agent in another network than its node's sends to its own node is
        // not passed on.
        let others = nodes
            .iter()
            .filter(|other| hook == Hook::Output || other.metadata.name != name);
        let leaving_for: BTreeSet<IpAddr> = others
            .filter_map(|other| other.internal_addresses().next())
            .collect();
        (!leaving_for.is_empty()).then_some(JudgedNode {
            node: name.to_owned(),
            address: node.internal_addresses().next()?,
            hook,
            firewall: Err("not read".to_owned()),
            blocks: Vec::new(),
            unknown: Vec::new(),
            sources: Arc::new(sources),
            leaving_for,
        })
    });
    unread.collect()
}
