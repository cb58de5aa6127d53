//! What is known of the node whose rules are given.

use ipnet::IpNet;
use naosu_engine::Error;
use naosu_flow::{
    iptables::{InterfaceKnowledge, Knowledge, LocalAddresses, PeerInterfaces},
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
        None if way == Way::FromPod => InterfaceKnowledge::NotLoopback,
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
            Way::In | Way::Out => interface.clone(),
        },
        out_interface: interface,
        local_addresses: match addresses.as_slice() {
            [] => LocalAddresses::default(),
            all => LocalAddresses::all(all),
        },
        socket_mark: socket_mark.transpose()?,
        ..Knowledge::default()
    })
}

/// Whether something is told of the node.
pub fn is_told(known: &KnownNode) -> bool {
    !known.addresses.is_empty() || known.interface.is_some() || known.socket_mark.is_some()
}
