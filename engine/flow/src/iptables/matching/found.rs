//! What the conditions read so far leave.

use super::{Detail, Side};
use crate::set::{AddressSet, AnalysisTooComplex, FlowBox, PacketSet, PortSet, ProtocolSet, Space};

/// A condition as known ranges and what has to be asked besides.
pub(super) struct Match<'s> {
    pub(super) space: &'s mut Space,
    pub(super) flow: FlowBox,
    pub(super) terms: Vec<PacketSet>,
    pub(super) never: bool,
    pub(super) detail: Detail,
    /// How many unknowns were asked for.
    pub(super) unknowns: u32,
}

impl Match<'_> {
    pub(super) fn protocols(&mut self, protocols: &ProtocolSet) {
        self.flow.protocols = self.flow.protocols.intersection(protocols);
    }

    pub(super) fn addresses(&mut self, side: Side, addresses: &AddressSet) {
        let field = match side {
            Side::Source => &mut self.flow.sources,
            Side::Destination => &mut self.flow.destinations,
        };
        *field = field.intersection(addresses);
    }

    pub(super) fn ports(&mut self, side: Side, ports: &PortSet) {
        let field = match side {
            Side::Source => &mut self.flow.source_ports,
            Side::Destination => &mut self.flow.destination_ports,
        };
        *field = field.intersection(ports);
    }

    pub(super) fn term(&mut self, negated: bool, set: PacketSet) -> Result<(), AnalysisTooComplex> {
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

    pub(super) fn atom(
        &mut self,
        negated: bool,
        name: &str,
        reason: &str,
    ) -> Result<(), AnalysisTooComplex> {
        let atom = self.unknown(name, reason)?;
        self.term(negated, atom)
    }

    /// The packets for which something unknown holds.
    pub(super) fn unknown(
        &mut self,
        name: &str,
        reason: &str,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        self.unknowns += 1;
        match self.detail {
            Detail::Exact => self.space.atom(name, reason),
            // Resolved before the next rule is read, which takes the same again.
            Detail::Outline => self.space.atom(
                &format!("unknown {} of a rule", self.unknowns),
                "only whether it may hold is asked",
            ),
        }
    }
}

pub(super) fn negate<T>(negated: bool, set: T, complement: impl FnOnce(&T) -> T) -> T {
    if negated { complement(&set) } else { set }
}
