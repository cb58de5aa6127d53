//! The allow rules: one a group and direction that blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    judge,
    parameters::{Parameters, Scope},
    situation::{Situation, is_to_nodes},
};
use naosu_plugin::{
    Access, Cluster, Direction as GuestDirection, Effect, Need, NsgRule as GuestRule,
    NsgRuleEffect, NsgRulesEffect, Pairing, PluginError, Proposal, Reads, Step,
    flow::nsg::{
        self, Direction, MAX_PRIORITY, MIN_PRIORITY, Nsg, NsgRule, Placement, PlacementRequest,
        place,
    },
    flow_error, placement_error, prefixes,
    security_groups::Checkpoint,
    step,
};

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    parameters: &Parameters,
) -> Result<Proposal, PluginError> {
    let situation = Situation::observe(reads, cluster)?;
    let judged = judge::judge(&situation)?;
    if judged.nothing_blocks() {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    if let Some(reason) = judge::infeasible(&situation, &judged) {
        return Err(PluginError::Infeasible(reason));
    }
    let mut steps = Vec::new();
    let mut warnings = Vec::new();
    let mut whats = BTreeSet::new();
    // Each rule is placed in its group as the steps before it leave it.
    let mut groups: BTreeMap<String, Nsg> = BTreeMap::new();
    for checkpoint in judged
        .blocking
        .iter()
        .filter_map(|at| situation.checkpoints.get(*at))
    {
        let key = checkpoint.group.resource.to_ascii_lowercase();
        let before = groups.remove(&key);
        let before = before.unwrap_or_else(|| checkpoint.group.value.clone());
        let placement = placement(&situation, checkpoint, &before, parameters)?;
        if let Some(warning) = renumbering_warning(&before, &placement) {
            warnings.push(warning);
        }
        let after = placement.apply(&before).map_err(flow_error)?;
        steps.push(step_of(checkpoint, &placement, &after));
        groups.insert(key, after);
        whats.insert(situation.words(&checkpoint.need));
        if !is_to_nodes(&checkpoint.need) {
            warnings.push(WAY_OUT_WARNING.to_owned());
        }
    }
    if parameters.scope == Scope::Addresses {
        warnings.push(
            match situation.tunnel.api_server_subnet() {
                Some(_) => {
                    "The rule names today's nodes; nodes that are added later need another one. \
                     Scope \"subnet\" covers them."
                }
                None => {
                    "The rule names today's agents and nodes; nodes that are added later and \
                     agents that move need another one. Scope \"subnet\" covers them."
                }
            }
            .to_owned(),
        );
    }
    warnings.sort_unstable();
    warnings.dedup();
    let whats: Vec<String> = whats.into_iter().collect();
    Ok(Proposal {
        summary: format!("Let {} pass", whats.join(" and ")),
        steps,
        warnings,
    })
}

const WAY_OUT_WARNING: &str = "The address of a public API server can change when the cluster is \
                               stopped and started; the rule then has to name the new one.";

fn placement(
    situation: &Situation,
    checkpoint: &Checkpoint,
    group: &Nsg,
    parameters: &Parameters,
) -> Result<Placement, PluginError> {
    let required = checkpoint.flows(&situation.tags).ok_or_else(|| {
        PluginError::Infeasible(format!(
            "the addresses of {} are not known, so no rule can be shown to do; see that the \
             service tags or the endpoints of the service kubernetes can be read",
            checkpoint.need.destination_texts().join(", ")
        ))
    })?;
    let request = PlacementRequest {
        rule: rule(situation, checkpoint, group, parameters)?,
        required,
        pinned: BTreeSet::new(),
    };
    let placement = place(group, &request, &situation.tags).map_err(placement_error)?;
    match parameters.priority {
        Some(priority) => at_priority(group, checkpoint.direction, placement, priority),
        None => Ok(placement),
    }
}

/// The placement at the number that was asked for, if that number would do.
fn at_priority(
    group: &Nsg,
    direction: Direction,
    mut placement: Placement,
    priority: u16,
) -> Result<Placement, PluginError> {
    let mut rules = group.evaluated(direction);
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
    group: &Nsg,
    parameters: &Parameters,
) -> Result<NsgRule, PluginError> {
    let mut sources = checkpoint.need.sources();
    // An agent may come up on any of these nodes.
    sources.extend(&checkpoint.other_sources);
    let (destinations, default_name, description) = if is_to_nodes(&checkpoint.need) {
        (
            scoped(situation, parameters.scope, &destinations(&checkpoint.need)),
            "naosu-allow-kubelet",
            match situation.tunnel.api_server_subnet() {
                Some(_) => "API server to kubelets, so that logs and exec work",
                None => "Tunnel agents to kubelets, so that logs, exec and webhooks work",
            },
        )
    } else {
        (
            checkpoint.need.destination_texts(),
            "naosu-allow-tunnel",
            "Tunnel agents to the API server, so that the tunnel comes up",
        )
    };
    let wanted = parameters.rule_name.as_deref().unwrap_or(default_name);
    Ok(NsgRule {
        name: free_name(group, checkpoint.direction, wanted)?,
        priority: 0,
        direction: checkpoint.direction,
        access: nsg::Access::Allow,
        protocol: checkpoint.need.port.protocol_of_nsg().to_owned(),
        source_prefixes: scoped(situation, parameters.scope, &sources),
        source_ports: vec!["*".to_owned()],
        source_groups: Vec::new(),
        destination_prefixes: destinations,
        destination_ports: vec![checkpoint.need.port.number.to_string()],
        destination_groups: Vec::new(),
        description: description.to_owned(),
    })
}

fn destinations(need: &Need) -> BTreeSet<IpAddr> {
    let hosts = |pairing: &Pairing| match &pairing.destinations {
        naosu_plugin::Destinations::Hosts(hosts) => hosts.clone(),
        naosu_plugin::Destinations::Tag(_) => BTreeSet::new(),
    };
    need.pairings.iter().flat_map(hosts).collect()
}

/// A name that no rule of the group has: a number is added where it is taken.
fn free_name(group: &Nsg, direction: Direction, wanted: &str) -> Result<String, PluginError> {
    let suffix = match direction {
        Direction::Inbound => "-in",
        Direction::Outbound => "-out",
    };
    let base = format!("{wanted}{suffix}");
    let numbered = (2..=1000).map(|number| format!("{base}-{number}"));
    let mut names = std::iter::once(base.clone()).chain(numbered);
    names
        .find(|name| group.rule(name).is_none())
        .ok_or_else(|| {
            PluginError::InvalidParameter(format!(
                "rule_name: every name like {base} is taken in {}; give another",
                group.name
            ))
        })
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

fn renumbering_warning(group: &Nsg, placement: &Placement) -> Option<String> {
    if placement.renumbered.is_empty() {
        return None;
    }
    let moves: Vec<String> = placement
        .renumbered
        .iter()
        .map(|moved| format!("{} from {} to {}", moved.rule, moved.from, moved.to))
        .collect();
    let fewer = if placement.is_fewest {
        ""
    } else {
        ". There are too many ways to try them all: moving fewer rules might do"
    };
    Some(format!(
        "No priority is free in {}; these rules move, which changes no packet's verdict: {}{fewer}",
        group.name,
        moves.join(", ")
    ))
}

/// What is left for rules to come at the same place.
fn room(placement: &Placement) -> String {
    match (placement.renumbered.len(), placement.room_left) {
        (0, 0) => "the last number free there".to_owned(),
        (0, 1) => "1 more number free there".to_owned(),
        (0, left) => format!("{left} more numbers free there"),
        (1, _) => "by moving 1 rule".to_owned(),
        (moved, _) => format!("by moving {moved} rules"),
    }
}

fn step_of(checkpoint: &Checkpoint, placement: &Placement, after: &Nsg) -> Step {
    let group = &checkpoint.group;
    let rule = &placement.rule;
    let title = format!(
        "Allow {} {} in {} at priority {}, before {} ({})",
        checkpoint.need.port,
        match checkpoint.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        },
        group.value.name,
        rule.priority,
        placement.blocking,
        room(placement)
    );
    let nsg = group.resource.clone();
    let effect = if placement.renumbered.is_empty() {
        Effect::NsgRuleCreate(NsgRuleEffect {
            nsg,
            rule: to_guest(rule.clone()),
        })
    } else {
        Effect::NsgRulesReplace(NsgRulesEffect {
            nsg,
            rules: after.rules.iter().cloned().map(to_guest).collect(),
        })
    };
    step(title, effect)
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
