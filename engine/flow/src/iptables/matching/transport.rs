//! Ports and flags of TCP, UDP and their like.

use super::found::{Match, negate};
use super::{Negatable, PortRange, PortSide, Reading, Side, TcpFlags, Transport};
use crate::iptables::condition::Condition;
use crate::iptables::flow_state::FlowState;
use crate::iptables::ruleset::Backend;
use crate::set::{
    AnalysisTooComplex, ConnectionState, FlowBox, OtherState, PacketSet, PortSet, ProtocolSet,
    protocols_with_ports,
};

impl Reading<'_> {
    pub(super) fn transport(
        &self,
        found: &mut Match<'_>,
        transport: &Transport,
        state: FlowState,
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
            let matching = match state.other {
                None => tcp_flags(found, flags.value)?,
                Some(other) => any_flags(found, flags.value, other)?,
            };
            found.term(flags.negated, matching)?;
        }
        match transport.other.is_empty() {
            true => Ok(()),
            false => self.unmodelled(found, &Condition::Transport(transport.clone())),
        }
    }
}

fn ports(ranges: &[PortRange]) -> PortSet {
    PortSet::from_ranges(
        ranges
            .iter()
            .map(|range| (range.first.into(), range.last.into())),
    )
}

pub(super) fn multiport(
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
    let atom = found.unknown(
        "iptables-nft compares two refused ports as one",
        "whether ! --sport with ! --dport means neither or not both depends on the version of \
         iptables-nft that loaded the rule",
    )?;
    let possible = found.space.intersection(not_both, atom)?;
    let matching = found.space.union(certain, possible)?;
    found.term(false, matching)
}

/// The same of packets of which no flag is known.
fn any_flags(
    found: &mut Match<'_>,
    flags: TcpFlags,
    state: OtherState,
) -> Result<PacketSet, AnalysisTooComplex> {
    if flags.set & !flags.mask != 0 {
        return Ok(PacketSet::EMPTY);
    }
    if flags.mask == 0 {
        return Ok(PacketSet::ALL);
    }
    let name = format!(
        "TCP flags of a packet that is {} are {flags}",
        state.as_str()
    );
    found.unknown(&name, "the flags of such packets are not modelled")
}

/// The TCP packets whose flags match. A new connection's packet has SYN alone;
/// no packet of an established one has SYN without ACK; more is not known.
fn tcp_flags(found: &mut Match<'_>, flags: TcpFlags) -> Result<PacketSet, AnalysisTooComplex> {
    if flags.set & !flags.mask != 0 {
        return Ok(PacketSet::EMPTY);
    }
    let mut matching = PacketSet::EMPTY;
    if TcpFlags::SYN & flags.mask == flags.set {
        matching = found
            .space
            .flow(&FlowBox::any().with_state(ConnectionState::New))?;
    }
    let opens = flags.set & TcpFlags::SYN != 0
        && flags.mask & TcpFlags::ACK != 0
        && flags.set & TcpFlags::ACK == 0;
    if !opens {
        let established = found
            .space
            .flow(&FlowBox::any().with_state(ConnectionState::Established))?;
        let some = if flags.mask == 0 {
            established
        } else {
            let atom = found.unknown(
                &format!("TCP flags are {flags}"),
                "the flags of an established connection's packets are not modelled",
            )?;
            found.space.intersection(established, atom)?
        };
        matching = found.space.union(matching, some)?;
    }
    Ok(matching)
}
