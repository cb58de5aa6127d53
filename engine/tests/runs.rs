//! What a run does when all goes well, when things change underneath it, and
//! when the process dies at any point.

mod support;

use std::sync::Arc;

use naosu_engine::{
    Code, Naosu,
    model::{
        Event, Run, RunState, StepState, Symptom,
        journal::Way::{Back, Forward},
    },
    store::Store,
};
use support::{
    alice, applied, approved, config, diagnose_for, ended,
    faulty::Faulty,
    open, plan_of,
    plugin::AllowPort,
    start,
    world::{Kubelet, Trouble, World},
};

const GROUPS: [&str; 2] = ["a", "b"];

fn two() -> (Arc<World>, AllowPort) {
    (Arc::new(World::denying(&GROUPS)), AllowPort::new(&GROUPS))
}

#[tokio::test]
async fn an_approved_plan_is_applied_verified_and_taken_back() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let run = applied(&engine, &plan.id).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    assert_eq!(world.writes(), [(0, Forward), (1, Forward)]);
    // What the tunnel said before the first step is written before its intent.
    let kinds: Vec<&str> = run
        .entries
        .iter()
        .map(|entry| naosu_engine::journal::event_name(&entry.event))
        .collect();
    assert_eq!(kinds[..3], ["started", "probed", "intent"]);
    let before = run.tunnel_before().unwrap();
    assert_eq!((before.asked, before.reached), (2, 0), "{before:?}");
    assert_eq!(before.others[0].detail, "i/o timeout");
    let after = run.tunnel_after().unwrap();
    assert!(after.carries());
    // Each of the three probes, before and after.
    for (answers, reached) in [(before, 0), (after, 1)] {
        let logs = answers.logs.as_ref().unwrap();
        assert_eq!((logs.tried, logs.reached), (2, 2 * reached), "{logs:?}");
        let from_agents = answers.from_agents.as_ref().unwrap();
        assert_eq!((from_agents.tried, from_agents.reached), (1, reached));
    }
    let kept_out = &before.from_agents.as_ref().unwrap().others[0];
    assert_eq!(kept_out.node, "node-1");
    assert_eq!(kept_out.detail, "from node-0: i/o timeout");
    assert_eq!(run.tunnel_taken_back(), None);
    let back = engine.rollback(&alice(), &run.id).await.unwrap();
    assert_eq!(back.state, RunState::RollingBack);
    let run = ended(&engine, &run.id).await;
    assert_eq!(run.state, RunState::RolledBack);
    assert_eq!(world.writes()[2..], [(1, Back), (0, Back)]);
    assert_eq!(run.tunnel_taken_back(), run.tunnel_before());
    assert!(GROUPS.iter().all(|g| world.rules(g).is_empty()));
}

#[tokio::test]
async fn a_tunnel_that_does_not_answer_afterwards_has_everything_taken_back() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    world.force_reach(false);
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let run = applied(&engine, &plan.id).await;
    assert_eq!(run.state, RunState::RolledBack);
    assert!(GROUPS.iter().all(|g| world.rules(g).is_empty()));
    let told = [
        run.tunnel_before(),
        run.tunnel_after(),
        run.tunnel_taken_back(),
    ];
    assert!(
        told.iter()
            .all(|t| t.is_some_and(|t| t.asked == 2 && !t.carries()))
    );
}

/// Applies the plan in a world with this kubelet on the second node.
async fn applied_beside(kubelet: Kubelet) -> Run {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    world.kubelet("node-1", kubelet);
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    applied(&engine, &plan.id).await
}

#[tokio::test]
async fn a_node_that_is_silent_for_another_reason_has_no_fix_taken_back_and_is_told() {
    for (kubelet, why) in [
        (
            Kubelet::Stopped,
            "node-1 (packets reach it now, and its kubelet",
        ),
        (
            Kubelet::Unready,
            "node-1 (it is not ready: NodeStatusUnknown)",
        ),
    ] {
        let run = applied_beside(kubelet).await;
        assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
        assert!(run.summary.contains("before: node-0."), "{}", run.summary);
        assert!(run.summary.contains(why), "{}", run.summary);
        let after = run.tunnel_after().unwrap();
        assert_eq!(after.reached_nodes, ["node-0"]);
        assert!(!after.carries(), "what remains is not hidden");
    }
}

