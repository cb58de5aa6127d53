//! Between the contract's types and the model's. What comes from a guest is
//! checked; what goes to a guest needs no check.

mod description;
mod effect;
mod finding;
mod query;

pub(super) use description::{Description, description};
pub(super) use effect::effect_to_guest;
pub(super) use finding::{finding, finding_to_guest, proposal, verdict};
pub(super) use query::{
    observation_to_guest, observe_error_of_guest, observe_error_to_guest, query,
};
