//! What is known of the node whose rules are given.

use ipnet::IpNet;
use naosu_engine::Error;
use naosu_flow::{
    iptables::{Condition, InterfaceKnowledge, Knowledge, LocalAddresses, PeerInterfaces, Ruleset},
    set::AddressSet,
};

use super::{parameter, stays};
use crate::cli::args::KnownNode;

/// How packets pass a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It receives them.
    In,
    /// It sends them.
    Out,
    /// It passes on what a pod with a network of its own sends.
    FromPod,
    /// It passes them on, as the question says.
    Through,
}

/// Addresses that are told to be the node's own.
pub fn own(known: &KnownNode, option: &str) -> Result<AddressSet, Error> {
    Ok(hosts(&addresses(known, option)?))
}

fn addresses(known: &KnownNode, option: &str) -> Result<Vec<IpNet>, Error> {
    parameter::prefixes(&format!("{option}node-address"), &known.addresses)
}

fn hosts(addresses: &[IpNet]) -> AddressSet {
    let hosts: Vec<AddressSet> = addresses
        .iter()
        .map(|net| AddressSet::host(net.addr()))
        .collect();
    AddressSet::union_all(&hosts)
}

/// What a node does with packets is asked knowing this.
pub fn knowledge(known: &KnownNode, option: &str, way: Way) -> Result<Knowledge, Error> {
    let named = |name: &str| format!("{option}{name}");
    let addresses = addresses(known, option)?;
    let mark = known.socket_mark.as_deref();
    let socket_mark = mark.map(|text| parameter::mark(&named("socket-mark"), text));
    let interface = match &known.interface {
        Some(name) => InterfaceKnowledge::Named(name.clone()),
        None if matches!(way, Way::FromPod | Way::Through) => InterfaceKnowledge::NotLoopback,
        // What a node sends to an address of its own takes the loopback.
        None => InterfaceKnowledge::ByPeer(PeerInterfaces {
            loopback: hosts(&addresses).union(&stays::loopback()),
            named: Vec::new(),
        }),
    };
    Ok(Knowledge {
        in_interface: match way {
            // That of the pod, which nothing tells.
            Way::FromPod => InterfaceKnowledge::NotLoopback,
            Way::In | Way::Out | Way::Through => named_or(&known.in_interface, &interface),
        },
        out_interface: named_or(&known.out_interface, &interface),
        local_addresses: match addresses.as_slice() {
            [] => LocalAddresses::default(),
            all => LocalAddresses::all(all),
        },
        socket_mark: socket_mark.transpose()?,
        ..Knowledge::default()
    })
}

fn named_or(name: &Option<String>, otherwise: &InterfaceKnowledge) -> InterfaceKnowledge {
    let name = name.clone().map(InterfaceKnowledge::Named);
    name.unwrap_or_else(|| otherwise.clone())
}

/// Whether something is told of the node.
pub fn is_told(known: &KnownNode) -> bool {
    !known.addresses.is_empty() || is_interface_told(known) || known.socket_mark.is_some()
}

/// Whether an interface of the node is told.
pub fn is_interface_told(known: &KnownNode) -> bool {
    let names = [&known.interface, &known.in_interface, &known.out_interface];
    names.into_iter().any(Option::is_some)
}

/// What is said where rulesets ask for fragments.
pub fn note_of_fragments<'a>(rulesets: impl IntoIterator<Item = &'a Ruleset>) -> Option<String> {
    let tables = rulesets.into_iter().flat_map(|ruleset| &ruleset.tables);
    let mut rules = tables
        .flat_map(|table| &table.chains)
        .flat_map(|chain| &chain.rules);
    let asks = rules.any(|rule| {
        let mut conditions = rule.conditions.iter();
        conditions.any(|condition| matches!(condition, Condition::Fragment { .. }))
    });
    asks.then(|| {
        "rules with -f are about later fragments of packets, and whole packets were judged: the \
         kernel puts fragments together before its rules wherever it tracks connections"
            .to_owned()
    })
}
