//! What Azure's network does to packets between VMs: ARM resources compiled to packet filters.
//!
//! Written from the JSON alone and independent of `naosu-flow`, so that it can judge it.

mod address_match;
mod firewall_rules;
mod nft;
mod nft_gates;
mod outbound_ports;
mod policy;
mod read;
mod routes;
mod rule_fields;
mod security_admin_rules;
mod security_rules;
mod verdict;

pub use address_match::{AddressMatch, Addressing};
pub use nft::nft_script;
pub use outbound_ports::{NodePorts, OutboundPorts};
pub use policy::{FabricPolicy, Port};
pub use security_admin_rules::{admin_rules_on, parent_of};
pub use verdict::{Packet, Protocol};
