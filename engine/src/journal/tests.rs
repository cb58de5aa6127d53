use std::collections::{BTreeSet, HashSet, VecDeque};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::model::{Digest, PlanId, Principal, RunId, TunnelAnswers, journal::Way};

fn error() -> Error {
    Error::new(Code::Drift, "changed", "diagnose again")
}

/// Every event that concerns at most `steps` steps and `attempts` attempts.
fn alphabet(steps: u32, attempts: u32) -> Vec<Event> {
    let mut events = vec![
        Event::Started {
            plan: PlanId("plan-1".into()),
            digest: Digest::of_bytes(b"plan"),
            principal: Principal::person("alice"),
        },
        Event::Probed {
            way: Way::Forward,
            tunnel: TunnelAnswers::default(),
        },
        Event::Probed {
            way: Way::Back,
            tunnel: TunnelAnswers::default(),
        },
        Event::VerifyStarted,
        Event::Verified {
            mended: true,
            summary: String::new(),
            tunnel: None,
        },
        Event::Verified {
            mended: false,
            summary: String::new(),
            tunnel: None,
        },
        Event::RollbackStarted {
            reason: String::new(),
            principal: None,
        },
        Event::Succeeded,
        Event::RolledBack,
        Event::Cancelled {
            reason: String::new(),
        },
        Event::Stuck { error: error() },
    ];
    for step in 0..steps {
        for way in [Way::Forward, Way::Back] {
            for attempt in 1..=attempts {
                events.push(Event::Intent { step, way, attempt });
            }
            for already_in_place in [false, true] {
                events.push(Event::Applied {
                    step,
                    way,
                    already_in_place,
                    detail: String::new(),
                });
            }
            events.push(Event::Refused {
                step,
                way,
                error: error(),
            });
        }
    }
    events
}

fn entries(events: &[Event]) -> Vec<Entry> {
    (0..)
        .zip(events)
        .map(|(sequence, event)| Entry {
            run: RunId("run-1".into()),
            sequence,
            at: Timestamp::UNIX_EPOCH,
            event: event.clone(),
        })
        .collect()
}

/// Every status that legal journals over the alphabet can reach.
fn reachable(steps: u32, alphabet: &[Event]) -> HashSet<Status> {
    let mut seen = HashSet::from([Status::new(steps)]);
    let mut queue = VecDeque::from([Status::new(steps)]);
    while let Some(status) = queue.pop_front() {
        for event in alphabet {
            if let Ok(next) = status.after(event)
                && seen.insert(next.clone())
            {
                queue.push_back(next);
            }
        }
    }
    seen
}

#[test]
fn over_all_reachable_statuses_exactly_the_tabled_transitions_of_the_run_are_legal() {
    let alphabet = alphabet(2, 2);
    let mut legal = BTreeSet::new();
    for status in reachable(2, &alphabet) {
        for event in &alphabet {
            if let Ok(next) = status.after(event) {
                legal.insert(format!(
                    "{} {} {}",
                    status.state().map_or("-".into(), |s| format!("{s:?}")),
                    event_name(event),
                    next.state().map_or("-".into(), |s| format!("{s:?}")),
                ));
            }
        }
    }
    let table: BTreeSet<String> = [
        "- started Applying",
        "Applying probed Applying",
        "RollingBack probed RollingBack",
        "Applying intent Applying",
        "Applying applied Applying",
        "Applying refused Applying",
        "Applying verify_started Verifying",
        "Applying rollback_started RollingBack",
        "Applying cancelled Cancelled",
        "Applying stuck Stuck",
        "Verifying verified Verifying",
        "Verifying succeeded Succeeded",
        "Verifying rollback_started RollingBack",
        "Verifying stuck Stuck",
        "Succeeded rollback_started RollingBack",
        "RollingBack intent RollingBack",
        "RollingBack applied RollingBack",
        "RollingBack refused RollingBack",
        "RollingBack rolled_back RolledBack",
        "RollingBack stuck Stuck",
        "Stuck rollback_started RollingBack",
    ]
    .map(String::from)
    .into();
    assert_eq!(legal, table);
}

#[test]
fn no_reachable_status_is_half_known_or_out_of_order() {
    let alphabet = alphabet(2, 2);
    for status in reachable(2, &alphabet) {
        let flying = status.steps().iter().filter(|s| s.in_flight).count();
        assert_eq!(flying, usize::from(status.in_flight().is_some()));
        let applied: Vec<bool> = status
            .steps()
            .iter()
            .map(|s| s.state == StepState::Applied)
            .collect();
        match status.state() {
            Some(RunState::Succeeded | RunState::Verifying) => {
                assert_eq!(flying, 0, "{status:?}");
                assert!(applied.iter().all(|a| *a), "{status:?}");
            }
            Some(RunState::RolledBack | RunState::Cancelled) => {
                assert_eq!(flying, 0, "{status:?}");
                assert!(!applied.iter().any(|a| *a), "{status:?}");
            }
            // Forward, nothing is in place behind something that is not.
            Some(RunState::Applying) => assert!(applied.is_sorted_by(|a, b| a >= b)),
            _ => {}
        }
    }
}

#[test]
fn an_entry_with_a_gap_before_it_is_refused_with_its_number() {
    let mut journal = entries(&[alphabet(1, 1).remove(0), Event::Stuck { error: error() }]);
    if let Some(last) = journal.last_mut() {
        last.sequence = 2;
    }
    assert_eq!(fold(1, &journal).unwrap_err().sequence, 2);
}

proptest! {
    #[test]
    fn every_prefix_of_a_legal_journal_folds_and_a_run_of_it_shows_the_same_state(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        steps in 1_u32..4,
    ) {
        let alphabet = alphabet(steps, 3);
        let mut status = Status::new(steps);
        let mut journal = Vec::new();
        for choice in choices {
            let legal: Vec<&Event> =
                alphabet.iter().filter(|e| status.after(e).is_ok()).collect();
            if legal.is_empty() {
                break;
            }
            let event = (*choice.get(&legal)).clone();
            status = status.after(&event).unwrap();
            journal.push(event);
        }
        let journal = entries(&journal);
        for length in 1..=journal.len() {
            let prefix = &journal[..length];
            let folded = fold(steps, prefix).unwrap();
            let run = run_of(&RunRecord {
                id: RunId("run-1".into()),
                plan: PlanId("plan-1".into()),
                cluster: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c".parse().unwrap(),
                step_count: steps,
                entries: prefix.to_vec(),
            }).unwrap();
            prop_assert_eq!(Some(run.state), folded.state());
        }
        prop_assert_eq!(fold(steps, &journal).unwrap(), status);
    }
}
