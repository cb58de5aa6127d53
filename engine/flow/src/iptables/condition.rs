//! The conditions of a rule.

use std::net::IpAddr;

use ipnet::IpNet;

/// A condition of a rule: a packet must meet every one of them.
///
/// One condition is one generic option or one `-m module` with its options, so
/// that printing gives back what was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// `-s` or `-d`.
    Address {
        /// Which of the packet's addresses.
        side: Side,
        /// The addresses.
        value: Negatable<AddressMask>,
    },
    /// `-i` or `-o`.
    Interface {
        /// The interface the packet came in by, or will leave by.
        side: InterfaceSide,
        /// The pattern: a name, or the beginning of one followed by `+`.
        value: Negatable<String>,
    },
    /// `-p`; 0 stands for every protocol.
    Protocol(Negatable<u8>),
    /// `-p` with a name whose number only the node knows.
    ProtocolName(Negatable<String>),
    /// `-f`: later fragments.
    Fragment {
        /// `! -f`.
        negated: bool,
    },
    /// `-m tcp`, `-m udp` and the like.
    Transport(Transport),
    /// `-m multiport`.
    Multiport {
        /// Which ports are compared.
        side: PortSide,
        /// The ports, as ranges.
        value: Negatable<Vec<PortRange>>,
    },
    /// `-m icmp` or `-m icmp6`.
    Icmp(Negatable<IcmpType>),
    /// `-m conntrack` or `-m state`.
    Connection {
        /// Whether it was written as `-m state --state`.
        state_module: bool,
        /// The states.
        states: Option<Negatable<ConnectionStates>>,
        /// Options other than the state, which are not modelled.
        other: Vec<OptionText>,
    },
    /// `-m mark`.
    Mark(Negatable<MarkValue>),
    /// `-m iprange`.
    IpRange {
        /// `--src-range`.
        source: Option<Negatable<(IpAddr, IpAddr)>>,
        /// `--dst-range`.
        destination: Option<Negatable<(IpAddr, IpAddr)>>,
    },
    /// `-m addrtype`.
    AddressType {
        /// `--src-type`.
        source: Option<Negatable<Vec<String>>>,
        /// `--dst-type`.
        destination: Option<Negatable<Vec<String>>>,
        /// `--limit-iface-in` or `--limit-iface-out`.
        limit_interface: Option<InterfaceSide>,
    },
    /// `-m set --match-set`.
    Set {
        /// The set's name and the packet fields looked up in it.
        value: Negatable<SetLookup>,
        /// Further options, which are not modelled.
        other: Vec<OptionText>,
    },
    /// `-m comment`: says something, matches everything.
    Comment(String),
    /// A module whose meaning is not modelled.
    Unmodelled(Extension),
}

impl Condition {
    /// Whether it asks if the packet's connection is translated.
    pub(super) fn asks_translation(&self) -> bool {
        match self {
            Self::Connection {
                states: Some(states),
                ..
            } => states.value.intersects(ConnectionStates::TRANSLATED),
            _ => false,
        }
    }

    /// Whether the condition matches every packet and so says nothing.
    pub fn is_vacuous(&self) -> bool {
        match self {
            Self::Protocol(value) => value.value == 0 && !value.negated,
            Self::Transport(transport) => transport.is_vacuous(),
            Self::Address { value, .. } => match &value.value {
                AddressMask::Prefix(net) => net.prefix_len() == 0 && !value.negated,
                AddressMask::Mask { .. } => false,
            },
            _ => false,
        }
    }
}

/// A value that may stand after `!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Negatable<T> {
    /// Whether the condition holds for everything but the value.
    pub negated: bool,
    /// The value.
    pub value: T,
}

/// Which of a packet's two addresses, or ports, is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Where the packet comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// Which interface of a packet's way is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceSide {
    /// The one it came in by.
    In,
    /// The one it leaves by.
    Out,
}

/// Addresses as `-s` and `-d` name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressMask {
    /// A prefix without host bits.
    Prefix(IpNet),
    /// An address under a mask that is no prefix.
    Mask {
        /// The bits that are compared.
        address: IpAddr,
        /// Which bits are compared.
        mask: IpAddr,
    },
}

/// Ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

/// Which ports `-m multiport` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSide {
    /// The source port.
    Source,
    /// The destination port.
    Destination,
    /// Either of them.
    Either,
}

