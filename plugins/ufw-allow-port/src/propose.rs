//! The rules to insert: one a node and source prefix.

use std::collections::BTreeSet;

use naosu_plugin::{
    Access, Cluster, Direction, Effect, KUBELET_PORT, NodeNetwork, PluginError, Proposal, Reads,
    Step, UfwRule, UfwRuleEffect, choice,
    flow::{
        iptables::NodeFirewall,
        set::Space,
        ufw::{InsertPlace, UfwAction, UfwChange, UfwPolicy, UfwStatus, ufw_change},
    },
    listed,
    node_firewall::is_ufws,
    prefixes, step,
    ufw::{UfwJudgement, UfwNode},
};
use serde::Deserialize;

/// Parameters of the plan, as described.
#[derive(Deserialize)]
pub struct Parameters {
    scope: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Scope {
    Addresses,
    #[default]
    Subnet,
}

const SCOPES: [(&str, Scope); 2] = [("addresses", Scope::Addresses), ("subnet", Scope::Subnet)];

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    parameters: &Parameters,
) -> Result<Proposal, PluginError> {
    let scope = match &parameters.scope {
        Some(given) => choice("scope", given, &SCOPES)?,
        None => Scope::default(),
    };
    let judged = UfwJudgement::observe(reads, cluster)?;
    if judged.stopping().next().is_none() {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    if let Some(reason) = infeasible(&judged) {
        return Err(PluginError::Infeasible(reason));
    }
    let network = match scope {
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
        if node.drops_forwarded {
            warnings.push(format!(
                "ufw on {} also drops forwarded packets, so pods there stay cut off after this; \
                 ufw-disable or `ufw default allow routed` ends that",
                node.node.node
            ));
        }
    }
    if let Some(kept_in) = kept_in(&judged) {
        warnings.push(format!("Not mended by this plan: {kept_in}"));
    }
    Ok(Proposal {
        summary: format!(
            "Allow TCP {KUBELET_PORT} from {} in ufw",
            judged.observed.tunnel.who_dials()
        ),
        steps,
        warnings,
    })
}

/// Why no port can be opened, and what can be done instead.
pub fn infeasible(judged: &UfwJudgement) -> Option<String> {
    let kept_in = || kept_in(judged).filter(|_| judged.blocking.is_empty());
    judged.infeasible.clone().or_else(kept_in)
}

/// Where ufw keeps the agents' packets in, and what ends that.
fn kept_in(judged: &UfwJudgement) -> Option<String> {
    let nodes: Vec<&str> = judged.keeping_in.iter().map(UfwNode::name).collect();
    (!nodes.is_empty()).then(|| {
        format!(
            "ufw keeps in what the agents on {} send; ufw-disable ends that, or by hand `ufw allow \
             out {KUBELET_PORT}/tcp` where they are in the node's own network, else `ufw default \
             allow routed`",
            listed(nodes, ", ")
        )
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

/// What ufw lists on a node, and where the new rules go.
struct Listed {
    policy: UfwPolicy,
    /// The number of the first rule that blocks; 0 to append.
    position: u32,
    /// The kernel's rules; none once it is not clear what ufw does to them.
    kernel: Option<NodeFirewall>,
}

fn insertions(node: &UfwNode, network: Option<&NodeNetwork>) -> Result<Vec<Step>, PluginError> {
    let name = &node.node.node;
    let mut listed = Listed::of(node)?;
    let mut steps = Vec::new();
    for source in sources(node, network) {
        let rule = UfwRule {
            access: Access::Allow,
            direction: Direction::Inbound,
            protocol: "tcp".to_owned(),
            destination: node.node.address.to_string(),
            port: KUBELET_PORT.to_string(),
            source,
        };
        steps.extend(listed.take_out(name, &rule)?);
        let position = listed.position;
        let before = match position {
            0 => String::new(),
            number => format!(", before rule {number}"),
        };
        let source = &rule.source;
        steps.push(step(
            format!("Allow TCP {KUBELET_PORT} from {source} in ufw on {name}{before}"),
            Effect::UfwRuleInsert(UfwRuleEffect {
                node: name.clone(),
                position,
                rule: rule.clone(),
            }),
        ));
        listed.put_in(name, &rule)?;
    }
    listed.prove(node)?;
    Ok(steps)
}

impl Listed {
    fn of(node: &UfwNode) -> Result<Self, PluginError> {
        let name = &node.node.node;
        let malformed = |what: String| PluginError::Malformed(format!("node {name}: {what}"));
        let report = node.report.clone()?;
        let parse =
            |text: &str| UfwStatus::parse(text).map_err(|error| malformed(error.to_string()));
        let numbered = parse(&report.value.numbered)?;
        let verbose = parse(&report.value.verbose)?;
        let (UfwStatus::Active(numbered), UfwStatus::Active(verbose)) = (numbered, verbose) else {
            return Err(PluginError::Infeasible(format!(
                "node {name}: ufw is not active, yet chains of its own block; disable it again \
                 with ufw-disable so that they are taken out"
            )));
        };
        let policy = UfwPolicy {
            rules: numbered.rules,
            defaults: verbose.defaults,
            in_interface: node.knowledge().in_interface,
            out_interface: node.knowledge().out_interface,
        };
        let mut space = Space::new();
        let needed = node.node.packets(&mut space);
        let place = needed.and_then(|needed| policy.insert_place(&mut space, needed));
        let place =
            place.map_err(|e| PluginError::AnalysisTooComplex(format!("node {name}: {e}")))?;
        let position = match place {
            InsertPlace::Append => 0,
            InsertPlace::Before(number) => {
                u32::try_from(number).map_err(|_| malformed(format!("rule number {number}")))?
            }
            InsertPlace::NotNeeded => return Err(in_vain(name)),
        };
        let kernel = node.node.firewall.as_ref().ok().map(|f| f.value.clone());
        Ok(Self {
            policy,
            position,
            kernel,
        })
    }

    /// ufw inserts no rule that it has already, and changes one in place that
    /// differs by its action: such a rule has to go first.
    fn take_out(&mut self, node: &str, rule: &UfwRule) -> Result<Option<Step>, PluginError> {
        let wanted = as_ufw_reads(node, rule)?;
        let mut rules = self.policy.rules.iter();
        let Some(at) = rules.position(|there| there.is_same_but_action(&wanted)) else {
            return Ok(None);
        };
        let there = self.policy.rules.get(at).cloned().unwrap_or(wanted);
        self.change_kernel(UfwChange::Delete { rule: &there });
        self.policy.rules.remove(at);
        let access = match there.action {
            UfwAction::Allow => Some(Access::Allow),
            UfwAction::Deny => Some(Access::Deny),
            UfwAction::Reject | UfwAction::Limit => None,
        };
        let Some(access) = access.filter(|_| there.comment.is_none() && !there.logged) else {
            return Err(PluginError::Infeasible(format!(
                "node {node}: rule {} stands in the way and could not be put back as it is: \
                 {there}; move it by hand, or use ufw-disable",
                at + 1
            )));
        };
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        if number < self.position {
            self.position -= 1;
        }
        Ok(Some(step(
            format!("Delete rule {number} of ufw on {node}, which comes too late: {there}"),
            Effect::UfwRuleDelete(UfwRuleEffect {
                node: node.to_owned(),
                position: number,
                rule: UfwRule {
                    access,
                    ..rule.clone()
                },
            }),
        )))
    }

    fn put_in(&mut self, node: &str, rule: &UfwRule) -> Result<(), PluginError> {
        let position = self.position as usize;
        let place = match position {
            0 => InsertPlace::Append,
            number => InsertPlace::Before(number),
        };
        let rule = as_ufw_reads(node, rule)?;
        self.change_kernel(UfwChange::Insert {
            position,
            rule: &rule,
        });
        self.policy = self.policy.with_rule(place, rule);
        Ok(())
    }

    fn change_kernel(&mut self, change: UfwChange<'_>) {
        let changed = self.kernel.take();
        self.kernel = changed.and_then(|k| ufw_change(&k, &self.policy.rules, change).ok());
    }

    /// With the rules in place no chain of ufw's may be in the way, by the
    /// kernel's rules as they would be, or else by ufw's own list.
    fn prove(&self, node: &UfwNode) -> Result<(), PluginError> {
        if let Some(kernel) = &self.kernel {
            let (blocks, _) = node.node.decide(kernel)?;
            return match blocks.iter().any(|block| is_ufws(&block.by, kernel)) {
                true => Err(in_vain(&node.node.node)),
                false => Ok(()),
            };
        }
        let mut space = Space::new();
        let needed = node.node.packets(&mut space);
        let place = needed.and_then(|needed| self.policy.insert_place(&mut space, needed));
        match place {
            Ok(InsertPlace::NotNeeded) => Ok(()),
            Ok(_) => Err(in_vain(&node.node.node)),
            Err(e) => Err(PluginError::AnalysisTooComplex(format!(
                "node {}: {e}",
                node.node.node
            ))),
        }
    }
}

fn as_ufw_reads(
    node: &str,
    rule: &UfwRule,
) -> Result<naosu_plugin::flow::ufw::UfwRule, PluginError> {
    let command = format!(
        "allow in from {} to {} port {} proto {}",
        rule.source, rule.destination, rule.port, rule.protocol
    );
    naosu_plugin::flow::ufw::UfwRule::parse(&command)
        .map_err(|error| PluginError::Malformed(format!("node {node}: {error}")))
}

fn in_vain(node: &str) -> PluginError {
    PluginError::Infeasible(format!(
        "node {node}: what blocks is not a rule that ufw lists; look into /etc/ufw, or use \
         ufw-disable"
    ))
}
