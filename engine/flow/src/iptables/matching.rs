//! Which packets meet a rule's conditions.

use super::condition::{
    AddressMask, Condition, ConnectionStates, InterfaceSide, Negatable, PortRange, PortSide, Side,
    TcpFlags, Transport,
};
use super::flow_state::{FlowState, Tracking};
use super::hook::Presence;
use super::knowledge::Knowledge;
use super::masked;
use super::ruleset::{Backend, Family};
use crate::set::{
    AddressSet, AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, PortSet, Protocol,
    ProtocolSet, Space, protocols_with_ports,
};

/// What the conditions of one rule are read against.
pub(super) struct Reading<'a> {
    pub(super) family: Family,
    pub(super) backend: Backend,
    pub(super) knowledge: &'a Knowledge,
    /// Whether the hook has an interface the packet came in by, or leaves by.
    pub(super) has_interface: (Presence, Presence),
    /// Names this visit of the rule: a match that depends on more than the
    /// packet may come out differently at the next one.
    pub(super) visit: &'a dyn Fn() -> String,
}

/// A condition as known ranges and what has to be asked besides.
struct Match<'s> {
    space: &'s mut Space,
    flow: FlowBox,
    terms: Vec<PacketSet>,
    never: bool,
}

impl Reading<'_> {
    /// The packets of `within`, which are in one state, that meet every
    /// condition.
    pub(super) fn matching(
        &self,
        space: &mut Space,
        conditions: &[Condition],
        state: FlowState,
        within: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let mut found = Match {
            space,
            flow: FlowBox::any(),
            terms: Vec::new(),
            never: false,
        };
        for condition in conditions {
            self.apply(&mut found, condition, state)?;
            if found.never {
                return Ok(PacketSet::EMPTY);
            }
        }
        let Match {
            space, flow, terms, ..
        } = found;
        let mut set = if flow == FlowBox::any() {
            within
        } else {
            let flow = space.flow(&flow)?;
            space.intersection(flow, within)?
        };
        for term in terms {
            set = space.intersection(term, set)?;
        }
        Ok(set)
    }

    fn apply(
        &self,
        found: &mut Match<'_>,
        condition: &Condition,
        state: FlowState,
    ) -> Result<(), AnalysisTooComplex> {
        match condition {
            Condition::Comment(_) => Ok(()),
            Condition::Address { side, value } => self.address(found, *side, value),
            Condition::Interface { side, value } => self.interface(found, *side, value),
            Condition::Protocol(value) => {
                let protocols = match value.value {
                    0 => ProtocolSet::full(),
                    protocol => ProtocolSet::single(protocol),
                };
                found.protocols(&negate(value.negated, protocols, ProtocolSet::complement));
                Ok(())
            }
            Condition::ProtocolName(value) => {
                let name = format!("protocol is {}", value.value);
                found.atom(
                    value.negated,
                    &name,
                    "its number is only in the node's /etc/protocols",
                )
            }
            Condition::Fragment { negated } => {
                found.never |= !negated;
                Ok(())
            }
            Condition::Transport(transport) => self.transport(found, transport),
            Condition::Multiport { side, value } => multiport(found, *side, value),
            Condition::Icmp(value) => {
                let protocol = if value.value.v6 {
                    Protocol::ICMPV6
                } else {
                    Protocol::ICMP
                };
                found.protocols(&ProtocolSet::single(protocol.0));
                match value.value.number {
                    None if value.negated => {
                        found.never = true;
                        Ok(())
                    }
                    None => Ok(()),
                    Some(number) => {
                        let code = value.value.code.map(|code| format!(" code {code}"));
                        let name = format!("ICMP type is {number}{}", code.unwrap_or_default());
                        found.atom(value.negated, &name, "ICMP types are not modelled")
                    }
                }
            }
            Condition::Connection { states, other, .. } => {
                if let Some(states) = states {
                    self.connection(found, states, state.tracking)?;
                }
                if other.is_empty() {
                    Ok(())
                } else {
                    self.unmodelled(found, condition)
                }
            }
            Condition::Mark(value) => match state.mark.is(value.value) {
                Some(is) => {
                    found.never |= is == value.negated;
                    Ok(())
                }
                None => self.unmodelled(found, condition),
            },
            Condition::IpRange {
                source,
                destination,
            } => {
                for (side, range) in [(Side::Source, source), (Side::Destination, destination)] {
                    if let Some(Negatable {
                        negated,
                        value: (first, last),
                    }) = range
                    {
                        let set = AddressSet::range(*first, *last);
                        found.addresses(side, &negate(*negated, set, AddressSet::complement));
                    }
                }
                Ok(())
            }
            Condition::AddressType {
                limit_interface: Some(_),
                ..
            } => self.unmodelled(found, condition),
            Condition::AddressType {
                source,
                destination,
                limit_interface: None,
            } => {
                for (side, types) in [(Side::Source, source), (Side::Destination, destination)] {
                    if let Some(types) = types {
                        self.address_type(found, side, types)?;
                    }
                }
                Ok(())
            }
            Condition::Set { value, other } => {
                let known = match value.value.fields.as_slice() {
                    [side] if other.is_empty() => self
                        .knowledge
                        .address_sets
                        .get(&value.value.name)
                        .map(|set| (side, set)),
                    _ => None,
                };
                match known {
                    Some((side, members)) => {
                        let members = members.clone();
                        found.addresses(
                            *side,
                            &negate(value.negated, members, AddressSet::complement),
                        );
                        Ok(())
                    }
                    None if other.is_empty() => {
                        let name = format!("packet is in set {}", value.value);
                        found.atom(value.negated, &name, "the set's members are not known")
                    }
                    None => self.unmodelled(found, condition),
                }
            }
            // Modules about an extension header match no packet without it,
            // negated or not.
            Condition::Unmodelled(module)
                if self.family == Family::Ipv6
                    && matches!(module.name.as_str(), "dst" | "frag" | "hbh" | "rt") =>
            {
                found.never = true;
                Ok(())
            }
            Condition::Unmodelled(_) => self.unmodelled(found, condition),
        }
    }

    /// Leaves it open whether a condition holds, at this visit of the rule.
    fn unmodelled(
        &self,
        found: &mut Match<'_>,
        condition: &Condition,
    ) -> Result<(), AnalysisTooComplex> {
        let text = condition.to_string();
        let text = text.trim();
        let name = format!("{text} matches in {}", (self.visit)());
        found.atom(
            false,
            &name,
            &format!("what {text} matches is not modelled"),
        )
    }

    fn address(
        &self,
        found: &mut Match<'_>,
        side: Side,
        value: &Negatable<AddressMask>,
    ) -> Result<(), AnalysisTooComplex> {
        let set = match value.value {
            AddressMask::Prefix(net) => AddressSet::prefix(net),
            AddressMask::Mask { address, mask } => match masked::addresses(address, mask) {
                Some(set) => set,
                None => {
                    let name = format!("{} is in {}", side_name(side), value.value);
                    let reason = "the mask leaves too many separate ranges";
                    return found.atom(value.negated, &name, reason);
                }
            },
        };
        found.addresses(side, &negate(value.negated, set, AddressSet::complement));
        Ok(())
    }

    fn interface(
        &self,
        found: &mut Match<'_>,
        side: InterfaceSide,
        value: &Negatable<String>,
    ) -> Result<(), AnalysisTooComplex> {
        let (exists, known, word) = match side {
            InterfaceSide::In => (self.has_interface.0, &self.knowledge.in_interface, "in"),
            InterfaceSide::Out => (self.has_interface.1, &self.knowledge.out_interface, "out"),
        };
        let (absent, present) = (Some(value.value == "+"), known.fits(&value.value));
        let fits = match exists {
            Presence::Yes => present,
            Presence::No => absent,
            Presence::Unsure => present.filter(|fits| Some(*fits) == absent),
        };
        match fits {
            Some(fits) => {
                found.never |= fits == value.negated;
                Ok(())
            }
            None => {
                let mut name = format!("{word}-interface is {}", value.value);
                if exists == Presence::Unsure {
                    name.push_str(" in POSTROUTING");
                }
                found.atom(value.negated, &name, "the packet's interface is not known")
            }
        }
    }

    fn transport(
        &self,
        found: &mut Match<'_>,
        transport: &Transport,
    ) -> Result<(), AnalysisTooComplex> {
        found.protocols(&ProtocolSet::single(transport.module.protocol()));
        match (transport.source, transport.destination) {
            (Some(source), Some(destination))
                if self.backend == Backend::Nft && both_refused(source, destination) =>
            {
                refuse_both_ports(found, source.value, destination.value)?;
            }
            (source, destination) => {
                for (side, range) in [(Side::Source, source), (Side::Destination, destination)] {
                    if let Some(range) = range {
                        let ports = ports([range.value].as_slice());
                        found.ports(side, &negate(range.negated, ports, PortSet::complement));
                    }
                }
            }
        }
        if let Some(flags) = &transport.flags {
            let matching = tcp_flags(found.space, flags.value)?;
            found.term(flags.negated, matching)?;
        }
        match transport.other.is_empty() {
            true => Ok(()),
            false => self.unmodelled(found, &Condition::Transport(transport.clone())),
        }
    }

    fn connection(
        &self,
        found: &mut Match<'_>,
        states: &Negatable<ConnectionStates>,
        tracking: Tracking,
    ) -> Result<(), AnalysisTooComplex> {
        let asked = states.value;
        let alike = match tracking {
            Tracking::NotYet => Some(asked.intersects(ConnectionStates::INVALID)),
            Tracking::Untracked => Some(asked.intersects(ConnectionStates::UNTRACKED)),
            Tracking::Tracked | Tracking::Unknown => None,
        };
        if let Some(matches) = alike {
            found.never |= matches == states.negated;
            return Ok(());
        }
        if tracking == Tracking::Unknown {
            let name = format!("connection state is {asked}");
            let reason = "a CT target decides how the connection is tracked";
            return found.atom(states.negated, &name, reason);
        }
        let mut matching = PacketSet::EMPTY;
        for (state, bit) in [
            (ConnectionState::New, ConnectionStates::NEW),
            (ConnectionState::Established, ConnectionStates::ESTABLISHED),
        ] {
            if asked.intersects(bit) {
                let set = found.space.flow(&FlowBox::any().with_state(state))?;
                matching = found.space.union(matching, set)?;
            }
        }
        // A new connection that was translated is unknown before it gets here.
        if asked.intersects(ConnectionStates::TRANSLATED) {
            let translated = found.space.atom(
                &format!("connection state is one of {asked}"),
                "which established connections are translated is not known",
            )?;
            let state = FlowBox::any().with_state(ConnectionState::Established);
            let established = found.space.flow(&state)?;
            let set = found.space.intersection(established, translated)?;
            matching = found.space.union(matching, set)?;
        }
        found.term(states.negated, matching)
    }

    fn address_type(
        &self,
        found: &mut Match<'_>,
        side: Side,
        types: &Negatable<Vec<String>>,
    ) -> Result<(), AnalysisTooComplex> {
        let (mut certain, mut possible) = (AddressSet::empty(), AddressSet::empty());
        for name in &types.value {
            let members = self.knowledge.address_type(self.family, name);
            certain = certain.union(&members.certain);
            possible = possible.union(&members.possible);
        }
        let mut matching = found.space.flow(&with_addresses(side, certain))?;
        if !possible.is_empty() {
            let name = format!("{} type is {}", side_name(side), types.value.join(","));
            let reason = "the node's addresses and routes are not known";
            let atom = found.space.atom(&name, reason)?;
            let possible = found.space.flow(&with_addresses(side, possible))?;
            let possible = found.space.intersection(possible, atom)?;
            matching = found.space.union(matching, possible)?;
        }
        found.term(types.negated, matching)
    }
}

