//! Exact analysis of what firewalls let pass.

pub mod iptables;
pub mod set;
