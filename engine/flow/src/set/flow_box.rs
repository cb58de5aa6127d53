//! A product of ranges: the shape rules are written in.

use std::sync::LazyLock;

use super::address::AddressSet;
use super::dimension;
use super::packet::{ConnectionState, Direction, Packet, Protocol};
use super::ranges::{DirectionSet, PairSet, PortSet, ProtocolSet};

/// The packets that are, in every dimension, inside the given values. Source
/// and destination are always of one family.
///
/// Limiting a port leaves only protocols that have ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowBox {
    /// Inbound (0), outbound (1), forwarded (2), or several.
    pub directions: DirectionSet,
    /// New (0), established (1) or both.
    pub states: PairSet,
    /// Protocol numbers.
    pub protocols: ProtocolSet,
    /// Source addresses.
    pub sources: AddressSet,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination addresses.
    pub destinations: AddressSet,
    /// Destination ports.
    pub destination_ports: PortSet,
}

impl Default for FlowBox {
    fn default() -> Self {
        Self::any()
    }
}

impl FlowBox {
    /// Every packet.
    pub fn any() -> Self {
        Self {
            directions: DirectionSet::full(),
            states: PairSet::full(),
            protocols: ProtocolSet::full(),
            sources: AddressSet::any(),
            source_ports: PortSet::full(),
            destinations: AddressSet::any(),
            destination_ports: PortSet::full(),
        }
    }

    /// One packet; nothing when its addresses are of two families.
    pub fn one(packet: &Packet) -> Self {
        let mut flow = Self::any()
            .with_direction(packet.direction)
            .with_state(packet.state)
            .with_protocol(packet.protocol)
            .with_sources(AddressSet::host(packet.source))
            .with_destinations(AddressSet::host(packet.destination));
        if packet.protocol.has_ports() {
            flow.source_ports = PortSet::single(packet.source_port);
            flow.destination_ports = PortSet::single(packet.destination_port);
        }
        flow
    }

    /// New TCP connections to `ports`.
    pub fn new_tcp(sources: AddressSet, destinations: AddressSet, ports: PortSet) -> Self {
        Self::any()
            .with_state(ConnectionState::New)
            .with_protocol(Protocol::TCP)
            .with_sources(sources)
            .with_destinations(destinations)
            .with_destination_ports(ports)
    }

    /// Only this direction.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.directions = DirectionSet::single(dimension::direction_number(direction));
        self
    }

    /// The directions, in order.
    pub fn directions(&self) -> impl Iterator<Item = Direction> + '_ {
        let directions = Direction::ALL.into_iter();
        directions.filter(|direction| {
            let number = dimension::direction_number(*direction);
            self.directions.contains(number)
        })
    }

    /// Only this connection state.
    #[must_use]
    pub fn with_state(mut self, state: ConnectionState) -> Self {
        self.states = PairSet::single(dimension::state_number(state));
        self
    }

    /// Only this protocol.
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocols = ProtocolSet::single(protocol.0);
        self
    }

    /// Only these protocols.
    #[must_use]
    pub fn with_protocols(mut self, protocols: ProtocolSet) -> Self {
        self.protocols = protocols;
        self
    }

    /// Only these sources.
    #[must_use]
    pub fn with_sources(mut self, sources: AddressSet) -> Self {
        self.sources = sources;
        self
    }

    /// Only these destinations.
    #[must_use]
    pub fn with_destinations(mut self, destinations: AddressSet) -> Self {
        self.destinations = destinations;
        self
    }

    /// Only these source ports.
    #[must_use]
    pub fn with_source_ports(mut self, ports: PortSet) -> Self {
        self.source_ports = ports;
        self
    }

    /// Only these destination ports.
    #[must_use]
    pub fn with_destination_ports(mut self, ports: PortSet) -> Self {
        self.destination_ports = ports;
        self
    }

    /// The protocols the box really holds: those with ports, when a port is
    /// limited.
    pub fn effective_protocols(&self) -> ProtocolSet {
        if !self.limits_ports() || self.protocols.is_subset(&WITH_PORTS) {
            self.protocols.clone()
        } else {
            self.protocols.intersection(&WITH_PORTS)
        }
    }

    fn limits_ports(&self) -> bool {
        !(self.source_ports.is_full() && self.destination_ports.is_full())
    }

    fn has_no_protocol(&self) -> bool {
        if self.limits_ports() {
            !self.protocols.intersects(&WITH_PORTS)
        } else {
            self.protocols.is_empty()
        }
    }

    /// How many ranges describe the box.
    pub(super) fn range_count(&self) -> usize {
        let addresses = |set: &AddressSet| set.v4.ranges().len() + set.v6.ranges().len();
        self.protocols.ranges().len()
            + addresses(&self.sources)
            + self.source_ports.ranges().len()
            + addresses(&self.destinations)
            + self.destination_ports.ranges().len()
    }

    /// Whether no packet is inside.
    pub fn is_empty(&self) -> bool {
        self.directions.is_empty()
            || self.states.is_empty()
            || self.has_no_protocol()
            || self.source_ports.is_empty()
            || self.destination_ports.is_empty()
            || ((self.sources.v4.is_empty() || self.destinations.v4.is_empty())
                && (self.sources.v6.is_empty() || self.destinations.v6.is_empty()))
    }

    /// The packets in both boxes.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            directions: self.directions.intersection(&other.directions),
            states: self.states.intersection(&other.states),
            protocols: self.protocols.intersection(&other.protocols),
            sources: self.sources.intersection(&other.sources),
            source_ports: self.source_ports.intersection(&other.source_ports),
            destinations: self.destinations.intersection(&other.destinations),
            destination_ports: self
                .destination_ports
                .intersection(&other.destination_ports),
        }
    }

    /// Whether the boxes may share a packet; `false` is certain.
    pub fn may_intersect(&self, other: &Self) -> bool {
        self.destination_ports.intersects(&other.destination_ports)
            && self.destinations.intersects(&other.destinations)
            && self.sources.intersects(&other.sources)
            && self.protocols.intersects(&other.protocols)
            && self.directions.intersects(&other.directions)
            && self.states.intersects(&other.states)
            && self.source_ports.intersects(&other.source_ports)
    }
}

/// The numbers of [`Protocol::WITH_PORTS`].
pub fn protocols_with_ports() -> ProtocolSet {
    WITH_PORTS.clone()
}

static WITH_PORTS: LazyLock<ProtocolSet> = LazyLock::new(|| {
    let numbers = Protocol::WITH_PORTS
        .iter()
        .map(|protocol| u128::from(protocol.0));
    ProtocolSet::from_ranges(numbers.map(|number| (number, number)))
});
