//! Where routes lead the agents' packets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use naosu_flow::{firewall::NextHop, set::AddressSet};

use super::{Start, WayOut};
use crate::{
    Destinations, Evidence, NodeNetwork, PluginError, Reads, ResourceId,
    azure_firewall::{self, AzureFirewall},
    prefixes,
    routes::{Hop, Routes, next_hop_words},
};

/// Prefixes of nodes that an instruction for a person names.
const NAMED_PREFIXES: usize = 16;

/// The packets of some agents as one route of their subnet sends them.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The agents' subnet.
    pub subnet: ResourceId,
    /// The agents.
    pub starts: Vec<Start>,
    /// Addresses of all nodes of the subnet: an agent may come up on any.
    pub nodes: BTreeSet<IpAddr>,
    /// Where their packets go next.
    pub next: Next,
    /// What decides.
    pub evidence: Vec<Evidence>,
}

/// Where packets go next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// To their destination.
    Direct,
    /// To the Azure Firewall of this index.
    Firewall(usize),
    /// To an appliance whose rules Azure does not show.
    Appliance {
        /// Its address.
        address: IpAddr,
        /// Why it is not known to be an Azure Firewall, if looking failed.
        doubt: Option<String>,
    },
    /// To a virtual network gateway, and what is behind it.
    Gateway,
    /// Nowhere: they are dropped; says why.
    Dropped(String),
    /// That is not known; says why.
    Unknown(String),
}

type Followed = (Vec<Leg>, Vec<AzureFirewall>);

/// Follows the routes of the agents' subnets.
pub(super) fn follow(
    reads: &dyn Reads,
    way: &WayOut,
    routes: &Routes,
) -> Result<Followed, PluginError> {
    let mut by_subnet: BTreeMap<String, (ResourceId, Vec<Start>)> = BTreeMap::new();
    for start in &way.starts {
        let interface = start
            .interface
            .and_then(|at| way.network.interfaces.get(at));
        let Some(interface) = interface else { continue };
        let entry = by_subnet.entry(interface.subnet.key());
        let (_, starts) = entry.or_insert_with(|| (interface.subnet.clone(), Vec::new()));
        starts.push(start.clone());
    }
    let mut following = Following {
        reads,
        way,
        routes,
        found: BTreeMap::new(),
        firewalls: Vec::new(),
    };
    let mut legs = Vec::new();
    for (subnet, starts) in by_subnet.into_values() {
        let nodes = way.network.interfaces.iter();
        let nodes = nodes.filter(|interface| interface.subnet == subnet);
        let nodes: BTreeSet<IpAddr> = nodes.map(|interface| interface.address).collect();
        for (next, evidence) in following.next_of(&subnet)? {
            legs.push(Leg {
                subnet: subnet.clone(),
                starts: starts.clone(),
                nodes: nodes.clone(),
                next,
                evidence,
            });
        }
    }
    Ok((legs, following.firewalls))
}

struct Following<'a> {
    reads: &'a dyn Reads,
    way: &'a WayOut,
    routes: &'a Routes,
    found: BTreeMap<IpAddr, Next>,
    firewalls: Vec<AzureFirewall>,
}

type Nexts = Vec<(Next, Vec<Evidence>)>;

