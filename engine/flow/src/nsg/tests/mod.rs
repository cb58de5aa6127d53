//! Security groups: reading, writing, meaning.

mod meaning;
mod placement;
mod reading;
mod reference;
mod renumbering;
