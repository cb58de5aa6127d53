//! Exact analysis of what firewalls let pass.

pub mod delta;
pub mod field;
pub mod firewall;
pub mod iptables;
pub mod nsg;
pub mod path;
pub mod policy;
pub mod set;
pub mod ufw;

#[cfg(test)]
mod testing;
