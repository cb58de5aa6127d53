//! Network security groups: what ARM returns, what it means, what a change does.

mod admin;
mod admin_in_force;
mod admin_policy;
mod arm;
mod chain;
mod change;
mod compile;
mod error;
mod flush;
mod group;
mod parse;
pub mod priority;
pub mod rule;
mod tags;
mod unfiltered;
mod virtual_network;

pub use crate::platform::PLATFORM_ADDRESS;
pub use admin::{AdminAccess, AdminRule};
pub use admin_in_force::{
    ADMIN_RULES_FORBIDDEN, AdminRulesInForce, EFFECTIVE_ADMIN_RULES, UnreadAdminRules,
};
pub use admin_policy::{AdminPolicy, BehindAdmin};
pub use arm::is_rule_name;
pub use chain::NsgChain;
pub use change::{nsg_delta, nsg_delta_behind};
pub use compile::ESTABLISHED;
pub use error::NsgError;
pub use group::{Nsg, default_rules};
pub use priority::{Placement, PlacementError, PlacementRequest, Renumbered, place};
pub use rule::{Access, Direction, MAX_PRIORITY, MAX_RULES, MIN_PRIORITY, NsgRule};
pub use tags::{Resolved, Side, TagContext};
pub use virtual_network::{VirtualNetworkTag, route_tables};

#[cfg(test)]
mod tests;
