//! Agents that no node takes, beside others that run.

use naosu_plugin::{Evidence, TunnelNodes};

use crate::{
    absence,
    agents::{pod_evidence, unplaced},
};

/// Most agents that evidence is given of.
const SHOWN: usize = 10;

/// Agents without a node.
pub struct Unplaced {
    /// How many, and why.
    pub words: String,
    pub evidence: Vec<Evidence>,
    /// Why no step of this plugin helps them, and what does.
    pub infeasible: String,
}

impl Unplaced {
    /// `None` where every agent has a node.
    pub fn of(observed: &TunnelNodes) -> Option<Self> {
        let tunnel = &observed.tunnel;
        let first = unplaced(tunnel).next()?;
        let count = unplaced(tunnel).count();
        let reason = absence::unschedulable(observed);
        let verb = if count == 1 { "has" } else { "have" };
        let all = tunnel.agents.len();
        let mut evidence: Vec<Evidence> = unplaced(tunnel)
            .take(SHOWN)
            .map(|agent| pod_evidence(tunnel, agent))
            .collect();
        evidence.extend(absence::taints(observed, &first.pod.spec.tolerations));
        Some(Self {
            words: format!("{count} of {all} tunnel agents {verb} no node: {reason}"),
            evidence,
            infeasible: format!(
                "a pod that no node takes is not helped by making it anew; make room for it: \
                 {reason}"
            ),
        })
    }
}
