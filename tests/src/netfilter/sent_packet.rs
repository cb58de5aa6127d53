//! Packets as bytes on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use naosu_flow::set::OtherState;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP with these flags.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// The flags byte.
        flags: u8,
    },
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// An echo request of ICMP or ICMPv6.
    EchoRequest,
    /// The ICMP error that a port is not reached, about a packet that the destination
    /// sent to `about`.
    Unreachable {
        /// Whom that packet was for.
        about: IpAddr,
        /// Whether it was one of TCP; one of UDP otherwise.
        is_tcp: bool,
        /// Its source port.
        source: u16,
        /// Its destination port.
        destination: u16,
    },
    /// SCTP, DCCP or UDP-Lite, by number: the ports, and zeros where the rest of the
    /// header is.
    Ported {
        /// Number of the protocol.
        protocol: u8,
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// A protocol without ports, by number.
    Other(u8),
}

/// Protocols with ports beside TCP and UDP: DCCP, SCTP, UDP-Lite.
pub const PORTED: [u8; 3] = [33, 132, 136];
/// Bytes of the longest of their headers.
const PORTED_HEADER: usize = 12;

/// A packet that carries a number to know it again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentPacket {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
    /// The state that connection tracking finds it in, where it neither opens a
    /// connection nor belongs to an open one.
    pub other: Option<OtherState>,
    /// The number.
    pub id: u32,
}

/// Marks a payload as ours.
const MAGIC: [u8; 8] = *b"naosu-or";
/// Marks the payload of a packet that an error of ours is about: an error that the
/// kernel makes about a packet of ours quotes the other words.
const QUOTED_MAGIC: [u8; 8] = *b"naosu-qu";

impl SentPacket {
    /// The IP protocol number.
    pub fn protocol(&self) -> u8 {
        match (self.transport, self.source) {
            (Transport::Tcp { .. }, _) => 6,
            (Transport::Udp { .. }, _) => 17,
            (Transport::EchoRequest | Transport::Unreachable { .. }, IpAddr::V4(_)) => 1,
            (Transport::EchoRequest | Transport::Unreachable { .. }, IpAddr::V6(_)) => 58,
            (Transport::Other(protocol) | Transport::Ported { protocol, .. }, _) => protocol,
        }
    }

