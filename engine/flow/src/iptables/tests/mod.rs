//! Tests of rulesets as iptables writes them: read, printed, decided.

mod decide;
mod delta;
mod edit;
mod forwarded;
mod parse;
mod sharing;

use crate::delta::FlowDelta;
use crate::set::{OtherState, PacketSet, Space};

/// What of a delta is about new and established packets alone.
fn of_told_states(space: &mut Space, delta: &FlowDelta) -> FlowDelta {
    let others = OtherState::ALL.map(|state| space.in_other_state(state).unwrap());
    let others = space.union_all(others).unwrap();
    let told: PacketSet = space.complement(others).unwrap();
    delta.among(space, told).unwrap()
}
