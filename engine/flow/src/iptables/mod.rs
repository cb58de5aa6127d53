//! The firewall of a node: what `iptables-save` shows, and what it does.
//!
//! [`Ruleset::parse`] reads one dump; printing a [`Ruleset`] writes it back.
//! [`NodeFirewall`] puts the dumps of a node together and decides packets. A
//! new TCP connection's packet has SYN alone, and no packet is a fragment or has
//! an IPv6 extension header. What
//! is not modelled is left open by a named atom (after Diekmann et al.,
//! "Verified iptables firewall analysis"), so that an answer is either certain
//! or names what it hangs on.

mod alike;
mod condition;
mod decision;
mod delta;
mod dumps;
mod edit;
mod error;
mod flow_state;
mod graph;
mod hook;
mod hull;
mod image;
mod interface;
mod knowledge;
mod local;
mod managed;
mod mark;
mod masked;
mod matching;
mod module;
mod nft_chain;
mod node;
mod parse;
mod print;
mod protocol;
mod routes;
mod rule_parse;
mod ruleset;
mod specifications;
mod taken;
mod target;
mod token;
mod value;
mod verdicts;
mod walk;

#[cfg(test)]
mod tests;

pub use alike::Exemplar;
pub use condition::{
    AddressMask, Condition, ConnectionStates, Extension, IcmpType, InterfaceSide, MarkValue,
    Negatable, OptionText, PortRange, PortSide, SetLookup, Side, TcpFlags, Transport,
    TransportModule,
};
pub use decision::{DecidedBy, Decision, RulePlace};
pub use delta::{changed_rules, node_delta};
pub use dumps::{DumpError, FirewallRuleset};
pub use edit::{Edit, EditError};
pub(crate) use error::excerpt;
pub use error::{ParseError, ParseErrorKind};
pub use hook::Hook;
pub use interface::{InterfaceKnowledge, PeerInterfaces};
pub use knowledge::Knowledge;
pub use local::LocalAddresses;
pub use managed::{ManagedBy, managed_chain, managed_rule, managed_specification};
pub use nft_chain::NftChain;
pub use node::{LoadedRuleset, NodeDecisions, NodeFirewall, POLICY_NAME};
pub use parse::LINE_LIMIT_BYTES;
pub use routes::NodeRoutes;
pub use ruleset::{
    Backend, Chain, ChainPolicy, Counters, Family, Rule, Ruleset, Specification, Table, TableName,
};
pub use specifications::Specifications;
pub use target::Target;
