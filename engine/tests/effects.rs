//! What must hold of every kind of effect, whatever plugin proposes it: twice is
//! as good as once, either way; nothing of anyone else's is undone; and whichever
//! step fails, and however, the run ends finished, rolled back or stuck.

mod support;

use std::sync::Arc;

use naosu_engine::{
    Code, Engine, EngineConfig, Naosu,
    effect::{self, Standing},
    model::{
        Effect, EffectKind, Event, Inverse, Observation, Run, RunId, RunState,
        journal::Way::{Back, Forward},
    },
};
use serde_json::Value;
use support::{
    alice,
    anything::{Anything, Proposing, seen_by},
    approved,
    cases::{Case, Then, case, cases},
    config, ended, open,
    world::Trouble,
};

/// Kinds that Naosu performs.
fn performed() -> impl Iterator<Item = Case> {
    let kinds = EffectKind::ALL.iter().filter(|k| **k != EffectKind::Manual);
    kinds.flat_map(|kind| {
        let cases = cases(*kind);
        assert!(cases.iter().all(|case| case.effect.kind() == *kind));
        cases
    })
}

fn is_reversible(case: &Case) -> bool {
    let inverse = effect::inverse(&case.effect, &observed(case, &case.before));
    matches!(inverse.unwrap(), Inverse::Effect { .. })
}

fn reversible() -> impl Iterator<Item = Case> {
    performed().filter(is_reversible)
}

/// One of each reversible kind, for plans of all of them.
fn one_of_each() -> Vec<Case> {
    let kinds = EffectKind::ALL.iter().filter(|k| **k != EffectKind::Manual);
    kinds
        .map(|kind| case(*kind))
        .filter(is_reversible)
        .collect()
}

fn observed(case: &Case, body: &Value) -> Observation {
    Observation {
        query: case.target(),
        answer: Ok(body.to_string().into()),
        version: None,
        observed_at: jiff::Timestamp::UNIX_EPOCH,
        digest: naosu_engine::model::Digest::of_bytes(b""),
    }
}

/// A world with the targets of these cases, as they are before.
fn world(cases: &[Case], reach: bool) -> Arc<Anything> {
    let world = Anything::new(reach);
    for case in cases {
        world.put(case.target(), case.before.to_string());
        if let Some(shown) = &case.switched_on {
            world.put_switched_on(case.target(), shown.to_string());
        }
    }
    Arc::new(world)
}

async fn start(place: &std::path::Path, world: &Arc<Anything>, cases: &[Case]) -> Engine {
    let effects: Vec<Effect> = cases.iter().map(|case| case.effect.clone()).collect();
    let mut config: EngineConfig = config();
    config.policy.strong_approvals = 1;
    Engine::start(
        config,
        open(place),
        vec![Arc::new(Proposing::new(&effects))],
        Arc::clone(world) as _,
        Arc::clone(world) as _,
    )
    .await
    .unwrap()
}

/// Whether the target is as it was before the effect.
fn is_untouched(case: &Case, world: &Anything) -> bool {
    let before = seen_by(&case.effect, Ok(case.before.to_string()));
    seen_by(&case.effect, world.body(&case.target())) == before
}

fn refusals(run: &Run) -> impl Iterator<Item = Code> {
    run.entries.iter().filter_map(|entry| match &entry.event {
        Event::Refused { error, .. } => Some(error.code),
        _ => None,
    })
}