impl Match<'_> {
    fn protocols(&mut self, protocols: &ProtocolSet) {
        self.flow.protocols = self.flow.protocols.intersection(protocols);
    }

    fn addresses(&mut self, side: Side, addresses: &AddressSet) {
        let field = match side {
            Side::Source => &mut self.flow.sources,
            Side::Destination => &mut self.flow.destinations,
        };
        *field = field.intersection(addresses);
    }

    fn ports(&mut self, side: Side, ports: &PortSet) {
        let field = match side {
            Side::Source => &mut self.flow.source_ports,
            Side::Destination => &mut self.flow.destination_ports,
        };
        *field = field.intersection(ports);
    }

    fn term(&mut self, negated: bool, set: PacketSet) -> Result<(), AnalysisTooComplex> {
        let set = if negated {
            self.space.complement(set)?
        } else {
            set
        };
        self.never |= set.is_empty();
        if !set.is_all() {
            self.terms.push(set);
        }
        Ok(())
    }

    fn atom(&mut self, negated: bool, name: &str, reason: &str) -> Result<(), AnalysisTooComplex> {
        let atom = self.space.atom(name, reason)?;
        self.term(negated, atom)
    }
}

fn negate<T>(negated: bool, set: T, complement: impl FnOnce(&T) -> T) -> T {
    if negated { complement(&set) } else { set }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Destination => "destination",
    }
}

