//! Packet sets: exact, canonical, within a budget.

mod address;
mod apply;
mod arena;
mod bounds;
mod budget;
mod dimension;
mod facing;
mod fewest;
mod flow_box;
mod map;
mod merge;
mod other_state;
mod packet;
mod query;
mod ranges;
mod space;
mod translation;
mod words;

pub use address::{AddressSet, addresses_in_words};
pub use budget::{AnalysisTooComplex, Budget, BudgetPart};
pub use flow_box::{FlowBox, protocols_with_ports};
pub use map::{Label, PacketMap};
pub use other_state::OtherState;
pub use packet::{ConnectionState, Direction, Packet, Protocol};
pub use query::Membership;
pub use ranges::{DirectionSet, Ipv4Set, Ipv6Set, PairSet, PortSet, ProtocolSet, RangeSet};
pub use space::{Atom, AtomId, PacketSet, Space};
pub use translation::Translation;
pub(crate) use words::range_texts;
pub use words::{port_texts, protocol_texts};

#[cfg(test)]
mod tests;
