//! One packet, and the small enumerations that describe it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Whether a packet enters the place where a policy is enforced, leaves it, or is
/// passed on by it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the enforcing place.
    Inbound,
    /// Away from it.
    Outbound,
    /// Through it: from others to others. Machines that route know such packets;
    /// rules of Azure do not.
    Forwarded,
}

impl Direction {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Forwarded];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Forwarded => "forwarded",
        }
    }
}

/// Whether a packet opens a connection or belongs to one already open.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// The first packet of a connection.
    New,
    /// A packet of a connection that was already allowed.
    Established,
}

/// An IP protocol number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// GRE.
    pub const GRE: Self = Self(47);
    /// IPsec encapsulating security payload.
    pub const ESP: Self = Self(50);
    /// IPsec authentication header.
    pub const AH: Self = Self(51);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    /// The protocols whose packets carry ports.
    pub const WITH_PORTS: [Self; 5] = [Self::TCP, Self::UDP, Self::DCCP, Self::SCTP, Self::UDPLITE];

    /// Whether packets of this protocol carry ports.
    pub fn has_ports(self) -> bool {
        Self::WITH_PORTS.contains(&self)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::ICMP => "ICMP",
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::DCCP => "DCCP",
            Self::GRE => "GRE",
            Self::ESP => "ESP",
            Self::AH => "AH",
            Self::ICMPV6 => "ICMPv6",
            Self::SCTP => "SCTP",
            Self::UDPLITE => "UDP-Lite",
            Self(number) => return write!(f, "protocol {number}"),
        };
        f.write_str(name)
    }
}

/// One packet. Ports mean nothing for protocols without ports and are ignored
/// there; a packet whose addresses are of two families is in no set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// Which way it goes.
    pub direction: Direction,
    /// New or established.
    pub state: ConnectionState,
    /// Protocol number.
    pub protocol: Protocol,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl Packet {
    /// The inbound packet that opens a TCP connection, from an ephemeral port.
    pub fn new_tcp(source: IpAddr, destination: IpAddr, destination_port: u16) -> Self {
        Self {
            direction: Direction::Inbound,
            state: ConnectionState::New,
            protocol: Protocol::TCP,
            source,
            destination,
            source_port: 49_152,
            destination_port,
        }
    }

    /// The same packet seen in the other direction.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// The same packet in another connection state.
    #[must_use]
    pub fn with_state(mut self, state: ConnectionState) -> Self {
        self.state = state;
        self
    }
}

impl Packet {
    /// The packet in words, as both its ends see it.
    pub fn between_ends(&self) -> String {
        let (protocol, from, to) = (self.protocol, self.source, self.destination);
        if protocol.has_ports() {
            let (source_port, port) = (self.source_port, self.destination_port);
            format!("{protocol} from {from} port {source_port} to {to} port {port}")
        } else {
            format!("{protocol} from {from} to {to}")
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.direction.as_str();
        let state = match self.state {
            ConnectionState::New => "new",
            ConnectionState::Established => "established",
        };
        write!(f, "{direction} {state} {}", self.between_ends())
    }
}
