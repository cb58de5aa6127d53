//! Network security groups.

pub mod rule;

pub use rule::{Access, Direction, NsgRule};
