//! Security groups: reading, writing, meaning.

mod admin;
mod meaning;
pub(super) mod packed;
mod placement;
mod reading;
mod reference;
mod renumbering;
mod virtual_network;
