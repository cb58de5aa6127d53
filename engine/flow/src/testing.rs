//! For tests: a small universe of packets and boxes over it for brute force,
//! and Azure's own examples.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use crate::set::{AddressSet, ConnectionState, Direction, FlowBox, Packet, Protocol, RangeSet};

/// Whether a packet is in a box, judged dimension by dimension.
pub(crate) fn in_box(flow: &FlowBox, packet: &Packet) -> bool {
    let ports_match = flow.source_ports.contains(packet.source_port)
        && flow.destination_ports.contains(packet.destination_port);
    let ports_free = flow.source_ports.is_full() && flow.destination_ports.is_full();
    flow.directions()
        .any(|direction| direction == packet.direction)
        && flow
            .states
            .contains(u8::from(packet.state == ConnectionState::Established))
        && flow.protocols.contains(packet.protocol.0)
        && (ports_free || (packet.protocol.has_ports() && ports_match))
        && flow.sources.contains(packet.source)
        && flow.destinations.contains(packet.destination)
}

/// Addresses 0..3 and the rest of each family; ports 0..3 and the rest.
pub(crate) fn universe() -> Vec<Packet> {
    let v4: Vec<IpAddr> = (0..4).map(|n| Ipv4Addr::from_bits(n).into()).collect();
    let v6: Vec<IpAddr> = (0..2).map(|n| Ipv6Addr::from_bits(n).into()).collect();
    let pairs: Vec<(IpAddr, IpAddr)> = [v4, v6]
        .iter()
        .flat_map(|family| {
            family
                .iter()
                .flat_map(|a| family.iter().map(|b| (*a, *b)))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut packets = Vec::new();
    for direction in Direction::ALL {
        for state in [ConnectionState::New, ConnectionState::Established] {
            for protocol in [Protocol::ICMP, Protocol::TCP, Protocol::UDP] {
                for (source, destination) in &pairs {
                    for source_port in 0..3 {
                        for destination_port in 0..4 {
                            packets.push(Packet {
                                direction,
                                state,
                                protocol,
                                source: *source,
                                destination: *destination,
                                source_port,
                                destination_port,
                            });
                        }
                    }
                }
            }
        }
    }
    packets
}

/// Ranges that cut the small universe.
pub(crate) fn ranges<const MAX: u128>(top: u128) -> impl Strategy<Value = RangeSet<MAX>> {
    prop_oneof![
        3 => Just(RangeSet::full()),
        2 => (0..top, 0..=top).prop_map(|(first, length)| RangeSet::range(first, first + length)),
        1 => (0..top).prop_map(|first| RangeSet::range(first, MAX)),
        1 => Just(RangeSet::empty()),
    ]
}

/// Boxes that cut the small universe.
pub(crate) fn flow() -> impl Strategy<Value = FlowBox> {
    (
        (ranges(3), ranges(2), ranges(18)),
        (ranges(4), ranges(2), ranges(4), ranges(2)),
        (ranges(2), ranges(3)),
    )
        .prop_map(
            |((directions, states, protocols), (s4, s6, d4, d6), (source_ports, ports))| FlowBox {
                directions,
                states,
                protocols,
                sources: AddressSet { v4: s4, v6: s6 },
                source_ports,
                destinations: AddressSet { v4: d4, v6: d6 },
                destination_ports: ports,
            },
        )
}

/// The directory with Azure's reference data; none when it is not there.
fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("NAOSU_AZURE_REFERENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/azure"),
        PathBuf::from,
    );
    path.is_dir().then_some(path)
}

/// The answer of one of Azure's own examples, where they are at hand.
pub(crate) fn example(name: &str) -> Option<Value> {
    let Some(reference) = reference() else {
        println!("skipped: no Azure reference data");
        return None;
    };
    let path = reference
        .join("examples/Microsoft.Network/2021-02-01")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let example: Value = serde_json::from_str(&text).unwrap();
    Some(example["responses"]["200"]["body"].clone())
}
