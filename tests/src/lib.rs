//! What the end-to-end tests share: the kernel's own firewall as an oracle, and
//! generators of rulesets and packets to ask it about; and the product as its
//! users run it, at a lab.

pub mod matrix;
pub mod mending;
pub mod netfilter;
pub mod product;
pub mod tunnel_truth;