    /// The packet from the IP header on, with correct checksums: the kernel's
    /// connection tracking takes others for invalid.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes_with(MAGIC)
    }

    fn bytes_with(&self, magic: [u8; 8]) -> Vec<u8> {
        let mut body = self.body(magic);
        if let Some(at) = self.checksum_offset() {
            let mut covered = match self.transport {
                // Only ICMP for IPv4 leaves the addresses out.
                Transport::EchoRequest | Transport::Unreachable { .. } if self.source.is_ipv4() => {
                    Vec::new()
                }
                _ => self.pseudo_header(body.len()),
            };
            covered.extend_from_slice(&body);
            let sum = internet_checksum(&covered);
            body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let mut packet = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ipv4_header(source, destination, self.protocol(), body.len())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ipv6_header(source, destination, self.protocol(), body.len())
            }
            _ => unreachable!("generated packets have addresses of one family"),
        };
        packet.extend_from_slice(&body);
        packet
    }

    /// The packet that goes the other way: from whom this one is for to its sender, of
    /// the same connection.
    #[must_use]
    pub fn turned_round(self) -> Self {
        let transport = match self.transport {
            Transport::Tcp {
                source,
                destination,
                flags,
            } => Transport::Tcp {
                source: destination,
                destination: source,
                flags,
            },
            Transport::Udp {
                source,
                destination,
            } => Transport::Udp {
                source: destination,
                destination: source,
            },
            Transport::Ported {
                protocol,
                source,
                destination,
            } => Transport::Ported {
                protocol,
                source: destination,
                destination: source,
            },
            Transport::Unreachable {
                is_tcp,
                source,
                destination,
                ..
            } => Transport::Unreachable {
                about: self.destination,
                is_tcp,
                source: destination,
                destination: source,
            },
            Transport::EchoRequest | Transport::Other(_) => self.transport,
        };
        Self {
            source: self.destination,
            destination: self.source,
            transport,
            ..self
        }
    }

    /// The number in a packet that starts with its IP header, if it is ours.
    pub fn id_of(packet: &[u8]) -> Option<u32> {
        Self::id_by(packet, MAGIC)
    }

    fn id_by(packet: &[u8], magic: [u8; 8]) -> Option<u32> {
        // Nothing else in the namespace says the magic words, and answers the
        // kernel makes about our packets put them at the very end only if the
        // packet itself was let through untouched, so its length tells.
        let (protocol, body) = match packet.first()? >> 4 {
            4 => (*packet.get(9)?, packet.get(20..)?),
            _ => (*packet.get(6)?, packet.get(40..)?),
        };
        if let (1, Some(3)) | (58, Some(1)) = (protocol, body.first()) {
            let quoted = body.get(8..)?;
            return (magic == MAGIC).then(|| Self::id_by(quoted, QUOTED_MAGIC))?;
        }
        let header = match protocol {
            6 => 20,
            1 | 17 | 58 => 8,
            ported if PORTED.contains(&ported) => PORTED_HEADER,
            _ => 0,
        };
        let payload = body.get(header..)?;
        let id = payload.strip_prefix(&magic)?;
        (id.len() == 4).then(|| u32::from_be_bytes([id[0], id[1], id[2], id[3]]))
    }

    fn body(&self, magic: [u8; 8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(40);
        match self.transport {
            Transport::Tcp {
                source,
                destination,
                flags,
            } => {
                body.extend_from_slice(&source.to_be_bytes());
                body.extend_from_slice(&destination.to_be_bytes());
                body.extend_from_slice(&1_u32.to_be_bytes());
                let acknowledged = u32::from(flags & 0x10 != 0);
                body.extend_from_slice(&acknowledged.to_be_bytes());
                body.extend_from_slice(&[5 << 4, flags]);
                body.extend_from_slice(&1024_u16.to_be_bytes());
                body.extend_from_slice(&[0; 4]);
            }
            Transport::Udp {
                source,
                destination,
            } => {
                let length = 8 + MAGIC.len() as u16 + 4;
                for field in [source, destination, length, 0] {
                    body.extend_from_slice(&field.to_be_bytes());
                }
            }
            Transport::EchoRequest => {
                let kind = if self.source.is_ipv4() { 8 } else { 128 };
                body.extend_from_slice(&[kind, 0, 0, 0]);
                body.extend_from_slice(&self.id.to_be_bytes());
            }
            Transport::Unreachable { .. } => {
                let kind: [u8; 2] = if self.source.is_ipv4() {
                    [3, 3]
                } else {
                    [1, 4]
                };
                body.extend_from_slice(&kind);
                body.extend_from_slice(&[0; 6]);
                body.extend(
                    self.quoted()
                        .map(|quoted| quoted.bytes_with(QUOTED_MAGIC))
                        .unwrap_or_default(),
                );
                return body;
            }
            Transport::Ported {
                source,
                destination,
                ..
            } => {
                body.extend_from_slice(&source.to_be_bytes());
                body.extend_from_slice(&destination.to_be_bytes());
                body.resize(PORTED_HEADER, 0);
            }
            Transport::Other(_) => {}
        }
        body.extend_from_slice(&magic);
        body.extend_from_slice(&self.id.to_be_bytes());
        body
    }

    /// The packet that an error is about.
    fn quoted(&self) -> Option<Self> {
        let Transport::Unreachable {
            about,
            is_tcp,
            source,
            destination,
        } = self.transport
        else {
            return None;
        };
        Some(Self {
            source: self.destination,
            destination: about,
            transport: match is_tcp {
                true => Transport::Tcp {
                    source,
                    destination,
                    flags: 0x10,
                },
                false => Transport::Udp {
                    source,
                    destination,
                },
            },
            other: None,
            id: self.id,
        })
    }

    fn checksum_offset(&self) -> Option<usize> {
        match self.transport {
            Transport::Tcp { .. } => Some(16),
            Transport::Udp { .. } => Some(6),
            Transport::EchoRequest | Transport::Unreachable { .. } => Some(2),
            Transport::Ported { .. } | Transport::Other(_) => None,
        }
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let mut header = Vec::with_capacity(40);
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(address) => header.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => header.extend_from_slice(&address.octets()),
            }
        }
        header.extend_from_slice(&(length as u32).to_be_bytes());
        header.extend_from_slice(&[0, 0, 0, self.protocol()]);
        header
    }
}

fn ipv4_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&(20 + length as u16).to_be_bytes());
    header.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    let sum = internet_checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

fn ipv6_header(source: Ipv6Addr, destination: Ipv6Addr, next: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend_from_slice(&(length as u16).to_be_bytes());
    header.extend_from_slice(&[next, 64]);
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    header
}

fn internet_checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !(folded as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_known_again_by_its_number() {
        let transports = [
            Transport::Tcp {
                source: 1,
                destination: 2,
                flags: 2,
            },
            Transport::Udp {
                source: 1,
                destination: 2,
            },
            Transport::EchoRequest,
            Transport::Other(253),
            Transport::Unreachable {
                about: "10.0.0.3".parse().unwrap(),
                is_tcp: true,
                source: 1,
                destination: 2,
            },
        ];
        for transport in transports {
            for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
                let source: IpAddr = source.parse().unwrap();
                let transport = match transport {
                    Transport::Unreachable {
                        is_tcp,
                        source: from,
                        destination,
                        ..
                    } => Transport::Unreachable {
                        about: source,
                        is_tcp,
                        source: from,
                        destination,
                    },
                    other => other,
                };
                let packet = SentPacket {
                    source,
                    destination: destination.parse().unwrap(),
                    transport,
                    other: None,
                    id: 0x0102_0304,
                };
                let mut bytes = packet.to_bytes();
                assert_eq!(SentPacket::id_of(&bytes), Some(packet.id), "{packet:?}");
                bytes.push(0);
                assert_eq!(SentPacket::id_of(&bytes), None, "{packet:?}");
            }
        }
    }
}
