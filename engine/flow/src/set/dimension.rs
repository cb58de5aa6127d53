//! The order in which diagrams ask a packet's dimensions.
//!
//! Few-valued dimensions that split rules into unrelated groups come first;
//! atoms come last, so that a subtree that still asks an atom is exactly a
//! region whose answer is not known.

use std::net::IpAddr;

use super::arena::Level;
use super::packet::{ConnectionState, Direction, Packet};

pub(super) const DIRECTION: Level = 0;
pub(super) const STATE: Level = 1;
pub(super) const PROTOCOL: Level = 2;
pub(super) const DESTINATION_PORT: Level = 3;
pub(super) const FAMILY: Level = 4;
pub(super) const DESTINATION_V4: Level = 5;
pub(super) const DESTINATION_V6: Level = 6;
pub(super) const SOURCE_V4: Level = 7;
pub(super) const SOURCE_V6: Level = 8;
pub(super) const SOURCE_PORT: Level = 9;
pub(super) const FIRST_ATOM: Level = 10;

pub(super) fn direction_number(direction: Direction) -> u128 {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
        Direction::Forwarded => 2,
    }
}

pub(super) fn state_number(state: ConnectionState) -> u128 {
    match state {
        ConnectionState::New => 0,
        ConnectionState::Established => 1,
    }
}

/// The packet's value in a dimension before the atoms. A packet's two
/// addresses are of one family, so the other family's dimensions are not asked.
pub(super) fn value(packet: &Packet, level: Level) -> u128 {
    match level {
        DIRECTION => direction_number(packet.direction),
        STATE => state_number(packet.state),
        PROTOCOL => u128::from(packet.protocol.0),
        DESTINATION_PORT => u128::from(packet.destination_port),
        FAMILY => u128::from(packet.source.is_ipv6()),
        DESTINATION_V4 | DESTINATION_V6 => address_number(packet.destination),
        SOURCE_V4 | SOURCE_V6 => address_number(packet.source),
        _ => u128::from(packet.source_port),
    }
}

fn address_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}
