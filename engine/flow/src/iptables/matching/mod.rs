//! Which packets meet a rule's conditions.

mod found;
mod place;
mod transport;

use std::collections::BTreeSet;

use self::found::{Match, negate};
use self::transport::multiport;
use super::condition::{
    AddressMask, Condition, ConnectionStates, InterfaceSide, MarkValue, Negatable, PortRange,
    PortSide, Side, TcpFlags, Transport,
};
use super::flow_state::{FlowState, Tracking};
use super::hook::Presence;
use super::knowledge::Knowledge;
use super::mark::IsMark;
use super::masked;
use super::ruleset::{Backend, Family};
use crate::set::{
    AddressSet, AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, Protocol, ProtocolSet,
    Space,
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
    pub(super) detail: Detail,
    /// Named sets that rules change.
    pub(super) changed_sets: &'a BTreeSet<String>,
}

/// What becomes of what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// It is a named atom.
    Exact,
    /// Only what may happen is told, so that thousands of unknowns cost nothing.
    Outline,
}

/// The packets that meet a rule's conditions; the same where atoms tell exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) possible: PacketSet,
    pub(super) certain: PacketSet,
}

impl Hit {
    pub(super) const NONE: Self = Self {
        possible: PacketSet::EMPTY,
        certain: PacketSet::EMPTY,
    };
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
    ) -> Result<Hit, AnalysisTooComplex> {
        let mut found = Match {
            space,
            flow: FlowBox::any(),
            terms: Vec::new(),
            never: false,
            detail: self.detail,
            unknowns: 0,
        };
        for condition in conditions {
            self.apply(&mut found, condition, state)?;
            if found.never {
                return Ok(Hit::NONE);
            }
        }
        let Match {
            space,
            flow,
            terms,
            unknowns,
            ..
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
        if self.detail == Detail::Exact || unknowns == 0 {
            return Ok(Hit {
                possible: set,
                certain: set,
            });
        }
        Ok(Hit {
            possible: space.possibly(set)?,
            certain: space.certainly(set)?,
        })
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
            Condition::Transport(transport) => self.transport(found, transport, state),
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
                known @ (IsMark::Yes | IsMark::No) => {
                    found.never |= (known == IsMark::Yes) == value.negated;
                    Ok(())
                }
                IsMark::IfSocketSet(MarkValue { value: mark, mask }) => {
                    let name = format!("the sending socket's mark is {mark:#x}/{mask:#x}");
                    let reason = "a process may mark what it sends (SO_MARK)";
                    found.atom(value.negated, &name, reason)
                }
                IsMark::Unknown => self.unmodelled(found, condition),
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
            // What members it has by then depends on the packets before.
            Condition::Set { value, .. } if self.changed_sets.contains(&value.value.name) => {
                self.unmodelled(found, condition)
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
        if self.detail == Detail::Outline {
            return found.atom(false, "", "");
        }
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
            Tracking::Invalid => Some(asked.intersects(ConnectionStates::INVALID)),
            Tracking::Related if asked.intersects(ConnectionStates::RELATED) => Some(true),
            Tracking::Related if !asked.intersects(ConnectionStates::TRANSLATED) => Some(false),
            Tracking::Tracked | Tracking::Related | Tracking::Unknown => None,
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
        if tracking == Tracking::Related {
            let name = format!("the connection a related packet is about is one of {asked}");
            let reason = "which connections are translated is not known";
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
            let translated = found.unknown(
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
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Destination => "destination",
    }
}
