//! Observations as a column: MessagePack, compressed. Those of a thousand nodes are
//! megabytes of text that is much alike, and as JSON in JSON every line of it
//! would be escaped.

use std::sync::Arc;

use crate::{
    model::{Diagnosis, Observation, observations_digest},
    store::StoreError,
};

/// More than that is no diagnosis of ours.
const BYTES_AT_MOST: usize = 1 << 30;

pub(super) fn encode(observations: &[Arc<Observation>]) -> Result<Vec<u8>, StoreError> {
    let packed = rmp_serde::to_vec_named(observations)
        .map_err(|e| StoreError::Failed(format!("observations cannot be stored: {e}")))?;
    if packed.len() > BYTES_AT_MOST {
        let length = packed.len();
        return Err(StoreError::Failed(format!(
            "{length} bytes of observations, at most {BYTES_AT_MOST} are stored"
        )));
    }
    Ok(lz4_flex::compress_prepend_size(&packed))
}

pub(super) fn decode(owner: &str, column: &[u8]) -> Result<Vec<Arc<Observation>>, StoreError> {
    let corrupt = |why: String| corrupt(owner, &why);
    let (length, _) =
        lz4_flex::block::uncompressed_size(column).map_err(|e| corrupt(e.to_string()))?;
    if length > BYTES_AT_MOST {
        return Err(corrupt(format!("{length} bytes are no observations")));
    }
    let packed = lz4_flex::decompress_size_prepended(column).map_err(|e| corrupt(e.to_string()))?;
    rmp_serde::from_slice(&packed).map_err(|e| corrupt(e.to_string()))
}

/// Checks every answer against the digest that it was read with.
pub(super) fn check_answers(
    owner: &str,
    observations: &[Arc<Observation>],
) -> Result<(), StoreError> {
    match observations.iter().find(|seen| !seen.is_intact()) {
        None => Ok(()),
        Some(changed) => Err(corrupt(
            owner,
            &format!("{} is not what was read", changed.query),
        )),
    }
}

fn corrupt(owner: &str, why: &str) -> StoreError {
    StoreError::Corrupt(format!("the observations of {owner} in the store: {why}"))
}

/// Checks the answers, and that the observations are all those of the diagnosis.
pub(super) fn check(diagnosis: &Diagnosis) -> Result<(), StoreError> {
    let (owner, observations) = (&diagnosis.id.0, &diagnosis.observations);
    check_answers(owner, observations)?;
    let digest = observations_digest(observations).map_err(|e| corrupt(owner, &e.message))?;
    if digest == diagnosis.observations_digest {
        return Ok(());
    }
    let expected = &diagnosis.observations_digest;
    Err(corrupt(
        owner,
        &format!("their digest is {digest}, and was {expected}"),
    ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        error::Code,
        model::{ObserveError, ObserveErrorKind, Query},
    };

    fn observations() -> Vec<Arc<Observation>> {
        let refused = ObserveError {
            kind: ObserveErrorKind::Forbidden,
            code: Code::AzureForbidden,
            message: "no".to_owned(),
        };
        let answers = [
            Ok("{\"a\": \"\\u001b\"}\n".repeat(100).into()),
            Ok("".into()),
            Err(refused),
        ];
        let seen = answers.into_iter().enumerate().map(|(number, answer)| {
            Arc::new(Observation {
                query: Query::TunnelProbe {
                    node: number.to_string(),
                },
                digest: Observation::digest_of(&answer),
                answer,
                version: (number == 1).then(|| "W/\"1\"".to_owned()),
                observed_at: Timestamp::UNIX_EPOCH,
            })
        });
        seen.collect()
    }

    #[test]
    fn what_was_read_is_read_again() {
        let observations = observations();
        let column = encode(&observations).unwrap();
        assert_eq!(decode("dia-1", &column).unwrap(), observations);
        assert!(column.len() < 1_000, "{}", column.len());
    }

    proptest! {
        #[test]
        fn damage_is_told_by_the_digests_or_changed_nothing(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            length in any::<prop::sample::Index>(),
        ) {
            let sound = encode(&observations()).unwrap();
            let mut spoilt = sound.clone();
            spoilt[at.index(sound.len())] ^= byte;
            spoilt.truncate(length.index(sound.len()) + 1);
            let digest = |read: &[Arc<Observation>]| observations_digest(read).unwrap();
            if let Ok(read) = decode("dia-1", &spoilt)
                && check_answers("dia-1", &read).is_ok()
                && digest(&read) == digest(&observations())
            {
                prop_assert_eq!(read, observations());
            }
        }
    }
}
