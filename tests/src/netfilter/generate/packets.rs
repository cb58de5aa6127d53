//! Generates packets, and names the hosts and sets they are about.

use std::net::IpAddr;

use naosu_flow::iptables::Family;
use naosu_flow::set::OtherState;
use rand::RngExt;

use super::Generator;
use crate::netfilter::sent_packet::{SentPacket, Transport};

/// A set's name by family, and its members.
pub const SETS: [(&str, Family, &[&str]); 2] = [
    (
        "known4",
        Family::Ipv4,
        &["10.3.0.0/25", "10.3.1.7", "10.1.0.0/30"],
    ),
    (
        "known6",
        Family::Ipv6,
        &["fd03::/64", "fd04::7", "fd01::/126"],
    ),
];

const V4_SOURCES: [&str; 10] = [
    "10.3.0.1",
    "10.3.0.200",
    "10.3.1.7",
    "10.3.1.8",
    "10.1.0.3",
    "10.1.0.77",
    "172.16.5.4",
    "8.8.8.8",
    "10.224.0.4",
    "10.3.0.127",
];
const V6_SOURCES: [&str; 8] = [
    "fd03::1",
    "fd03::1:0:0:1",
    "fd04::7",
    "fd04::8",
    "fd01::3",
    "fd01::77",
    "2001:db8::5",
    "fd03:0:0:1::9",
];
const V4_DESTINATIONS: [&str; 5] = ["10.1.0.1", "10.1.0.2", "10.2.0.9", "10.2.3.4", "10.1.0.1"];
const V6_DESTINATIONS: [&str; 5] = ["fd01::1", "fd01::2", "fd02::9", "fd02::3:4", "fd01::1"];
pub(super) const PORTS: [u16; 10] = [1, 22, 80, 443, 999, 1000, 10_250, 10_251, 30_000, 65_535];

/// The connections every host of this oracle knows as established.
pub fn established(family: Family) -> Vec<SentPacket> {
    let mut packets = Vec::new();
    let (sources, destinations) = pools(family);
    for (at, source) in sources.iter().take(4).enumerate() {
        for (place, destination) in destinations.iter().take(3).enumerate() {
            let source_port = 2000 + at as u16;
            let destination_port = PORTS[(at * 3 + place) % PORTS.len()];
            for tcp in [true, false] {
                let transport = match tcp {
                    true => Transport::Tcp {
                        source: source_port,
                        destination: destination_port,
                        flags: 0x10,
                    },
                    false => Transport::Udp {
                        source: source_port,
                        destination: destination_port,
                    },
                };
                packets.push(SentPacket {
                    source: address(source),
                    destination: address(destination),
                    transport,
                    other: None,
                    id: 0,
                });
            }
        }
    }
    packets
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("a constant address")
}

pub(super) fn pools(family: Family) -> (&'static [&'static str], &'static [&'static str]) {
    match family {
        Family::Ipv4 => (&V4_SOURCES, &V4_DESTINATIONS),
        Family::Ipv6 => (&V6_SOURCES, &V6_DESTINATIONS),
    }
}

impl Generator {
    /// Packets, not yet numbered.
    pub fn packets(&mut self, count: usize) -> Vec<SentPacket> {
        let packets: Vec<SentPacket> = (0..count).map(|_| self.packet()).collect();
        let with_state = |(at, packet)| match at % 8 {
            5 => self.related(at),
            6 => invalid(packet),
            7 => SentPacket {
                other: Some(OtherState::Untracked),
                ..packet
            },
            _ => packet,
        };
        packets.into_iter().enumerate().map(with_state).collect()
    }

    /// An error about what the other end of an established connection sent.
    fn related(&self, at: usize) -> SentPacket {
        let established = established(self.family);
        // Packets of one case are about connections far from each other.
        let chosen = (self.seed as usize).wrapping_add(at * 5) % established.len();
        let about = established[chosen];
        let (is_tcp, source, destination) = match about.transport {
            Transport::Tcp {
                source,
                destination,
                ..
            } => (true, source, destination),
            Transport::Udp {
                source,
                destination,
            } => (false, source, destination),
            _ => (false, 0, 0),
        };
        SentPacket {
            transport: Transport::Unreachable {
                about: about.source,
                is_tcp,
                source: destination,
                destination: source,
            },
            other: Some(OtherState::Related),
            ..about
        }
    }

    fn packet(&mut self) -> SentPacket {
        if self.chance(0.3) {
            return self.pick(&established(self.family));
        }
        let (sources, destinations) = pools(self.family);
        let source = address(self.pick(sources));
        let destination = address(self.pick(destinations));
        let transport = match self.rng.random_range(0..10) {
            0..5 => Transport::Tcp {
                source: self.port(),
                destination: self.port(),
                flags: 0x02,
            },
            5..8 => Transport::Udp {
                source: self.port(),
                destination: self.port(),
            },
            8 => Transport::EchoRequest,
            _ => Transport::Other(253),
        };
        SentPacket {
            source,
            destination,
            transport,
            other: None,
            id: 0,
        }
    }

    fn port(&mut self) -> u16 {
        if self.chance(0.8) {
            self.pick(&PORTS)
        } else {
            self.rng.random_range(3000..=u16::MAX)
        }
    }
}

/// A packet of TCP with flags that no connection has, or none that opens one and of
/// none that is open.
fn invalid(packet: SentPacket) -> SentPacket {
    const SYN_AND_FIN: u8 = 0x03;
    const ACK: u8 = 0x10;
    let (source, destination, flags) = match packet.transport {
        // Established ones have that flag.
        Transport::Tcp {
            source,
            destination,
            flags,
        } if flags != ACK => (source, destination, ACK),
        Transport::Tcp {
            source,
            destination,
            ..
        }
        | Transport::Udp {
            source,
            destination,
        } => (source, destination, SYN_AND_FIN),
        _ => (80, 443, SYN_AND_FIN),
    };
    SentPacket {
        transport: Transport::Tcp {
            source,
            destination,
            flags,
        },
        other: Some(OtherState::Invalid),
        ..packet
    }
}
