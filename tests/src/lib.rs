//! What the end-to-end tests share: the kernel's own firewall as an oracle, and
//! generators of rulesets and packets to ask it about.

pub mod netfilter;
