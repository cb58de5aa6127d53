//! The firewall of a node: what `iptables-save` shows, and what it does.
//!
//! [`Ruleset::parse`] reads one dump; printing a [`Ruleset`] writes it back.

mod condition;
mod error;
mod graph;
mod module;
mod parse;
mod print;
mod protocol;
mod rule_parse;
mod ruleset;
mod target;
mod token;
mod value;

#[cfg(test)]
mod tests;

pub use condition::{
    AddressMask, Condition, ConnectionStates, Extension, IcmpType, InterfaceSide, MarkValue,
    Negatable, OptionText, PortRange, PortSide, SetLookup, Side, TcpFlags, Transport,
    TransportModule,
};
pub use error::{ParseError, ParseErrorKind};
pub use parse::LINE_LIMIT_BYTES;
pub use ruleset::{Backend, Chain, ChainPolicy, Counters, Family, Rule, Ruleset, Table, TableName};
pub use target::Target;
