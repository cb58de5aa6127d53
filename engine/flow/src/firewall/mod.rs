//! Azure Firewall: classic rule collections, firewall policies with their
//! parents, and the routes that bring traffic to it.
//!
//! What looks deeper than addresses and ports is unknown here and named: names
//! of hosts (FQDN), web categories, threat intelligence, intrusion detection, destination
//! NAT.

mod collection;
mod compile;
mod error;
mod intrusion;
mod parse;
mod policy_order;
mod read_routes;
mod read_rule;
mod route;
mod routed;

pub use collection::{
    CollectionAction, Firewall, FirewallRule, RuleCollection, RuleCollectionGroup, RuleKind,
    UnreadRules,
};
pub use compile::firewall_delta;
pub use error::FirewallError;
pub use intrusion::{IntrusionDetection, IntrusionMode};
pub use parse::ip_group_addresses;
pub use route::{NextHop, Route, RouteTable};
pub use routed::reached_by_all;

#[cfg(test)]
mod tests;