#[tokio::test]
async fn a_node_that_the_fix_should_reach_or_that_it_cost_has_everything_taken_back() {
    let silent = applied_beside(Kubelet::Deaf).await;
    assert_eq!(silent.state, RunState::RolledBack, "{silent:#?}");
    let lost = applied_beside(Kubelet::Breaking).await;
    assert_eq!(lost.state, RunState::RolledBack, "{lost:#?}");
    let told = lost.entries.iter().find_map(|entry| match &entry.event {
        Event::Verified { summary, .. } => Some(summary.as_str()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.contains("before and silent now: node-1."), "{told}");
}

#[tokio::test]
async fn of_a_thousand_nodes_the_one_that_the_symptom_names_is_asked_before_and_after() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    world.set_nodes(1000);
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let symptom = Symptom {
        text: "dial tcp 10.224.3.136:10250: i/o timeout".into(),
        nodes: vec![],
    };
    let diagnosis = diagnose_for(&engine, symptom).await.unwrap();
    let plan = plan_of(&engine, diagnosis).await.unwrap();
    let plan = engine
        .approve(&alice(), &plan.id, &plan.digest, "")
        .await
        .unwrap();
    let run = applied(&engine, &plan.id).await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.summary);
    let is_named = |node: &String| node == "node-900";
    let before = run.tunnel_before().unwrap();
    assert!(before.others.iter().any(|other| is_named(&other.node)));
    let after = run.tunnel_after().unwrap();
    assert!(after.reached_nodes.iter().any(is_named));
    assert!(
        run.summary.contains("872 more were not asked"),
        "{}",
        run.summary
    );
    assert_eq!(world.probed().len(), 128);
}

#[tokio::test]
async fn drift_before_the_first_step_cancels_and_before_a_later_one_takes_back() {
    for (group, state) in [("a", RunState::Cancelled), ("b", RunState::RolledBack)] {
        let place = tempfile::tempdir().unwrap();
        let (world, plugin) = two();
        let engine = start(config(), open(place.path()), &world, plugin)
            .await
            .unwrap();
        let plan = approved(&engine).await.unwrap();
        // Not even the rules change, only the version.
        world.meddle(group, |_| {});
        let run = applied(&engine, &plan.id).await;
        assert_eq!(run.state, state, "{run:#?}");
        let drifted =
            |e: &Event| matches!(e, Event::Refused { error, .. } if error.code == Code::Drift);
        assert!(run.entries.iter().any(|e| drifted(&e.event)));
        assert!(world.rules(group).is_empty());
    }
}

#[tokio::test]
async fn a_run_that_could_not_be_verified_is_cancelled_before_its_first_step_with_the_reads_code() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    world.fail_kubernetes(Code::KubernetesUnavailable);
    let run = applied(&engine, &plan.id).await;
    assert_eq!(run.state, RunState::Cancelled, "{run:#?}");
    let refused = run.entries.iter().find_map(|entry| match &entry.event {
        Event::Refused { error, .. } => Some(error.code),
        _ => None,
    });
    assert_eq!(refused, Some(Code::KubernetesUnavailable));
    assert_eq!(world.writes(), []);
}

#[tokio::test]
async fn a_rollback_leaves_what_others_changed_and_is_stuck() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let run = applied(&engine, &plan.id).await;
    world.meddle("b", |rules| {
        if let Some(rule) = rules.get_mut("allow-10250") {
            rule.source_prefixes = vec!["10.0.0.0/8".into()];
        }
    });
    engine.rollback(&alice(), &run.id).await.unwrap();
    let run = ended(&engine, &run.id).await;
    assert_eq!(run.state, RunState::Stuck);
    assert_eq!(world.rules("b")[0].source_prefixes, ["10.0.0.0/8"]);
    let Some(Event::Stuck { error }) = run.entries.last().map(|e| &e.event) else {
        panic!("{run:#?}");
    };
    assert_eq!(error.code, Code::RollbackConflict);
}

#[tokio::test]
async fn a_rollback_keeps_other_rules_that_came_in_between() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let run = applied(&engine, &plan.id).await;
    world.meddle("a", |rules| {
        let mut other = support::plugin::allow_rule();
        other.name = "someone-elses".into();
        other.priority = 300;
        rules.insert(other.name.clone(), other);
    });
    engine.rollback(&alice(), &run.id).await.unwrap();
    assert_eq!(ended(&engine, &run.id).await.state, RunState::RolledBack);
    assert_eq!(world.rules("a")[0].name, "someone-elses");
}

#[tokio::test]
async fn a_lost_answer_is_read_back_and_never_written_twice() {
    for trouble in [Trouble::LoseAnswer, Trouble::LoseRequest] {
        let place = tempfile::tempdir().unwrap();
        let (world, plugin) = two();
        world.trouble(0, trouble);
        let engine = start(config(), open(place.path()), &world, plugin)
            .await
            .unwrap();
        let plan = approved(&engine).await.unwrap();
        let run = applied(&engine, &plan.id).await;
        assert_eq!(run.state, RunState::Succeeded, "{trouble:?} {run:#?}");
        assert_eq!(world.writes(), [(0, Forward), (1, Forward)]);
    }
}

#[tokio::test]
async fn a_refused_second_step_takes_the_first_back() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    world.trouble(1, Trouble::Refuse);
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let run = applied(&engine, &plan.id).await;
    assert_eq!(run.state, RunState::RolledBack);
    assert_eq!(world.writes(), [(0, Forward), (0, Back)]);
}

#[tokio::test]
async fn of_concurrent_applies_of_one_plan_exactly_one_wins() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let (alice, id) = (alice(), plan.id.clone());
    let applies = (0..8).map(|_| engine.apply(&alice, &id));
    let results = futures::future::join_all(applies).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for error in lost {
        assert_eq!(error.unwrap_err().code, Code::PlanAlreadyApplied);
    }
    let run = ended(&engine, &won[0].as_ref().unwrap().id).await;
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(world.writes().len(), 2);
}

