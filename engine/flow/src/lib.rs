//! Exact analysis of what firewalls let pass.

pub mod set;