#[test]
fn an_effect_in_place_is_in_place_and_so_is_its_inverse() {
    for case in performed() {
        let kind = case.effect.kind();
        let before = observed(&case, &case.before);
        let standing = |effect: &Effect, on: &Observation| effect::standing(effect, on).unwrap();
        assert_eq!(standing(&case.effect, &before), Standing::Ready, "{kind:?}");
        let after = effect::simulate(&case.effect, &before).unwrap();
        let after = after.state.observation(&before);
        // A restart can always be done once more.
        if kind != EffectKind::RolloutRestart {
            let now = standing(&case.effect, &after);
            assert_eq!(now, Standing::InPlace, "{kind:?}");
        }
        match effect::inverse(&case.effect, &before).unwrap() {
            Inverse::Irreversible { reason } => assert!(!reason.is_empty(), "{kind:?}"),
            Inverse::Effect { effect: inverse } => {
                assert_eq!(effect::target(&inverse), case.target(), "{kind:?}");
                assert_eq!(standing(&inverse, &after), Standing::Ready, "{kind:?}");
                let restored = effect::simulate(&inverse, &after).unwrap();
                let restored = restored.state.observation(&before);
                assert_eq!(standing(&inverse, &restored), Standing::InPlace, "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_effect_is_written_once_and_taken_back_once() {
    for case in performed() {
        let kind = case.effect.kind();
        let place = tempfile::tempdir().unwrap();
        let cases = [case];
        let [case] = &cases;
        let world = world(&cases, true);
        let engine = start(place.path(), &world, &cases).await;
        let plan = approved(&engine).await.unwrap();
        let run = engine.apply(&alice(), &plan.id).await.unwrap();
        let run = ended(&engine, &run.id).await;
        assert_eq!(run.state, RunState::Succeeded, "{kind:?} {run:#?}");
        assert!(!is_untouched(case, &world), "{kind:?}");
        assert_eq!(world.writes(), [(0, Forward)], "{kind:?}");
        let back = engine.rollback(&alice(), &run.id).await;
        if !is_reversible(case) {
            assert_eq!(back.unwrap_err().code, Code::RunNotReversible, "{kind:?}");
            continue;
        }
        let run = ended(&engine, &run.id).await;
        assert_eq!(run.state, RunState::RolledBack, "{kind:?} {run:#?}");
        assert!(is_untouched(case, &world), "{kind:?}");
        assert_eq!(world.writes(), [(0, Forward), (0, Back)], "{kind:?}");
    }
}

#[tokio::test]
async fn what_a_person_does_is_planned_and_never_performed() {
    let place = tempfile::tempdir().unwrap();
    let cases = [case(EffectKind::Manual)];
    let world = world(&cases, true);
    let engine = start(place.path(), &world, &cases).await;
    let plan = approved(&engine).await.unwrap();
    let refused = engine.apply(&alice(), &plan.id).await.unwrap_err();
    assert_eq!(refused.code, Code::Unsupported);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn taking_back_never_undoes_what_someone_else_did_in_between() {
    for case in reversible() {
        let kind = case.effect.kind();
        assert!(!case.between.is_empty(), "{kind:?} meets nobody");
        let cases = [case];
        let [case] = &cases;
        for between in &case.between {
            let context = format!("{kind:?}, someone {}", between.what);
            let place = tempfile::tempdir().unwrap();
            let world = world(&cases, true);
            let engine = start(place.path(), &world, &cases).await;
            let plan = approved(&engine).await.unwrap();
            let run = engine.apply(&alice(), &plan.id).await.unwrap();
            let run = ended(&engine, &run.id).await;
            assert_eq!(run.state, RunState::Succeeded, "{context} {run:#?}");
            let target = case.target();
            let mut body = serde_json::from_str(&world.body(&target).unwrap()).unwrap();
            (between.change)(&mut body);
            world.put(target.clone(), body.to_string());
            engine.rollback(&alice(), &run.id).await.unwrap();
            let run = ended(&engine, &run.id).await;
            let now = world.body(&target).unwrap();
            let context = format!("{context} {run:#?}\nnow {now}");
            match between.then {
                Then::Stuck => {
                    assert_eq!(run.state, RunState::Stuck, "{context}");
                    assert_eq!(refusals(&run).last(), Some(Code::RollbackConflict));
                    assert_eq!(now, body.to_string(), "{context}");
                }
                Then::NothingLeft => {
                    assert_eq!(run.state, RunState::RolledBack, "{context}");
                    assert_eq!(now, body.to_string(), "{context}");
                }
                Then::Beside(theirs) => {
                    assert_eq!(run.state, RunState::RolledBack, "{context}");
                    assert_ne!(now, body.to_string(), "{context}");
                    assert!(now.contains(theirs), "{context}");
                }
            }
        }
    }
}

/// How a step fails, and whether it is done in the end all the same.
const TROUBLES: [(Trouble, bool); 5] = [
    (Trouble::Refuse, false),
    (Trouble::LoseRequest, true),
    (Trouble::LoseAnswer, true),
    (Trouble::DieBefore, true),
    (Trouble::DieAfter, true),
];

/// Begins something on an engine, which may die of it; then its end, at the next
/// start if it did.
fn through_death(
    place: &std::path::Path,
    world: &Arc<Anything>,
    cases: &[Case],
    begin: impl AsyncFnOnce(&Engine) -> RunId,
) -> Run {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let (id, run) = first.block_on(async {
        let engine = start(place, world, cases).await;
        let id = begin(&engine).await;
        tokio::select! {
            () = world.died.notified() => (id, None),
            run = ended(&engine, &id) => (id, Some(run)),
        }
    });
    // Every task is dropped where it stands.
    drop(first);
    run.unwrap_or_else(|| {
        runtime().block_on(async {
            let engine = start(place, world, cases).await;
            ended(&engine, &id).await
        })
    })
}

async fn apply(engine: &Engine) -> RunId {
    let plan = approved(engine).await.unwrap();
    engine.apply(&alice(), &plan.id).await.unwrap().id
}

#[test]
fn each_effect_that_fails_on_its_way_is_done_or_not_and_written_at_most_once() {
    for case in performed() {
        let kind = case.effect.kind();
        let cases = [case];
        let [case] = &cases;
        for (trouble, is_done) in TROUBLES {
            let place = tempfile::tempdir().unwrap();
            let world = world(&cases, true);
            world.trouble(0, trouble);
            let run = through_death(place.path(), &world, &cases, apply);
            let context = format!("{kind:?} {trouble:?} {run:#?}");
            if is_done {
                assert_eq!(run.state, RunState::Succeeded, "{context}");
                assert_eq!(world.writes(), [(0, Forward)], "{context}");
            } else {
                assert_eq!(run.state, RunState::Cancelled, "{context}");
                assert!(world.writes().is_empty(), "{context}");
            }
            assert_eq!(is_untouched(case, &world), !is_done, "{context}");
        }
    }
}

#[test]
fn each_effect_that_fails_on_its_way_back_is_taken_back_and_written_at_most_once() {
    for case in reversible() {
        let kind = case.effect.kind();
        let cases = [case];
        let [case] = &cases;
        for (trouble, _) in TROUBLES {
            let place = tempfile::tempdir().unwrap();
            let world = world(&cases, true);
            let begin = async |engine: &Engine| {
                let id = apply(engine).await;
                ended(engine, &id).await;
                world.trouble(0, trouble);
                engine.rollback(&alice(), &id).await.unwrap();
                id
            };
            let run = through_death(place.path(), &world, &cases, begin);
            let context = format!("{kind:?} {trouble:?} {run:#?}");
            // What was refused once is tried again.
            assert_eq!(run.state, RunState::RolledBack, "{context}");
            assert_eq!(world.writes(), [(0, Forward), (0, Back)], "{context}");
            assert!(is_untouched(case, &world), "{context}");
        }
    }
}

#[test]
fn in_a_plan_of_every_reversible_kind_each_step_may_fail_in_turn() {
    let cases = one_of_each();
    for (number, failing) in cases.iter().enumerate() {
        for (trouble, is_done) in TROUBLES {
            let place = tempfile::tempdir().unwrap();
            let world = world(&cases, true);
            world.trouble(number, trouble);
            let run = through_death(place.path(), &world, &cases, apply);
            let context = format!("{:?} {trouble:?} {run:#?}", failing.effect.kind());
            let end = match (is_done, number) {
                (true, _) => RunState::Succeeded,
                (false, 0) => RunState::Cancelled,
                (false, _) => RunState::RolledBack,
            };
            assert_eq!(run.state, end, "{context}");
            for case in &cases {
                assert_eq!(is_untouched(case, &world), !is_done, "{context}");
            }
        }
    }
}

#[test]
fn when_verification_fails_each_step_may_fail_in_turn_on_the_way_back() {
    let cases = one_of_each();
    for number in 0..cases.len() {
        for (trouble, _) in TROUBLES {
            let place = tempfile::tempdir().unwrap();
            let world = world(&cases, false);
            world.trouble(cases.len() + number, trouble);
            let run = through_death(place.path(), &world, &cases, apply);
            let context = format!("{number} {trouble:?} {run:#?}");
            assert_eq!(run.state, RunState::RolledBack, "{context}");
            assert!(cases.iter().all(|c| is_untouched(c, &world)), "{context}");
            assert_eq!(world.writes().len(), 2 * cases.len(), "{context}");
        }
    }
}

#[tokio::test]
async fn an_irreversible_step_that_did_not_mend_leaves_the_run_to_a_person() {
    for case in performed().filter(|case| !is_reversible(case)) {
        let kind = case.effect.kind();
        let place = tempfile::tempdir().unwrap();
        let cases = [case];
        let world = world(&cases, false);
        let engine = start(place.path(), &world, &cases).await;
        let run = apply(&engine).await;
        let run = ended(&engine, &run).await;
        assert_eq!(run.state, RunState::Stuck, "{kind:?} {run:#?}");
        assert!(!run.summary.is_empty(), "{kind:?}");
        assert_eq!(world.writes(), [(0, Forward)], "{kind:?}");
    }
}

#[tokio::test]
async fn an_irreversible_step_before_one_that_fails_leaves_the_run_to_a_person_who_is_told_why() {
    let evict = |name: &str| Case {
        effect: Effect::PodEvict {
            namespace: "kube-system".into(),
            name: name.into(),
        },
        ..case(EffectKind::PodEvict)
    };
    let place = tempfile::tempdir().unwrap();
    let cases = [evict("agent-1"), evict("agent-2")];
    let world = world(&cases, true);
    world.trouble(1, Trouble::Refuse);
    let engine = start(place.path(), &world, &cases).await;
    let run = apply(&engine).await;
    let run = ended(&engine, &run).await;
    assert_eq!(run.state, RunState::Stuck, "{run:#?}");
    assert_eq!(world.writes(), [(0, Forward)], "{run:#?}");
    let codes: Vec<Code> = refusals(&run).collect();
    assert_eq!(codes, [Code::AzureForbidden, Code::RunNotReversible]);
    for why in [
        "step 2 was not done: forbidden",
        "step 1",
        "does not come back",
    ] {
        assert!(run.summary.contains(why), "{why}: {}", run.summary);
    }
}
