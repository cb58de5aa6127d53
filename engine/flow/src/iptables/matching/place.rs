//! Where a packet comes from and goes to: interfaces and types of addresses.

use super::found::Match;
use super::{InterfaceSide, Negatable, Presence, Reading, Side, side_name};
use crate::set::{AddressSet, AnalysisTooComplex, FlowBox};

impl Reading<'_> {
    pub(super) fn interface(
        &self,
        found: &mut Match<'_>,
        side: InterfaceSide,
        value: &Negatable<String>,
    ) -> Result<(), AnalysisTooComplex> {
        let (exists, known, word, peer) = match side {
            InterfaceSide::In => {
                let known = &self.knowledge.in_interface;
                (self.has_interface.0, known, "in", Side::Source)
            }
            InterfaceSide::Out => {
                let known = &self.knowledge.out_interface;
                (self.has_interface.1, known, "out", Side::Destination)
            }
        };
        let any = || AddressSet::any();
        // An interface that is not there has an empty name, which only "+" fits.
        let (certain, possible) = match exists {
            _ if value.value == "+" => (any(), AddressSet::empty()),
            Presence::No => (AddressSet::empty(), AddressSet::empty()),
            Presence::Yes => {
                let fitting = known.fitting(&value.value);
                (fitting.certain, fitting.possible)
            }
            Presence::Unsure => {
                let fitting = known.fitting(&value.value);
                (
                    AddressSet::empty(),
                    fitting.certain.union(&fitting.possible),
                )
            }
        };
        let mut matching = found.space.flow(&with_addresses(peer, certain))?;
        if !possible.is_empty() {
            let mut name = format!("{word}-interface is {}", value.value);
            if exists == Presence::Unsure {
                name.push_str(" in POSTROUTING");
            }
            let atom = found.unknown(&name, "the packet's interface is not known")?;
            let possible = found.space.flow(&with_addresses(peer, possible))?;
            let possible = found.space.intersection(possible, atom)?;
            matching = found.space.union(matching, possible)?;
        }
        found.term(value.negated, matching)
    }

    pub(super) fn address_type(
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
            let atom = found.unknown(&name, reason)?;
            let possible = found.space.flow(&with_addresses(side, possible))?;
            let possible = found.space.intersection(possible, atom)?;
            matching = found.space.union(matching, possible)?;
        }
        found.term(types.negated, matching)
    }
}

fn with_addresses(side: Side, addresses: AddressSet) -> FlowBox {
    match side {
        Side::Source => FlowBox::any().with_sources(addresses),
        Side::Destination => FlowBox::any().with_destinations(addresses),
    }
}
