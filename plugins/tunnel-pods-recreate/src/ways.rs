//! The direct way from agents' nodes to kubelets that do not answer.

use naosu_plugin::{
    Evidence, KUBELET_PORT, PluginError, Query, Reads, TcpProbe, Tunnel, read_json_many,
};

use crate::answers::{Answers, Probe, Silent};

/// Nodes without an answer whose way is tried, and agents it is tried from. Each
/// probe takes a node command, so a few have to tell.
const TRIED: usize = 3;

/// What was tried.
pub struct Ways {
    /// Silent nodes to which the way is open from every agent's node.
    pub open: Vec<String>,
}

impl Ways {
    /// Tries the way to a few silent nodes: those named first, then those on
    /// which agents run, since no packet filter between nodes touches that way.
    ///
    /// # Errors
    /// When a probe cannot be made.
    pub fn try_all(
        reads: &dyn Reads,
        tunnel: &Tunnel,
        answers: &Answers<'_>,
        first: &[String],
        evidence: &mut Vec<Evidence>,
    ) -> Result<Self, PluginError> {
        let agents = tunnel.agent_nodes();
        let mut silent: Vec<&Silent<'_>> = answers.silent.iter().collect();
        silent.sort_by_key(|silent| {
            let is_named = first.iter().any(|name| name == silent.name());
            (!is_named, !agents.contains(&silent.name()))
        });
        let mut tried = Vec::new();
        for silent in silent.into_iter().take(TRIED) {
            let Some(address) = silent.node.internal_addresses().next() else {
                continue;
            };
            for from in agents.iter().take(TRIED) {
                let query = Query::TcpProbe(TcpProbe {
                    from_node: (*from).to_owned(),
                    to_host: address.to_string(),
                    port: KUBELET_PORT,
                });
                tried.push((silent.name(), address, query));
            }
        }
        let queries: Vec<Query> = tried.iter().map(|(_, _, query)| query.clone()).collect();
        let probes = read_json_many::<Probe>(reads, &queries);
        let mut open: Vec<String> = Vec::new();
        let mut closed = Vec::new();
        for ((name, address, _), probe) in tried.iter().zip(probes) {
            let probe = probe?;
            let value = if probe.value.reached {
                if !open.iter().any(|known| known == name) {
                    open.push((*name).to_owned());
                }
                "connected"
            } else {
                closed.push(*name);
                &probe.value.error
            };
            let field = format!("TCP probe to {address}:{KUBELET_PORT}");
            let meaning = format!("the way an agent there has to {name}");
            evidence.push(probe.evidence(field, value, meaning));
        }
        // Where one agent cannot get through, the requests given to it explain the silence.
        open.retain(|name| !closed.contains(&name.as_str()));
        Ok(Self { open })
    }
}
