//! A run goes on as long as its plan could be applied and no longer, and a live
//! server drives it until it has ended.

mod support;

use std::sync::{Arc, Mutex, atomic::Ordering};

use jiff::{SignedDuration, Timestamp};
use naosu_engine::{
    Code, Engine, EngineConfig, Naosu,
    clock::Clock,
    model::{
        Event, Run, RunId, RunState,
        journal::Way::{Back, Forward},
    },
};
use support::{
    alice, applied, approved, config, ended,
    faulty::Faulty,
    open,
    plugin::AllowPort,
    start,
    world::{Trouble, World},
};

const GROUPS: [&str; 2] = ["a", "b"];

/// A clock that stands where it is put.
struct Standing(Mutex<Timestamp>);

impl Standing {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Timestamp::UNIX_EPOCH)))
    }

    fn pass(&self, time: SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }
}

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A process that dies in a run, and the one that comes after it.
struct Death {
    place: tempfile::TempDir,
    world: Arc<World>,
    clock: Arc<Standing>,
}

impl Death {
    fn new() -> Self {
        Self {
            place: tempfile::tempdir().unwrap(),
            world: Arc::new(World::denying(&GROUPS)),
            clock: Standing::new(),
        }
    }

    fn config(&self) -> EngineConfig {
        EngineConfig {
            clock: Arc::clone(&self.clock) as _,
            ..config()
        }
    }

    async fn engine(&self, config: EngineConfig, plugin: AllowPort) -> Engine {
        let store = open(self.place.path());
        start(config, store, &self.world, plugin).await.unwrap()
    }

    /// Dies when the step of this number is about to be written, after `meanwhile`.
    fn before_step(&self, step: usize, meanwhile: impl AsyncFnOnce(&Engine, &Run)) -> RunId {
        self.world.trouble(step, Trouble::DieBefore);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let engine = self.engine(self.config(), AllowPort::new(&GROUPS)).await;
            let plan = approved(&engine).await.unwrap();
            let run = engine.apply(&alice(), &plan.id).await.unwrap();
            self.world.died.notified().await;
            meanwhile(&engine, &run).await;
            run.id
        })
    }

    /// What the next process makes of it.
    fn resumed(&self, id: &RunId, config: EngineConfig, plugin: AllowPort) -> Run {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let engine = self.engine(config, plugin).await;
            ended(&engine, id).await
        })
    }
}

async fn nothing(_: &Engine, _: &Run) {}

/// Why the run went no further.
fn refusal(run: &Run) -> Code {
    let mut refusals = run.entries.iter().filter_map(|entry| match &entry.event {
        Event::Refused { error, .. } => Some(error.code),
        _ => None,
    });
    refusals.next_back().unwrap()
}

#[test]
fn a_resumed_run_whose_plan_expired_meanwhile_goes_back_or_is_cancelled() {
    for (step, end) in [(0, RunState::Cancelled), (1, RunState::RolledBack)] {
        let death = Death::new();
        let id = death.before_step(step, nothing);
        death.clock.pass(SignedDuration::from_hours(2));
        let run = death.resumed(&id, death.config(), AllowPort::new(&GROUPS));
        assert_eq!(run.state, end, "{run:#?}");
        assert_eq!(refusal(&run), Code::PlanExpired);
        assert!(run.summary.contains("expired"), "{}", run.summary);
        assert!(GROUPS.iter().all(|g| death.world.rules(g).is_empty()));
        assert!(!death.world.writes().contains(&(1, Forward)));
    }
}

#[test]
fn a_resumed_run_goes_no_further_under_another_policy_or_by_another_plugin() {
    for another_plugin in [false, true] {
        let death = Death::new();
        let id = death.before_step(1, nothing);
        let mut config = death.config();
        config.policy.requester_may_approve = another_plugin;
        let plugin = AllowPort::new(&GROUPS);
        let plugin = if another_plugin {
            plugin.rebuilt()
        } else {
            plugin
        };
        let run = death.resumed(&id, config, plugin);
        assert_eq!(run.state, RunState::RolledBack, "{run:#?}");
        assert_eq!(refusal(&run), Code::Drift);
        assert_eq!(death.world.writes(), [(0, Forward), (0, Back)]);
    }
}

#[test]
fn a_resumed_run_whose_plan_is_as_it_was_goes_on() {
    let death = Death::new();
    let id = death.before_step(1, nothing);
    death.clock.pass(SignedDuration::from_mins(30));
    let run = death.resumed(&id, death.config(), AllowPort::new(&GROUPS));
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
}

#[test]
fn a_rejection_during_a_run_stops_it_before_the_next_step_and_takes_back() {
    let death = Death::new();
    let id = death.before_step(1, async |engine: &Engine, run: &Run| {
        let plan = engine
            .reject(&alice(), &run.plan, &run.plan_digest, "stop")
            .await;
        assert!(plan.is_ok(), "{plan:?}");
    });
    let run = death.resumed(&id, death.config(), AllowPort::new(&GROUPS));
    assert_eq!(run.state, RunState::RolledBack, "{run:#?}");
    assert_eq!(refusal(&run), Code::PlanRejected);
    assert_eq!(death.world.writes(), [(0, Forward), (0, Back)]);
}

#[tokio::test]
async fn a_plan_whose_steps_are_in_place_cannot_be_rejected_any_more() {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&GROUPS));
    let engine = start(
        config(),
        open(place.path()),
        &world,
        AllowPort::new(&GROUPS),
    )
    .await
    .unwrap();
    let plan = approved(&engine).await.unwrap();
    assert_eq!(applied(&engine, &plan.id).await.state, RunState::Succeeded);
    let late = engine.reject(&alice(), &plan.id, &plan.digest, "").await;
    let late = late.unwrap_err();
    assert_eq!(late.code, Code::PlanAlreadyApplied);
    assert!(late.next.contains("run rollback"), "{}", late.next);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_stops_a_run_of_a_live_server_no_longer_than_that() {
    for written_anyway in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let world = Arc::new(World::denying(&GROUPS));
        let store = Arc::new(Faulty::new(open(place.path()), 2, written_anyway));
        let engine = start(
            config(),
            Arc::clone(&store) as _,
            &world,
            AllowPort::new(&GROUPS),
        )
        .await
        .unwrap();
        let plan = approved(&engine).await.unwrap();
        let run = engine.apply(&alice(), &plan.id).await.unwrap();
        // It fails, and is tried again in vain.
        store.failures.acquire_many(3).await.unwrap().forget();
        let stopped = engine.run(&run.id).await.unwrap();
        assert!(!stopped.state.is_final(), "{stopped:#?}");
        store.left.store(1_000, Ordering::SeqCst);
        let run = ended(&engine, &run.id).await;
        assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
        assert_eq!(world.writes(), [(0, Forward), (1, Forward)]);
    }
}

#[tokio::test]
async fn a_run_that_brings_its_task_down_again_and_again_is_left_to_a_person() {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&GROUPS));
    let plugin = AllowPort::new(&GROUPS).panicking();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    let run = applied(&engine, &plan.id).await;
    assert_eq!(run.state, RunState::Stuck, "{run:#?}");
    assert!(run.summary.contains("on purpose"), "{}", run.summary);
    // Whoever looks can take it back: the server is alive and drives it.
    engine.rollback(&alice(), &run.id).await.unwrap();
    let run = ended(&engine, &run.id).await;
    assert_eq!(run.state, RunState::RolledBack, "{run:#?}");
    assert!(GROUPS.iter().all(|g| world.rules(g).is_empty()));
}
