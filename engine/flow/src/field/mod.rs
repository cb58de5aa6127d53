//! Fields of ARM resources: reading them, and what can be wrong with them.

mod error;
pub(crate) mod json;
mod strict;
mod value;

pub use error::FieldError;
pub(crate) use error::{excerpt, excerpt_of_id};
pub use strict::parse_json;
pub use value::parse_prefix;
pub(crate) use value::{
    AddressValue, Place, canonical_protocol, parse_address, parse_ports, parse_protocol,
};
