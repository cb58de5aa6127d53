//! The allow rules: one a group and direction that blocks.

use std::{collections::BTreeSet, net::IpAddr};

use naosu_plugin::{
    Access, Cluster, Direction as GuestDirection, Effect, KUBELET_PORT, NsgRule as GuestRule,
    NsgRuleEffect, NsgRulesEffect, PluginError, Proposal, Reads, Step,
    flow::nsg::{
        self, Direction, MAX_PRIORITY, MIN_PRIORITY, NsgRule, Placement, PlacementRequest, place,
    },
    placement_error, prefixes,
};
use serde::Deserialize;

use crate::{checkpoint::Checkpoint, judge, situation::Situation};

/// Longest name of a rule.
const NAME_CHARS: usize = 80;

/// Parameters of the plan, as described.
#[derive(Deserialize)]
pub struct Parameters {
    #[serde(default = "default_name")]
    rule_name: String,
    priority: Option<u16>,
    #[serde(default)]
    scope: Scope,
}

fn default_name() -> String {
    "naosu-allow-kubelet".to_owned()
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    #[default]
    Addresses,
    Subnet,
}

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    parameters: Parameters,
) -> Result<Proposal, PluginError> {
    let situation = Situation::observe(reads, cluster)?;
    let judged = judge::judge(&situation)?;
    if judged.blocking.is_empty() {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    if let Some(reason) = judge::infeasible(&situation, &judged.blocking) {
        return Err(PluginError::Infeasible(reason));
    }
    let mut steps = Vec::new();
    let mut warnings = Vec::new();
    for checkpoint in judged
        .blocking
        .iter()
        .filter_map(|at| situation.checkpoints.get(*at))
    {
        let placement = placement(&situation, checkpoint, &parameters)?;
        if let Some(warning) = renumbering_warning(checkpoint, &placement) {
            warnings.push(warning);
        }
        steps.push(step(checkpoint, &placement)?);
    }
    if parameters.scope == Scope::Addresses {
        warnings.push(
            "The rule names today's agents and nodes; nodes that are added later and agents that \
             move need another one. Scope \"subnet\" covers them."
                .to_owned(),
        );
    }
    Ok(Proposal {
        summary: format!("Let TCP {KUBELET_PORT} from the tunnel agents to the nodes pass"),
        steps,
        warnings,
    })
}

fn placement(
    situation: &Situation,
    checkpoint: &Checkpoint,
    parameters: &Parameters,
) -> Result<Placement, PluginError> {
    let group = &checkpoint.group.value;
    let request = PlacementRequest {
        rule: rule(situation, checkpoint, parameters)?,
        required: checkpoint.flows(),
        pinned: BTreeSet::new(),
    };
    let placement = place(group, &request, &situation.tags).map_err(placement_error)?;
    match parameters.priority {
        Some(priority) => at_priority(checkpoint, placement, priority),
        None => Ok(placement),
    }
}

/// The placement at the number that was asked for, if that number would do.
fn at_priority(
    checkpoint: &Checkpoint,
    mut placement: Placement,
    priority: u16,
) -> Result<Placement, PluginError> {
    let group = &checkpoint.group.value;
    let mut rules = group.evaluated(checkpoint.direction);
    let number = |name: &String| group.rule(name).map(|rule| rule.priority);
    let first = placement.stricter.iter().filter_map(number).max();
    let first = first.map_or(MIN_PRIORITY, |above| above.saturating_add(1));
    let blocking = number(&placement.blocking);
    let last = blocking.map_or(MAX_PRIORITY, |below| below.saturating_sub(1));
    if !(first..=last).contains(&priority) {
        return Err(PluginError::InvalidParameter(format!(
            "priority {priority} does not do in {}: it must be after the stricter rules and before \
             rule {}, from {first} to {last}",
            group.name, placement.blocking
        )));
    }
    if let Some(taken) = rules.find(|rule| rule.priority == priority) {
        return Err(PluginError::InvalidParameter(format!(
            "priority {priority} is taken by rule {} of {}",
            taken.name, group.name
        )));
    }
    placement.rule.priority = priority;
    placement.renumbered = Vec::new();
    Ok(placement)
}

fn rule(
    situation: &Situation,
    checkpoint: &Checkpoint,
    parameters: &Parameters,
) -> Result<NsgRule, PluginError> {
    let sources = checkpoint.sources();
    let destinations = checkpoint.destinations();
    Ok(NsgRule {
        name: free_name(checkpoint, &parameters.rule_name)?,
        priority: 0,
        direction: checkpoint.direction,
        access: nsg::Access::Allow,
        protocol: "Tcp".to_owned(),
        source_prefixes: scoped(situation, parameters.scope, &sources),
        source_ports: vec!["*".to_owned()],
        source_groups: Vec::new(),
        destination_prefixes: scoped(situation, parameters.scope, &destinations),
        destination_ports: vec![KUBELET_PORT.to_string()],
        destination_groups: Vec::new(),
        description: "Tunnel agents to kubelets, so that logs, exec and webhooks work".to_owned(),
    })
}

/// A name that no rule of the group has: a number is added where it is taken.
fn free_name(checkpoint: &Checkpoint, wanted: &str) -> Result<String, PluginError> {
    let suffix = match checkpoint.direction {
        Direction::Inbound => "-in",
        Direction::Outbound => "-out",
    };
    let base = format!("{wanted}{suffix}");
    if wanted.is_empty() || base.len() + 5 > NAME_CHARS {
        return Err(PluginError::InvalidParameter(format!(
            "rule_name has {} characters; give 1 to {}",
            wanted.len(),
            NAME_CHARS - 5 - suffix.len()
        )));
    }
    let group = &checkpoint.group.value;
    let numbered = (2..=1000).map(|number| format!("{base}-{number}"));
    let mut names = std::iter::once(base.clone()).chain(numbered);
    names
        .find(|name| group.rule(name).is_none())
        .ok_or_else(|| PluginError::InvalidParameter(format!("every name like {base} is taken")))
}

fn scoped(situation: &Situation, scope: Scope, addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    let exact = || prefixes::texts(&prefixes::exactly(addresses.iter().copied()));
    if scope == Scope::Addresses {
        return exact();
    }
    let mut subnets = BTreeSet::new();
    for address in addresses {
        let interfaces = situation.network.interfaces.iter();
        let interface = interfaces
            .into_iter()
            .find(|interface| interface.addresses.contains(address));
        let Some(subnet) = interface.and_then(|i| situation.network.subnet_of(i)) else {
            return exact();
        };
        subnets.extend(subnet.value.properties.prefixes().map(str::to_owned));
    }
    subnets.into_iter().collect()
}

fn renumbering_warning(checkpoint: &Checkpoint, placement: &Placement) -> Option<String> {
    if placement.renumbered.is_empty() {
        return None;
    }
    let moves: Vec<String> = placement
        .renumbered
        .iter()
        .map(|moved| format!("{} from {} to {}", moved.rule, moved.from, moved.to))
        .collect();
    Some(format!(
        "No priority is free in {}; these rules move, which changes no packet's verdict: {}",
        checkpoint.group.value.name,
        moves.join(", ")
    ))
}

fn step(checkpoint: &Checkpoint, placement: &Placement) -> Result<Step, PluginError> {
    let group = &checkpoint.group;
    let rule = &placement.rule;
    let title = format!(
        "Allow TCP {KUBELET_PORT} {} in {} at priority {}, before {}",
        match checkpoint.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        },
        group.value.name,
        rule.priority,
        placement.blocking
    );
    let nsg = group.resource.clone();
    let effect = if placement.renumbered.is_empty() {
        Effect::NsgRuleCreate(NsgRuleEffect {
            nsg,
            rule: to_guest(rule.clone()),
        })
    } else {
        let after = placement
            .apply(&group.value)
            .map_err(naosu_plugin::flow_error)?;
        Effect::NsgRulesReplace(NsgRulesEffect {
            nsg,
            rules: after.rules.into_iter().map(to_guest).collect(),
        })
    };
    Ok(Step { title, effect })
}

fn to_guest(rule: NsgRule) -> GuestRule {
    GuestRule {
        name: rule.name,
        priority: rule.priority,
        direction: match rule.direction {
            Direction::Inbound => GuestDirection::Inbound,
            Direction::Outbound => GuestDirection::Outbound,
        },
        access: match rule.access {
            nsg::Access::Allow => Access::Allow,
            nsg::Access::Deny => Access::Deny,
        },
        protocol: rule.protocol,
        source_prefixes: rule.source_prefixes,
        source_ports: rule.source_ports,
        source_groups: rule.source_groups,
        destination_prefixes: rule.destination_prefixes,
        destination_ports: rule.destination_ports,
        destination_groups: rule.destination_groups,
        description: rule.description,
    }
}
