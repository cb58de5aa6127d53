//! That both ways to the fewest moves agree.

use super::counterexamples::fewest_by_counterexample;
use super::fewest::{Fewest, fewest};
use super::kinds::Kinds;
use super::{PlacementRequest, Question};
use crate::nsg::tests::packed::{Random, estate, question, row, tags};
use crate::nsg::{Nsg, NsgRule};
use crate::set::Space;

/// How many moves are proved to be the fewest, each way; none where none would do.
fn both(group: &Nsg, request: &PlacementRequest) -> Option<[Option<usize>; 2]> {
    let mut space = Space::new();
    let question = Question::new(&mut space, group, request, &tags()).ok()?;
    let insert = question.insert(&mut space).ok()?;
    let rules: Vec<&NsgRule> = group.rules.iter().collect();
    let kinds = Kinds::new(rules.clone(), request, &insert, &tags()).unwrap()?;
    let by_kinds = fewest(&kinds, request, &insert, &mut 2_000_000);
    let learned = fewest_by_counterexample(group, rules, request, &tags()).unwrap();
    let count = |found: &Fewest| match found {
        Fewest::Moves((_, moves)) => Some(Some(moves.len())),
        Fewest::None => Some(None),
        Fewest::NotAllTried(_) => None,
    };
    Some([count(&by_kinds)?, count(&learned)?])
}

#[test]
fn all_kinds_and_those_that_failing_moves_show_prove_the_same_number_of_moves() {
    let mut random = Random(1);
    let (mut compared, mut several, mut never) = (0, 0, 0);
    for _ in 0..3_000 {
        let count = 3 + random.below(20);
        let wide = 60 + random.below(40);
        let group = estate(&mut random, count, wide);
        let request = question(&mut random, &group);
        let Some([by_kinds, learned]) = both(&group, &request) else {
            continue;
        };
        assert_eq!(by_kinds, learned, "{group:#?} {request:#?}");
        compared += 1;
        several += u32::from(by_kinds.is_some_and(|moves| moves > 1));
        never += u32::from(by_kinds.is_none());
    }
    assert!(
        compared > 500 && several > 50 && never > 5,
        "{compared} {several} {never}"
    );
}

#[test]
fn rows_of_which_none_may_pass_the_next_move_to_the_nearer_end() {
    for count in [4_u16, 10, 40] {
        for place in 0..count {
            let (group, request) = row(150, count, place);
            let mut space = Space::new();
            let question = Question::new(&mut space, &group, &request, &tags()).unwrap();
            let insert = question.insert(&mut space).unwrap();
            let rules: Vec<&NsgRule> = group.rules.iter().collect();
            let kinds = Kinds::new(rules, &request, &insert, &tags())
                .unwrap()
                .unwrap();
            let found = fewest(&kinds, &request, &insert, &mut 2_000_000);
            let Fewest::Moves((_, moves)) = found else {
                panic!("{count} at {place}");
            };
            // The rule right before may stay before or go after the new one: it allows,
            // too. Those before it may not.
            let nearer = place.saturating_sub(1).min(count - place);
            assert_eq!(moves.len(), usize::from(nearer), "{count} at {place}");
        }
    }
}
