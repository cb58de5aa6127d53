//! The rules: one a firewall that stops the tunnel.

use std::{collections::BTreeSet, net::IpAddr};

use naosu_plugin::{
    Access, Cluster, Effect, FirewallRule as GuestRule, FirewallRuleEffect, PluginError, Proposal,
    Reads, Step,
    flow::{
        firewall::{FirewallRule, RuleKind},
        set::AddressSet,
    },
    listed, prefixes, step,
    way_out::{Leg, Way, WayOut},
};

use crate::{
    judge,
    judged::{Fault, Judged},
    parameters::{Parameters, Scope},
    place::{self, Placement, Request},
};

/// A rule with its place.
pub struct Addition {
    rule: FirewallRule,
    placement: Placement,
}

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    parameters: &Parameters,
) -> Result<Proposal, PluginError> {
    let way = match Way::observe(reads, cluster)? {
        Way::Out(way) => way,
        Way::NotNeeded(why, _) | Way::Unknown(why, _) => {
            return Err(PluginError::NothingToDo(why));
        }
    };
    let judged = judge::judge(reads, &way)?;
    if judged.faults.is_empty() && judged.asks.is_empty() {
        return Err(if judged.advice.is_empty() {
            PluginError::NothingToDo(judged.summary)
        } else {
            PluginError::Infeasible(listed(&judged.advice, "; "))
        });
    }
    let additions = additions(&way, &judged, parameters)?;
    let mut warnings = vec![
        "The address of a public API server can change when the cluster is stopped and started; \
         the rule then has to name the new one."
            .to_owned(),
    ];
    if !additions.is_empty() {
        warnings.push(
            "Azure takes minutes to update a firewall, and updates one change at a time."
                .to_owned(),
        );
    }
    if !additions.is_empty() && parameters.scope == Scope::Nodes {
        warnings.push(
            "The rule names today's nodes; nodes that are added later need another one. Scope \
             \"subnet\" covers them."
                .to_owned(),
        );
    }
    if additions
        .iter()
        .any(|addition| addition.placement.may_be_listed)
    {
        warnings.push(
            "The firewall also denies what is on Microsoft's threat intelligence list, which \
             comes before every rule."
                .to_owned(),
        );
    }
    if additions
        .iter()
        .any(|addition| addition.placement.may_be_detected)
    {
        warnings.push(
            "The firewall's intrusion detection also denies connections that match one of its \
             signatures, whatever the rules allow."
                .to_owned(),
        );
    }
    warnings.extend(judged.advice.iter().map(|more| format!("Besides: {more}")));
    let mut steps = Vec::new();
    for addition in &additions {
        steps.push(step_of(addition));
    }
    for ask in &judged.asks {
        // A plan with a step that a person does cannot be applied, and what can be
        // mended should be.
        if additions.is_empty() {
            steps.push(step(
                format!("Have {} let {} pass", ask.of, way.port),
                Effect::Manual(ask.instruction.clone()),
            ));
        } else {
            warnings.push(format!("Not mended by this plan: {}", ask.instruction));
        }
    }
    Ok(Proposal {
        summary: format!("Let {} pass", way.words()),
        steps,
        warnings,
    })
}

/// The rules that open the way, each with its place.
pub fn additions(
    way: &WayOut,
    judged: &Judged,
    parameters: &Parameters,
) -> Result<Vec<Addition>, PluginError> {
    let faults = judged.faults.iter();
    faults
        .map(|fault| addition(way, fault, parameters))
        .collect()
}

fn addition(way: &WayOut, fault: &Fault, parameters: &Parameters) -> Result<Addition, PluginError> {
    let firewall = way.firewalls.get(fault.firewall).ok_or_else(|| {
        PluginError::Malformed("a fault of a firewall that was not observed".to_owned())
    })?;
    let legs: Vec<&Leg> = fault
        .legs
        .iter()
        .filter_map(|at| way.legs.get(*at))
        .collect();
    let need = way.need_of(legs.iter().flat_map(|leg| leg.sources()).collect());
    let nodes: BTreeSet<IpAddr> = legs
        .iter()
        .flat_map(|leg| leg.nodes.iter().copied())
        .chain(need.sources())
        .collect();
    let (sources, texts) = sources(way, &legs, nodes, parameters.scope)?;
    let rule = FirewallRule {
        name: format!(
            "tunnel-{}-{}",
            way.port.protocol_of_firewall().to_ascii_lowercase(),
            way.port.number
        ),
        kind: RuleKind::Network,
        protocols: vec![way.port.protocol_of_firewall().to_owned()],
        sources: texts,
        source_ip_groups: Vec::new(),
        destinations: way.server.destinations.texts(),
        destination_ip_groups: Vec::new(),
        destination_names: Vec::new(),
        destination_ports: vec![way.port.number.to_string()],
    };
    let request = Request {
        rule: rule.clone(),
        need,
        sources,
        name: &parameters.collection_name,
        priority: parameters.collection_priority,
    };
    let placement = place::place(firewall, &request, &way.tags)?;
    Ok(Addition { rule, placement })
}

/// What the rule names as its sources: addresses, and as text.
fn sources(
    way: &WayOut,
    legs: &[&Leg],
    nodes: BTreeSet<IpAddr>,
    scope: Scope,
) -> Result<(AddressSet, Vec<String>), PluginError> {
    let exact = prefixes::exactly(nodes);
    let mut prefixes = exact.clone();
    if scope == Scope::Subnet {
        prefixes.clear();
        for leg in legs {
            let Some(subnet) = way.network.subnets.get(&leg.subnet.key()) else {
                continue;
            };
            for text in subnet.value.properties.prefixes() {
                prefixes.push(text.parse().map_err(|_| {
                    PluginError::Malformed(format!("{}: {text:?} is no prefix", subnet.resource))
                })?);
            }
        }
        prefixes.sort_unstable();
        prefixes.dedup();
    }
    Ok((AddressSet::prefixes(&prefixes), prefixes::texts(&prefixes)))
}

fn step_of(addition: &Addition) -> Step {
    let Addition { rule, placement } = addition;
    let before = match &placement.before {
        Some(rule) => format!(", before {rule}"),
        None => String::new(),
    };
    step(
        format!(
            "Allow {} {} in collection {} of {} at priority {}{before}",
            rule.protocols.join(","),
            rule.destination_ports.join(","),
            placement.collection,
            placement.home,
            placement.priority,
        ),
        Effect::FirewallRuleAdd(FirewallRuleEffect {
            resource: placement.resource.clone(),
            collection: placement.collection.clone(),
            collection_priority: placement.priority,
            access: Access::Allow,
            rule: GuestRule {
                name: rule.name.clone(),
                protocols: rule.protocols.clone(),
                source_addresses: rule.sources.clone(),
                destination_addresses: rule.destinations.clone(),
                destination_ports: rule.destination_ports.clone(),
            },
        }),
    )
}
