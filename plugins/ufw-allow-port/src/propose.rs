//! The rules to insert: one a node and source prefix.

use std::collections::BTreeSet;

use naosu_plugin::{
    Access, Cluster, Direction, Effect, KUBELET_PORT, NodeNetwork, PluginError, Proposal, Reads,
    Step, UfwRule, UfwRuleEffect,
    flow::{
        iptables::InterfaceKnowledge,
        set::Space,
        ufw::{InsertPlace, UfwPolicy, UfwStatus},
    },
    prefixes,
    ufw::{UfwJudgement, UfwNode},
};
use serde::Deserialize;

/// Parameters of the plan, as described.
#[derive(Deserialize)]
pub struct Parameters {
    #[serde(default)]
    scope: Scope,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Addresses,
    #[default]
    Subnet,
}

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    parameters: Parameters,
) -> Result<Proposal, PluginError> {
    let judged = UfwJudgement::observe(reads, cluster)?;
    if judged.blocking.is_empty() {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    let network = match parameters.scope {
        Scope::Subnet => {
            let cluster = &judged.observed.cluster.value;
            Some(NodeNetwork::observe(
                reads,
                cluster,
                &judged.observed.nodes,
            )?)
        }
        Scope::Addresses => None,
    };
    let mut steps = Vec::new();
    let mut warnings = Vec::new();
    for node in &judged.blocking {
        steps.extend(insertions(node, network.as_ref())?);
        if node.drops_forwarded() {
            warnings.push(format!(
                "ufw on {} also drops forwarded packets, so pods there stay cut off after this; \
                 ufw-disable or `ufw default allow routed` ends that",
                node.node.node
            ));
        }
    }
    Ok(Proposal {
        summary: format!("Allow TCP {KUBELET_PORT} from the tunnel agents in ufw"),
        steps,
        warnings,
    })
}

/// Prefixes of the subnets that hold the sources, or the sources themselves.
fn sources(node: &UfwNode, network: Option<&NodeNetwork>) -> Vec<String> {
    let exact = || prefixes::texts(&prefixes::exactly(node.node.sources().iter().copied()));
    let Some(network) = network else {
        return exact();
    };
    let mut subnets = BTreeSet::new();
    for source in node.node.sources() {
        let holds = |i: &&naosu_plugin::NodeInterface| i.addresses.contains(source);
        let interface = network.interfaces.iter().find(holds);
        let Some(subnet) = interface.and_then(|i| network.subnet_of(i)) else {
            return exact();
        };
        subnets.extend(subnet.value.properties.prefixes().map(str::to_owned));
    }
    subnets.into_iter().collect()
}

fn insertions(node: &UfwNode, network: Option<&NodeNetwork>) -> Result<Vec<Step>, PluginError> {
    let position = position(node)?;
    let sources = sources(node, network);
    let steps = sources.into_iter().map(|source| Step {
        title: format!(
            "Allow TCP {KUBELET_PORT} from {source} in ufw on {}{}",
            node.node.node,
            match position {
                0 => String::new(),
                number => format!(", before rule {number}"),
            }
        ),
        effect: Effect::UfwRuleInsert(UfwRuleEffect {
            node: node.node.node.clone(),
            position,
            rule: UfwRule {
                access: Access::Allow,
                direction: Direction::Inbound,
                protocol: "tcp".to_owned(),
                source,
                destination: "any".to_owned(),
                port: KUBELET_PORT.to_string(),
            },
        }),
    });
    Ok(steps.collect())
}

/// The number of the first of ufw's rules that blocks; 0 to append.
fn position(node: &UfwNode) -> Result<u32, PluginError> {
    let name = &node.node.node;
    let malformed = |what: String| PluginError::Malformed(format!("node {name}: {what}"));
    let report = node.report.clone()?;
    let numbered =
        UfwStatus::parse(&report.value.numbered).map_err(|e| malformed(e.to_string()))?;
    let verbose = UfwStatus::parse(&report.value.verbose).map_err(|e| malformed(e.to_string()))?;
    let (UfwStatus::Active(numbered), UfwStatus::Active(verbose)) = (numbered, verbose) else {
        return Err(PluginError::Infeasible(format!(
            "node {name}: ufw is not active, yet chains of its own block; disable it again with \
             ufw-disable so that they are taken out"
        )));
    };
    let policy = UfwPolicy {
        rules: numbered.rules,
        defaults: verbose.defaults,
        in_interface: InterfaceKnowledge::NotLoopback,
        out_interface: InterfaceKnowledge::NotLoopback,
    };
    let mut space = Space::new();
    let needed = node.node.packets(&mut space);
    let place = needed.and_then(|needed| policy.insert_place(&mut space, needed));
    match place.map_err(|e| PluginError::AnalysisTooComplex(format!("node {name}: {e}")))? {
        InsertPlace::Append => Ok(0),
        InsertPlace::Before(number) => {
            u32::try_from(number).map_err(|_| malformed(format!("rule number {number}")))
        }
        InsertPlace::NotNeeded | InsertPlace::InVain => Err(PluginError::Infeasible(format!(
            "node {name}: what blocks is not a rule that ufw lists; look into /etc/ufw, or use \
             ufw-disable"
        ))),
    }
}
