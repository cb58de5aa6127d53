//! Exact analysis of what firewalls let pass.
//!
//! No I/O, no clock, no randomness: the same input gives the same answer, in
//! the host and inside a plugin.
//!
//! - [`set`]: sets of packets and the operations on them, within a budget.
//! - [`policy`]: ordered rules, and who decides which packet.
//! - [`delta`]: what changes between two policies, and the report plans store.
//! - [`nsg`], [`firewall`], [`iptables`], [`ufw`]: what the systems really give,
//!   as policies; [`nsg::place`] calculates the priority of a new rule.
//! - [`path`]: several policies in a row, as the tunnel meets them.
//!
//! What is not known is an *atom* by name, never empty and never guessed: an
//! answer says under which atoms it holds. What would cost too much to answer
//! exactly is an error, [`set::AnalysisTooComplex`], that names the rules.
//!
//! # Example
//!
//! A security group denies the kubelet's port; where must a rule go to open it,
//! and what does it open?
//!
//! ```
//! use naosu_flow::nsg::{Nsg, NsgRule, PlacementRequest, TagContext, place};
//! use naosu_flow::set::{AddressSet, FlowBox, PortSet};
//!
//! let group = Nsg::from_arm_json(r#"{
//!   "name": "aks-nsg",
//!   "properties": { "securityRules": [{
//!     "name": "deny-kubelet",
//!     "properties": {
//!       "protocol": "Tcp", "access": "Deny", "direction": "Inbound", "priority": 200,
//!       "sourceAddressPrefix": "*", "sourcePortRange": "*",
//!       "destinationAddressPrefix": "*", "destinationPortRange": "10250"
//!     }
//!   }] }
//! }"#)?;
//! let network = "10.224.0.0/16".parse()?;
//! let tags = TagContext::new().with_virtual_network([&network]);
//!
//! let rule = NsgRule {
//!     name: "allow-kubelet".into(),
//!     access: naosu_flow::nsg::Access::Allow,
//!     source_prefixes: vec![network.to_string()],
//!     destination_prefixes: vec![network.to_string()],
//!     ..group.rules[0].clone()
//! };
//! let nodes = AddressSet::prefix(network);
//! let required = FlowBox::new_tcp(nodes.clone(), nodes, PortSet::single(10_250_u16));
//! let placement = place(
//!     &group,
//!     &PlacementRequest { rule, required: vec![required], pinned: Default::default() },
//!     &tags,
//! )?;
//!
//! assert_eq!(placement.rule.priority, 199);
//! assert_eq!(placement.blocking, "deny-kubelet");
//! assert_eq!(
//!     placement.delta.words,
//!     ["newly allowed: inbound TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16"],
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod delta;
pub mod field;
pub mod firewall;
pub mod iptables;
pub mod nsg;
pub mod path;
mod platform;
pub mod policy;
pub mod set;
pub mod ufw;

#[cfg(test)]
mod testing;