fn with_addresses(side: Side, addresses: AddressSet) -> FlowBox {
    match side {
        Side::Source => FlowBox::any().with_sources(addresses),
        Side::Destination => FlowBox::any().with_destinations(addresses),
    }
}

fn ports(ranges: &[PortRange]) -> PortSet {
    PortSet::from_ranges(
        ranges
            .iter()
            .map(|range| (range.first.into(), range.last.into())),
    )
}

fn multiport(
    found: &mut Match<'_>,
    side: PortSide,
    value: &Negatable<Vec<PortRange>>,
) -> Result<(), AnalysisTooComplex> {
    found.protocols(&protocols_with_ports());
    let ports = negate(value.negated, ports(&value.value), PortSet::complement);
    match side {
        PortSide::Source => found.ports(Side::Source, &ports),
        PortSide::Destination => found.ports(Side::Destination, &ports),
        // `! --ports` holds when neither port is listed.
        PortSide::Either if value.negated => {
            found.ports(Side::Source, &ports);
            found.ports(Side::Destination, &ports);
        }
        PortSide::Either => {
            let source = found
                .space
                .flow(&FlowBox::any().with_source_ports(ports.clone()))?;
            let destination = found
                .space
                .flow(&FlowBox::any().with_destination_ports(ports))?;
            let either = found.space.union(source, destination)?;
            return found.term(false, either);
        }
    }
    Ok(())
}

