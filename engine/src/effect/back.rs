//! Whether what an effect did can be taken back without touching what is not ours.

use super::{Standing, State, semantics};
use crate::{error::Error, model::Effect};

/// How an effect that was performed stands on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// It is as it was before.
    Done,
    /// The inverse can be performed.
    Ready,
    /// The inverse would touch what someone else changed; says what.
    Conflict(String),
}

/// How an effect stands on its way back by `inverse`, by its target before it and now.
/// Ours is only what is exactly as the effect left it.
///
/// # Errors
/// When a state is an error or cannot be understood.
pub fn back(effect: &Effect, inverse: &Effect, before: &State, now: &State) -> Result<Back, Error> {
    match as_seen(effect, inverse, before, now)? {
        Back::Ready => Ok(semantics(effect)
            .hidden_change(before, now)?
            .map_or(Back::Ready, Back::Conflict)),
        other => Ok(other),
    }
}

fn as_seen(effect: &Effect, inverse: &Effect, before: &State, now: &State) -> Result<Back, Error> {
    let forward = semantics(effect);
    let seen = forward.projection(now)?;
    if seen == forward.projection(before)? {
        return Ok(Back::Done);
    }
    if seen == forward.projection(&forward.simulate(before)?.state)? {
        return Ok(Back::Ready);
    }
    if !forward.standing_decides() {
        return Ok(Back::Conflict(
            "it is neither as before nor as after the step".to_owned(),
        ));
    }
    Ok(match semantics(inverse).standing(now)? {
        Standing::InPlace => Back::Done,
        Standing::Conflict(why) => Back::Conflict(why),
        Standing::Ready => match forward.standing(now)? {
            Standing::InPlace => Back::Ready,
            _ => Back::Conflict("it is no longer as the step left it".to_owned()),
        },
    })
}
