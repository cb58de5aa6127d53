//! Bounds of a packet set, to pass over rules that cannot match at little cost.

use std::net::IpAddr;

use super::condition::{AddressMask, Condition, Negatable, PortRange, PortSide, Side, Transport};
use super::ruleset::Family;
use crate::set::{FlowBox, PacketSet, RangeSet, Space};

/// For each dimension a range that holds every packet of a set of one family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hull {
    protocol: Span,
    sources: Span,
    destinations: Span,
    source_ports: Span,
    destination_ports: Span,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    first: u128,
    last: u128,
}

impl Span {
    fn of<const MAX: u128>(set: &RangeSet<MAX>) -> Self {
        match (set.ranges().first(), set.ranges().last()) {
            (Some(&(first, _)), Some(&(_, last))) => Self { first, last },
            _ => Self { first: 1, last: 0 },
        }
    }

    fn between(first: impl Into<u128>, last: impl Into<u128>) -> Self {
        Self {
            first: first.into(),
            last: last.into(),
        }
    }

    fn joined(self, other: Self) -> Self {
        if self.first > self.last {
            return other;
        }
        if other.first > other.last {
            return self;
        }
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    fn meets(self, other: Self) -> bool {
        self.first.max(other.first) <= self.last.min(other.last)
    }

    fn narrowed(&mut self, other: Self) {
        self.first = self.first.max(other.first);
        self.last = self.last.min(other.last);
    }
}

impl Hull {
    /// The bounds of a set's packets of one family; of everything when the set
    /// has more boxes than are worth looking at.
    pub(super) fn of(space: &Space, family: Family, set: PacketSet) -> Self {
        let boxes = match space.boxes(set) {
            Ok(boxes) => boxes,
            Err(_) => vec![(FlowBox::any(), Vec::new())],
        };
        let spans = boxes.iter().map(|(flow, _)| Self::of_box(family, flow));
        spans
            .reduce(Self::joined)
            .unwrap_or_else(|| Self::of_box(family, &FlowBox::any()))
    }

    fn of_box(family: Family, flow: &FlowBox) -> Self {
        let (sources, destinations) = match family {
            Family::Ipv4 => (Span::of(&flow.sources.v4), Span::of(&flow.destinations.v4)),
            Family::Ipv6 => (Span::of(&flow.sources.v6), Span::of(&flow.destinations.v6)),
        };
        Self {
            protocol: Span::of(&flow.protocols),
            sources,
            destinations,
            source_ports: Span::of(&flow.source_ports),
            destination_ports: Span::of(&flow.destination_ports),
        }
    }

    fn joined(self, other: Self) -> Self {
        Self {
            protocol: self.protocol.joined(other.protocol),
            sources: self.sources.joined(other.sources),
            destinations: self.destinations.joined(other.destinations),
            source_ports: self.source_ports.joined(other.source_ports),
            destination_ports: self.destination_ports.joined(other.destination_ports),
        }
    }

    /// Whether a condition certainly holds for no packet inside.
    pub(super) fn excludes(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Address { side, value } => match span_of_mask(value) {
                Some(span) => !self.addresses(*side).meets(span),
                None => false,
            },
            Condition::Protocol(Negatable {
                negated,
                value: protocol,
            }) => {
                let wanted = Span::between(*protocol, *protocol);
                match negated {
                    false => *protocol != 0 && !self.protocol.meets(wanted),
                    true => {
                        self.protocol.first == wanted.first && self.protocol.last == wanted.last
                    }
                }
            }
            Condition::Transport(Transport {
                module,
                source,
                destination,
                ..
            }) => {
                let protocol = module.protocol();
                !self.protocol.meets(Span::between(protocol, protocol))
                    || source.is_some_and(|range| excluded(self.source_ports, range))
                    || destination.is_some_and(|range| excluded(self.destination_ports, range))
            }
            Condition::Multiport { side, value } if !value.negated => {
                let none = |ports: Span| !value.value.iter().any(|range| ports.meets(span(*range)));
                match side {
                    PortSide::Source => none(self.source_ports),
                    PortSide::Destination => none(self.destination_ports),
                    PortSide::Either => none(self.source_ports) && none(self.destination_ports),
                }
            }
            Condition::IpRange {
                source,
                destination,
            } => {
                let outside = |range: &Option<Negatable<(IpAddr, IpAddr)>>, side| {
                    range.is_some_and(
                        |Negatable {
                             negated,
                             value: (first, last),
                         }| {
                            !negated
                                && !self
                                    .addresses(side)
                                    .meets(Span::between(bits(first), bits(last)))
                        },
                    )
                };
                outside(source, Side::Source) || outside(destination, Side::Destination)
            }
            _ => false,
        }
    }

    /// The bounds of the packets inside that meet the conditions.
    pub(super) fn narrowed(mut self, conditions: &[Condition]) -> Self {
        for condition in conditions {
            match condition {
                Condition::Address { side, value } => {
                    if let Some(span) = span_of_mask(value) {
                        match side {
                            Side::Source => self.sources.narrowed(span),
                            Side::Destination => self.destinations.narrowed(span),
                        }
                    }
                }
                Condition::Protocol(Negatable {
                    negated: false,
                    value,
                }) if *value != 0 => {
                    self.protocol.narrowed(Span::between(*value, *value));
                }
                Condition::Transport(Transport {
                    source,
                    destination,
                    ..
                }) => {
                    if let Some(Negatable {
                        negated: false,
                        value,
                    }) = source
                    {
                        self.source_ports.narrowed(span(*value));
                    }
                    if let Some(Negatable {
                        negated: false,
                        value,
                    }) = destination
                    {
                        self.destination_ports.narrowed(span(*value));
                    }
                }
                _ => {}
            }
        }
        self
    }

    fn addresses(&self, side: Side) -> Span {
        match side {
            Side::Source => self.sources,
            Side::Destination => self.destinations,
        }
    }
}

fn excluded(ports: Span, range: Negatable<PortRange>) -> bool {
    !range.negated && !ports.meets(span(range.value))
}

fn span(range: PortRange) -> Span {
    Span::between(range.first, range.last)
}

fn span_of_mask(value: &Negatable<AddressMask>) -> Option<Span> {
    match value {
        Negatable {
            negated: false,
            value: AddressMask::Prefix(net),
        } => Some(Span::between(bits(net.network()), bits(net.broadcast()))),
        _ => None,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}