impl Following<'_> {
    fn next_of(&mut self, subnet: &ResourceId) -> Result<Nexts, PluginError> {
        let space = self.routes.space();
        let destinations = &self.way.server.destinations;
        let to = match (destinations.known(&self.way.tags), destinations) {
            (Some(known), Destinations::Hosts(_)) => known,
            // A public API server has an IPv4 address, outside of the network.
            (Some(known), Destinations::Tag(_)) => known.intersection(&AddressSet::any_v4()),
            (None, _) => space.complement().intersection(&AddressSet::any_v4()),
        };
        let hops = match self.routes.hops(subnet, &to) {
            Ok(hops) => hops,
            Err(reason) => return Ok(vec![(Next::Unknown(reason), Vec::new())]),
        };
        if let Destinations::Tag(tag) = destinations
            && hops.len() > 1
        {
            let evidence = hops.into_iter().map(|hop| hop.evidence).collect();
            let reason = format!(
                "routes send addresses of {tag} different ways, and the API server's is not known"
            );
            return Ok(vec![(Next::Unknown(reason), evidence)]);
        }
        Ok(hops
            .into_iter()
            .map(|hop| {
                let mut evidence = vec![hop.evidence.clone()];
                let next = self.next_at(subnet, &hop, &space, &mut evidence);
                (next, evidence)
            })
            .collect())
    }

    fn next_at(
        &mut self,
        subnet: &ResourceId,
        hop: &Hop,
        space: &AddressSet,
        evidence: &mut Vec<Evidence>,
    ) -> Next {
        let is_inside = hop.destinations.is_subset(space);
        let is_private = is_private(&hop.destinations);
        let route = &hop.evidence.value;
        match hop.next {
            // A private endpoint has a route of its own, which no table lists.
            NextHop::VirtualAppliance(_) | NextHop::VirtualNetworkGateway | NextHop::None
                if is_inside && self.way.cluster.value.is_private() =>
            {
                Next::Unknown(format!(
                    "route {route} diverts it, unless Azure's own route to the private endpoint wins"
                ))
            }
            NextHop::VirtualAppliance(address) => self.behind(address, evidence),
            NextHop::VirtualNetworkGateway => Next::Gateway,
            NextHop::None => Next::Dropped(format!("route {route} drops it")),
            NextHop::Internet if is_inside => Next::Dropped(format!(
                "route {route} sends an address of the network to the internet"
            )),
            NextHop::Internet if is_private => Next::Unknown(
                "the API server's private address is in no network that could be read".to_owned(),
            ),
            NextHop::Internet if hop.is_system_route && self.routes.may_learn(subnet) => {
                Next::Unknown(
                    "the network has a gateway, and the routes that it teaches are not listed"
                        .to_owned(),
                )
            }
            NextHop::VirtualNetwork if !is_inside => Next::Dropped(format!(
                "route {route} keeps an address inside that is not of the network"
            )),
            NextHop::Internet | NextHop::VirtualNetwork => Next::Direct,
        }
    }

    /// What has this address, looked for once.
    fn behind(&mut self, address: IpAddr, evidence: &mut Vec<Evidence>) -> Next {
        let next = match self.found.get(&address) {
            Some(known) => known.clone(),
            None => {
                let next = match azure_firewall::find(self.reads, &self.way.network, address) {
                    Ok(Some(firewall)) => {
                        self.firewalls.push(firewall);
                        Next::Firewall(self.firewalls.len() - 1)
                    }
                    Ok(None) => Next::Appliance {
                        address,
                        doubt: None,
                    },
                    Err(doubt) => Next::Appliance {
                        address,
                        doubt: Some(doubt),
                    },
                };
                self.found.insert(address, next.clone());
                next
            }
        };
        if let Next::Firewall(index) = next
            && let Some(firewall) = self.firewalls.get(index)
        {
            evidence.push(firewall.resource.evidence(
                "properties.ipConfigurations[].properties.privateIPAddress",
                address.to_string(),
                format!("the appliance is Azure Firewall {}", firewall.name),
            ));
        }
        next
    }
}

/// Whether an address lies in the private ranges.
fn is_private(destinations: &AddressSet) -> bool {
    let first = destinations
        .to_prefixes()
        .first()
        .map(|prefix| prefix.addr());
    match first {
        Some(IpAddr::V4(address)) => address.is_private(),
        Some(IpAddr::V6(address)) => address.is_unique_local(),
        None => false,
    }
}

impl Next {
    /// In words, for a sentence that begins with the packets.
    pub fn words(&self, firewalls: &[AzureFirewall]) -> String {
        match self {
            Self::Direct => "go straight to the API server".to_owned(),
            Self::Firewall(index) => {
                let name = firewalls.get(*index).map_or("", |firewall| &firewall.name);
                format!("go through Azure Firewall {name}")
            }
            Self::Appliance { address, .. } => format!("go through the appliance {address}"),
            Self::Gateway => format!("go to {}", next_hop_words(NextHop::VirtualNetworkGateway)),
            Self::Dropped(why) | Self::Unknown(why) => why.clone(),
        }
    }
}

impl Leg {
    /// The agents' own addresses.
    pub fn sources(&self) -> BTreeSet<IpAddr> {
        self.starts.iter().map(|start| start.address).collect()
    }

    /// The nodes that agents may come up on, as rules write them: their addresses
    /// or, where those are many, the prefixes of their subnet.
    pub fn node_texts(&self, network: &NodeNetwork) -> Vec<String> {
        let texts = prefixes::texts(&prefixes::exactly(self.nodes.iter().copied()));
        let subnet = network.subnets.get(&self.subnet.key());
        match subnet {
            Some(subnet) if texts.len() > NAMED_PREFIXES => {
                let prefixes = subnet.value.properties.prefixes();
                prefixes.map(str::to_owned).collect()
            }
            _ => texts,
        }
    }
}
