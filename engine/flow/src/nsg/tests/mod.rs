//! Security groups: reading, writing, meaning.

mod meaning;
mod reading;
mod reference;