#[tokio::test]
async fn while_another_process_executes_a_plan_can_be_approved_but_not_applied() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    let first = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let second = AllowPort::new(&GROUPS);
    let second = start(config(), open(place.path()), &world, second)
        .await
        .unwrap();
    let plan = approved(&second).await.unwrap();
    let refused = second.apply(&alice(), &plan.id).await.unwrap_err();
    assert_eq!(refused.code, Code::ExecutorElsewhere);
    assert_eq!(applied(&first, &plan.id).await.state, RunState::Succeeded);
    assert_eq!(
        ended(&second, &first.runs(None).await.unwrap()[0].id)
            .await
            .state,
        RunState::Succeeded
    );
}

/// Nothing half known: the end is one of the ends, and the world is as it says.
fn require_whole(run: &Run, world: &World, context: &str) {
    let context = format!("{context}: {run:#?}\nwrites {:?}", world.writes());
    let present: Vec<bool> = GROUPS.iter().map(|g| !world.rules(g).is_empty()).collect();
    match run.state {
        RunState::Succeeded => assert_eq!(present, [true, true], "{context}"),
        RunState::RolledBack | RunState::Cancelled => {
            assert_eq!(present, [false, false], "{context}");
        }
        RunState::Stuck => assert!(!run.summary.is_empty(), "{context}"),
        other => panic!("{other:?} is no end; {context}"),
    }
    assert!(!run.steps.contains(&StepState::InFlight) || run.state == RunState::Stuck);
    // Each step was written at most once a way.
    let mut writes = world.writes();
    let count = writes.len();
    writes.sort_by_key(|(step, way)| (*step, *way == Back));
    writes.dedup();
    assert_eq!(writes.len(), count, "{context}");
}

/// Runs with a store that dies after `left` journal writes, then starts again
/// with a sound one. Whether the store had died.
async fn die_and_resume(left: usize, written_anyway: bool, reach: Option<bool>) -> bool {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    if let Some(reach) = reach {
        world.force_reach(reach);
    }
    let faulty = Arc::new(Faulty::new(open(place.path()), left, written_anyway));
    let engine = start(config(), faulty.clone(), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let id = engine.apply(&alice(), &plan.id).await.unwrap().id;
    // Lets the run come as far as it can.
    loop {
        let run = engine.run(&id).await.unwrap();
        if run.state.is_final() || faulty.left.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    engine.shutdown().await;
    let died = !engine.run(&id).await.unwrap().state.is_final();
    drop((engine, faulty));
    let store = open(place.path());
    let engine = start(
        config(),
        store.clone() as Arc<dyn Store>,
        &world,
        AllowPort::new(&GROUPS),
    )
    .await
    .unwrap();
    let run = ended(&engine, &id).await;
    require_whole(
        &run,
        &world,
        &format!("{left} writes, written anyway {written_anyway}"),
    );
    died
}

#[tokio::test]
async fn a_store_that_fails_at_any_write_leaves_a_run_that_the_next_start_ends() {
    for reach in [None, Some(false)] {
        for written_anyway in [false, true] {
            let mut left = 0;
            while die_and_resume(left, written_anyway, reach).await {
                left += 1;
                assert!(left < 40, "the run never ends");
            }
            // Two intents, two outcomes, the verification and the end.
            assert!(left >= 6, "only {left} writes were tried");
        }
    }
}

/// The process dies during the `number`th effect. Whether there was one.
fn die_during_effect(number: usize, trouble: Trouble, reach: Option<bool>) -> bool {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = two();
    if let Some(reach) = reach {
        world.force_reach(reach);
    }
    world.trouble(number, trouble);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (id, died) = runtime.block_on(async {
        let engine = start(config(), open(place.path()), &world, plugin)
            .await
            .unwrap();
        let plan = approved(&engine).await.unwrap();
        let id = engine.apply(&alice(), &plan.id).await.unwrap().id;
        let died = tokio::select! {
            () = world.died.notified() => true,
            _ = ended(&engine, &id) => false,
        };
        (id, died)
    });
    // Every task is dropped where it stands.
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let again = AllowPort::new(&GROUPS);
        let engine = start(config(), open(place.path()), &world, again)
            .await
            .unwrap();
        let run = ended(&engine, &id).await;
        require_whole(&run, &world, &format!("effect {number} {trouble:?}"));
        let end = match reach {
            None => RunState::Succeeded,
            Some(_) => RunState::RolledBack,
        };
        assert_eq!(run.state, end, "effect {number} {trouble:?} {run:#?}");
    });
    died
}

#[test]
fn a_process_that_dies_during_any_effect_either_way_goes_on_and_writes_nothing_twice() {
    for reach in [None, Some(false)] {
        for trouble in [Trouble::DieBefore, Trouble::DieAfter] {
            let mut number = 0;
            while die_during_effect(number, trouble, reach) {
                number += 1;
                assert!(number < 20, "effects without end");
            }
            assert_eq!(number, if reach.is_none() { 2 } else { 4 });
        }
    }
}