/// Whether a rule refuses one source port and one destination port, as
/// `! --sport 1 ! --dport 2` does.
fn both_refused(source: Negatable<PortRange>, destination: Negatable<PortRange>) -> bool {
    let one = |range: Negatable<PortRange>| range.negated && range.value.first == range.value.last;
    one(source) && one(destination)
}

/// iptables-nft 1.8.9 and others load `! --sport a ! --dport b` as "not both",
/// with one comparison of both ports, and show it as it was typed. Which of the
/// two is in force cannot be told from the dump.
fn refuse_both_ports(
    found: &mut Match<'_>,
    source: PortRange,
    destination: PortRange,
) -> Result<(), AnalysisTooComplex> {
    let (source, destination) = (ports(&[source]), ports(&[destination]));
    let neither = FlowBox::any()
        .with_source_ports(source.complement())
        .with_destination_ports(destination.complement());
    let both = FlowBox::any()
        .with_source_ports(source)
        .with_destination_ports(destination);
    let certain = found.space.flow(&neither)?;
    let both = found.space.flow(&both)?;
    let not_both = found.space.complement(both)?;
    let atom = found.space.atom(
        "iptables-nft compares two refused ports as one",
        "whether ! --sport with ! --dport means neither or not both depends on the version of \
         iptables-nft that loaded the rule",
    )?;
    let possible = found.space.intersection(not_both, atom)?;
    let matching = found.space.union(certain, possible)?;
    found.term(false, matching)
}

/// The TCP packets whose flags match. A new connection's packet has SYN alone;
/// no packet of an established one has SYN without ACK; more is not known.
fn tcp_flags(space: &mut Space, flags: TcpFlags) -> Result<PacketSet, AnalysisTooComplex> {
    if flags.set & !flags.mask != 0 {
        return Ok(PacketSet::EMPTY);
    }
    let mut matching = PacketSet::EMPTY;
    if TcpFlags::SYN & flags.mask == flags.set {
        matching = space.flow(&FlowBox::any().with_state(ConnectionState::New))?;
    }
    let opens = flags.set & TcpFlags::SYN != 0
        && flags.mask & TcpFlags::ACK != 0
        && flags.set & TcpFlags::ACK == 0;
    if !opens {
        let established = space.flow(&FlowBox::any().with_state(ConnectionState::Established))?;
        let some = if flags.mask == 0 {
            established
        } else {
            let atom = space.atom(
                &format!("TCP flags are {flags}"),
                "the flags of an established connection's packets are not modelled",
            )?;
            space.intersection(established, atom)?
        };
        matching = space.union(matching, some)?;
    }
    Ok(matching)
}
