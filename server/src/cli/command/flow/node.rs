//! What is known of the node whose rules are given.

use naosu_engine::Error;
use naosu_flow::{
    iptables::{InterfaceKnowledge, Knowledge, LocalAddresses, PeerInterfaces},
    set::{AddressSet, Packet},
};

use super::parameter;
use crate::cli::args::KnownNode;

/// What a node does with a packet, or with any, is asked knowing this.
pub fn knowledge(known: &KnownNode, packet: Option<&Packet>) -> Result<Knowledge, Error> {
    let addresses = parameter::prefixes("--node-address", &known.addresses)?;
    let mark = known.socket_mark.as_deref();
    let socket_mark = mark.map(|text| parameter::mark("--socket-mark", text));
    let interface = match &known.interface {
        Some(name) => InterfaceKnowledge::Named(name.clone()),
        None if packet.is_some_and(stays) => InterfaceKnowledge::Unknown,
        None if addresses.is_empty() => InterfaceKnowledge::NotLoopback,
        // What a node sends to an address of its own takes the loopback.
        None => {
            let hosts: Vec<AddressSet> = addresses
                .iter()
                .map(|net| AddressSet::host(net.addr()))
                .collect();
            InterfaceKnowledge::ByPeer(PeerInterfaces {
                loopback: AddressSet::union_all(&hosts),
                named: Vec::new(),
            })
        }
    };
    Ok(Knowledge {
        in_interface: interface.clone(),
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

/// Whether a packet does not leave the node by its very addresses.
pub fn stays(packet: &Packet) -> bool {
    packet.source == packet.destination
        || packet.source.is_loopback()
        || packet.destination.is_loopback()
}
