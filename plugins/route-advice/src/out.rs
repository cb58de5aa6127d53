//! The agents' way out to the API server, and the answers' way back where the
//! API server has an address in the network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use naosu_plugin::{
    Destinations, Observed, PluginError, Reads, Transport, admin_rule_words,
    arm::Subnet,
    flow::{firewall::NextHop, set::AddressSet},
    observe_tags,
    routes::{Routes, next_hop_words},
    way_out::{Leg, Next, Probed, WayOut},
};

use crate::judge::{Passage, State, stops};

pub fn passages(reads: &dyn Reads, way: &WayOut) -> Result<Vec<Passage>, PluginError> {
    let stopped = else_stopped(way)?;
    let mut passages = Vec::new();
    for leg in &way.legs {
        let state = match &leg.next {
            Next::Direct | Next::Firewall(_) => State::Straight,
            Next::Dropped(_) => State::Lost,
            Next::Appliance { .. } | Next::Gateway => {
                let tried = way.probe(reads, leg);
                match way.port.transport {
                    Transport::Tcp => State::Diverted {
                        tried,
                        else_stopped: stopped.clone(),
                    },
                    // The tunnel that does not answer may have other reasons.
                    Transport::Udp => State::NotKnown(tried),
                }
            }
            Next::Unknown(_) => State::NotKnown(way.probe(reads, leg)),
        };
        passages.push(Passage {
            words: format!(
                "Packets of {} {}",
                way.words(),
                leg.next.words(&way.firewalls)
            ),
            state,
            evidence: leg.evidence.clone(),
            advice: advice(way, leg),
        });
    }
    passages.extend(back(reads, way, stopped.as_ref())?);
    Ok(passages)
}

/// What stops the way out whatever the routes are, or may: a security admin rule,
/// one of a security group, or rules that are not known.
fn else_stopped(way: &WayOut) -> Result<Option<String>, PluginError> {
    if let Some((rule, _)) = way.judge_admin_rules()?.blocks.first() {
        return Ok(Some(stops(&admin_rule_words(rule))));
    }
    for (checkpoint, outcome) in way.judge_groups()? {
        if let Some(block) = outcome.blocks.first() {
            let group = &checkpoint.group.value.name;
            return Ok(Some(stops(&format!("rule {} of {group}", block.rule.name))));
        }
    }
    Ok(way.admin_rules.unread())
}

fn advice(way: &WayOut, leg: &Leg) -> String {
    let to = way.server.destinations.texts().join(", ");
    let subnet = leg.subnet.name();
    let has_own_address = !way
        .cluster
        .value
        .properties
        .network_profile
        .outbound_type
        .eq_ignore_ascii_case("userDefinedRouting");
    match &leg.next {
        Next::Appliance { address, .. } if has_own_address => format!(
            "add a route for {to} with next hop Internet to the route table of {subnet}: answers \
             to the load balancer's address do not come back through {address}"
        ),
        Next::Appliance { address, .. } => format!(
            "have the appliance at {address} forward {} from {} to {to} and translate the source, \
             so that answers come back through it; or, where the nodes have another way out, add \
             a route for {to} with next hop Internet to the route table of {subnet}",
            way.port,
            leg.node_texts(&way.network).join(", "),
        ),
        Next::Dropped(why) => format!(
            "{why}: change that route of {subnet}, or add one for {to} that leads to the API server"
        ),
        _ => format!("see where the routes of {subnet} lead packets to {to}"),
    }
}

/// Where the API server has an address in the network, its answers follow the
/// routes of its own subnet.
fn back(
    reads: &dyn Reads,
    way: &WayOut,
    stopped: Option<&String>,
) -> Result<Vec<Passage>, PluginError> {
    let Destinations::Hosts(hosts) = &way.server.destinations else {
        return Ok(Vec::new());
    };
    let mut subnets: Vec<Observed<Subnet>> = Vec::new();
    for host in hosts {
        let holding = way.network.subnet_holding(*host);
        subnets.extend(holding.and_then(|id| way.network.any_subnet(&id)));
    }
    subnets.dedup_by_key(|subnet| subnet.value.id.key());
    if subnets.is_empty() {
        return Ok(Vec::new());
    }
    let routes = Routes::observe(reads, &way.network, subnets.iter(), |named| {
        let named = named.iter().map(String::as_str);
        observe_tags(reads, &way.cluster.value, &way.network, named)
    })?;
    let mut passages = Vec::new();
    for subnet in &subnets {
        for leg in &way.legs {
            let sources: BTreeSet<IpAddr> = leg.sources();
            let to = naosu_plugin::prefixes::exactly(sources);
            let hops = routes.hops(&subnet.value.id, &AddressSet::prefixes(&to));
            let hops = match hops {
                Ok(hops) => hops,
                Err(reason) => {
                    passages.push(Passage {
                        words: reason,
                        state: State::NotKnown(way.probe(reads, leg)),
                        evidence: Vec::new(),
                        advice: String::new(),
                    });
                    continue;
                }
            };
            for hop in hops {
                if hop.next == NextHop::VirtualNetwork || leg.next != Next::Direct {
                    continue;
                }
                let tried: Probed = way.probe(reads, leg);
                let name = subnet.value.id.name();
                passages.push(Passage {
                    words: format!(
                        "The agents' packets reach the API server in {name} directly, and its \
                         answers go to {}",
                        next_hop_words(hop.next)
                    ),
                    state: State::Diverted {
                        tried,
                        else_stopped: stopped.cloned(),
                    },
                    evidence: vec![hop.evidence],
                    advice: format!(
                        "let the route table of {name} send the nodes' prefixes to VnetLocal, or \
                         lead both directions through the same appliance"
                    ),
                });
            }
        }
    }
    Ok(passages)
}