/// A transport protocol's own match module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportModule {
    /// `-m tcp`.
    Tcp,
    /// `-m udp`.
    Udp,
    /// `-m udplite`.
    UdpLite,
    /// `-m sctp`.
    Sctp,
    /// `-m dccp`.
    Dccp,
}

impl TransportModule {
    /// The module's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::UdpLite => "udplite",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
        }
    }

    /// The protocol the module reads.
    pub fn protocol(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Dccp => 33,
            Self::Sctp => 132,
            Self::UdpLite => 136,
        }
    }

    /// The module of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::UdpLite, Self::Sctp, Self::Dccp]
            .into_iter()
            .find(|module| module.as_str() == name)
    }
}

/// The conditions of a transport module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transport {
    /// The module.
    pub module: TransportModule,
    /// `--sport`.
    pub source: Option<Negatable<PortRange>>,
    /// `--dport`.
    pub destination: Option<Negatable<PortRange>>,
    /// `--tcp-flags` or `--syn`.
    pub flags: Option<Negatable<TcpFlags>>,
    /// Options that are not modelled, such as `--tcp-option`.
    pub other: Vec<OptionText>,
}

impl Transport {
    /// The module without any option.
    pub fn new(module: TransportModule) -> Self {
        Self {
            module,
            source: None,
            destination: None,
            flags: None,
            other: Vec::new(),
        }
    }

    fn is_vacuous(&self) -> bool {
        self.source.is_none()
            && self.destination.is_none()
            && self.flags.is_none()
            && self.other.is_empty()
    }
}

/// TCP flags: of those in `mask`, exactly those in `set` are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpFlags {
    /// The flags that are looked at.
    pub mask: u8,
    /// Those of them that must be on.
    pub set: u8,
}

impl TcpFlags {
    /// The flags with their bits in the TCP header, in iptables' order.
    pub const NAMES: [(&'static str, u8); 6] = [
        ("FIN", 0x01),
        ("SYN", 0x02),
        ("RST", 0x04),
        ("PSH", 0x08),
        ("ACK", 0x10),
        ("URG", 0x20),
    ];
    /// The SYN flag.
    pub const SYN: u8 = 0x02;
    /// The ACK flag.
    pub const ACK: u8 = 0x10;
    /// `--syn`: a packet that opens a connection.
    pub const OPENING: Self = Self {
        mask: 0x17,
        set: Self::SYN,
    };
}

/// An ICMP type, with or without a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpType {
    /// Whether the module is `icmp6`.
    pub v6: bool,
    /// The type; none for `any`.
    pub number: Option<u8>,
    /// The code.
    pub code: Option<u8>,
}

/// Connection-tracking states, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionStates(u8);

impl ConnectionStates {
    /// The states and their names in the order iptables prints them.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("INVALID", Self(1)),
        ("NEW", Self(2)),
        ("RELATED", Self(4)),
        ("ESTABLISHED", Self(8)),
        ("UNTRACKED", Self(16)),
        ("SNAT", Self(32)),
        ("DNAT", Self(64)),
    ];
    /// No state.
    pub const NONE: Self = Self(0);
    /// A packet that belongs to no connection.
    pub const INVALID: Self = Self(1);
    /// The first packet of a connection.
    pub const NEW: Self = Self(2);
    /// A packet about a connection.
    pub const RELATED: Self = Self(4);
    /// A packet of a connection that went both ways.
    pub const ESTABLISHED: Self = Self(8);
    /// A packet exempted from tracking.
    pub const UNTRACKED: Self = Self(16);
    /// A connection whose addresses were translated, one way or the other.
    pub const TRANSLATED: Self = Self(32 | 64);

    /// Whether any state of `other` is in the set.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set with the states of `other` as well.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A packet mark under a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkValue {
    /// The value.
    pub value: u32,
    /// The bits that count.
    pub mask: u32,
}

/// A look-up in a named set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetLookup {
    /// The set's name.
    pub name: String,
    /// The fields looked up, in order.
    pub fields: Vec<Side>,
}

/// A module, or target, with its options as they were written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension {
    /// The name of the module or target.
    pub name: String,
    /// Its options.
    pub options: Vec<OptionText>,
}

impl Extension {
    /// Whether an option of that name is there.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|text| text.name == option)
    }

    /// The first value of the option of that name.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|text| text.name == option)
            .and_then(|text| text.values.first())
            .map(String::as_str)
    }
}

/// An option as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionText {
    /// Whether `!` stood before it.
    pub negated: bool,
    /// The option with its dashes.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}
