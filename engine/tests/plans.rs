//! What a plan says, who may decide on it, and that it can be derived again.

mod support;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use naosu_engine::{
    Code, Engine, EngineConfig, Naosu,
    clock::Clock,
    facade::{PlanFilter, PlanRequest},
    model::{
        Delta, Digest, Effect, EffectKind, Inverse, PlanState, Principal, Query, Risk,
        query::ObjectRef,
    },
    policy::Policy,
};
use support::{
    alice,
    anything::{Anything, Proposing},
    applied, approved,
    cases::case,
    config, diagnose, open, plan,
    plugin::AllowPort,
    start,
    world::World,
};

fn one() -> (Arc<World>, AllowPort) {
    (Arc::new(World::denying(&["a"])), AllowPort::new(&["a"]))
}

/// A clock that stands where it is put.
struct Standing(std::sync::Mutex<Timestamp>);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn a_fix_of_more_steps_than_anyone_reads_is_refused_and_says_what_else() {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&["a"]));
    let plugin = AllowPort::new(&["a"; 1_001]);
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let error = plan(&engine).await.unwrap_err();
    assert_eq!(error.code, Code::InfeasibleHere);
    assert!(error.message.contains("1001 steps"), "{}", error.message);
    assert!(error.next.contains("node image"), "{}", error.next);
}

#[tokio::test]
async fn a_plan_shows_exactly_the_packets_that_the_rule_opens_and_no_excess() {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&["a"]));
    // Nothing inside the network passes but by a rule of one's own.
    world.meddle("a", |rules| {
        let mut deny = support::plugin::allow_rule();
        deny.name = "deny-all".into();
        deny.priority = 4000;
        deny.protocol = "*".into();
        deny.source_prefixes = vec!["*".into()];
        deny.destination_prefixes = vec!["*".into()];
        deny.destination_ports = vec!["*".into()];
        rules.insert(deny.name.clone(), deny);
    });
    let engine = start(config(), open(place.path()), &world, AllowPort::new(&["a"]))
        .await
        .unwrap();
    let plan = plan(&engine).await.unwrap();
    let step = &plan.content.steps[0];
    let Delta::Computed { report, excess } = &step.delta else {
        panic!("{:?}", step.delta);
    };
    assert!(excess.is_empty(), "{excess:?}");
    assert!(
        report.unknown.is_empty() && report.newly_denied.is_empty(),
        "{report:?}"
    );
    let [opened] = report.newly_allowed.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(
        (
            &*opened.src.join(" "),
            &*opened.dst.join(" "),
            &*opened.ports.join(" "),
            &*opened.direction
        ),
        ("10.224.0.0/16", "10.224.0.0/16", "10250", "inbound")
    );
    assert!(matches!(step.inverse, Inverse::Effect { .. }));
    assert!(step.dry_run.after.lines().count() == step.dry_run.before.lines().count() + 1);
    assert_eq!(plan.content.risk, Risk::Medium);
    assert_eq!(plan.digest, Digest::of_value(&plan.content).unwrap());
}

#[tokio::test]
async fn a_plan_is_derived_again_byte_for_byte_without_reading_anything() {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&["a", "b"]));
    let plugin = AllowPort::new(&["a", "b"]);
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = plan(&engine).await.unwrap();
    // The world goes on; the record does not.
    world.meddle("a", |rules| rules.clear());
    let reads = world.read_count();
    let (again, digest) = engine.rederive(&plan.id).await.unwrap();
    assert_eq!(again, plan.content);
    assert_eq!(digest, plan.digest);
    assert_eq!(world.read_count(), reads);
}

#[tokio::test]
async fn of_a_diagnosis_older_than_the_policy_lets_it_be_no_plan_is_made() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let clock = Arc::new(Standing(std::sync::Mutex::new(Timestamp::UNIX_EPOCH)));
    let mut config = EngineConfig {
        clock: Arc::clone(&clock) as _,
        ..config()
    };
    config.policy.diagnosis_valid_for_secs = 600;
    let engine = start(config, open(place.path()), &world, plugin)
        .await
        .unwrap();
    let request = PlanRequest {
        diagnosis: diagnose(&engine).await.unwrap().id,
        plugin: None,
        parameters: serde_json::Map::new(),
    };
    let pass = |time: SignedDuration| {
        let mut now = clock.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    };
    pass(SignedDuration::from_mins(10));
    let made = engine.create_plan(&alice(), request.clone()).await;
    assert!(made.is_ok(), "{made:?}");
    pass(SignedDuration::from_mins(1));
    let error = engine.create_plan(&alice(), request).await.unwrap_err();
    assert_eq!(error.code, Code::DiagnosisExpired);
    let told = ["11 minutes", "10 minutes"];
    assert!(
        told.iter().all(|age| error.message.contains(age)),
        "{error}"
    );
}

/// An engine with a plugin that proposes this effect on a world of one thing.
async fn proposing(place: &std::path::Path, world: &Arc<Anything>, effect: Effect) -> Engine {
    Engine::start(
        config(),
        open(place),
        vec![Arc::new(Proposing::new(&[effect]))],
        Arc::clone(world) as _,
        Arc::clone(world) as _,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_budget_that_forbids_an_eviction_now_is_a_warning_and_no_obstacle_to_a_plan() {
    let place = tempfile::tempdir().unwrap();
    let case = case(EffectKind::PodEvict);
    let world = Arc::new(Anything::new(true));
    world.put(case.target(), case.before.to_string());
    world.forbid_evictions("The disruption budget agent needs 2 healthy pods and has 2 currently");
    let engine = proposing(place.path(), &world, case.effect).await;
    let plan = plan(&engine).await.unwrap();
    let warnings = &plan.content.warnings;
    let told = warnings.iter().find(|w| w.code == "disruption_budget");
    let told = told.unwrap_or_else(|| panic!("{warnings:?}"));
    assert!(told.message.contains("needs 2 healthy pods"), "{told:?}");
    assert!(told.message.contains("waits for the budget"), "{told:?}");
    assert_eq!(plan.content.steps[0].dry_run.by, "simulated");
    // The warning is among what the plan is derived from.
    let (again, digest) = engine.rederive(&plan.id).await.unwrap();
    assert_eq!((again, digest), (plan.content, plan.digest));
}

#[tokio::test]
async fn a_patch_of_a_secret_gets_no_plan_that_could_show_it() {
    let place = tempfile::tempdir().unwrap();
    let object = ObjectRef {
        api_version: "v1".into(),
        kind: "Secret".into(),
        namespace: "kube-system".into(),
        name: "token".into(),
    };
    let effect = Effect::KubernetesPatch {
        object: object.clone(),
        patch: serde_json::json!({ "metadata": { "labels": { "a": "b" } } }),
    };
    let world = Arc::new(Anything::new(true));
    let secret = r#"{ "data": { "token": "aHVudGVyMg==" } }"#;
    world.put(Query::KubernetesGet { object }, secret.into());
    let engine = proposing(place.path(), &world, effect).await;
    let error = plan(&engine).await.unwrap_err();
    assert_eq!(error.code, Code::ObservationNotGranted);
    assert!(
        error.message.contains("secret/kube-system/token"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("aHVudGVyMg"));
    let plans = engine.plans(&PlanFilter::default()).await.unwrap();
    assert!(plans.is_empty());
}

#[tokio::test]
async fn a_plugin_that_proposes_what_it_never_declared_gets_no_plan() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let engine = start(config(), open(place.path()), &world, plugin.undeclared())
        .await
        .unwrap();
    assert_eq!(
        plan(&engine).await.unwrap_err().code,
        Code::PluginMisbehaved
    );
}

#[tokio::test]
async fn the_finding_carries_the_id_of_the_plugin_that_the_host_asked() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let diagnosis = diagnose(&engine).await.unwrap();
    assert_eq!(diagnosis.findings[0].plugin, "allow-port");
    assert_eq!(engine.diagnosis(&diagnosis.id).await.unwrap(), diagnosis);
}

#[tokio::test]
async fn an_assistant_never_decides_and_a_stale_digest_decides_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = plan(&engine).await.unwrap();
    let assistant = Principal::assistant("mcp:session");
    let stale = Digest::of_bytes(b"what was shown before");
    for (principal, digest, code) in [
        (&assistant, &plan.digest, Code::ApprovalForbidden),
        (&alice(), &stale, Code::StaleDigest),
    ] {
        let approved = engine.approve(principal, &plan.id, digest, "").await;
        assert_eq!(approved.unwrap_err().code, code);
        let rejected = engine.reject(principal, &plan.id, digest, "").await;
        assert_eq!(rejected.unwrap_err().code, code);
    }
    let plan = engine.plan(&plan.id).await.unwrap();
    assert_eq!(
        (plan.state, plan.approvals.len()),
        (PlanState::PendingApproval, 0)
    );
    let apply = engine.apply(&alice(), &plan.id).await.unwrap_err();
    assert_eq!(apply.code, Code::PlanNotApproved);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_policy_of_four_eyes_refuses_the_requester_and_the_same_approver_twice() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let policy = Policy {
        requester_may_approve: false,
        approvals: 2,
        ..Policy::default()
    };
    let config = EngineConfig { policy, ..config() };
    let engine = start(config, open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = plan(&engine).await.unwrap();
    let decide = async |name: &str| {
        let principal = Principal::person(name);
        let decided = engine.approve(&principal, &plan.id, &plan.digest, "").await;
        decided.map(|p| p.state).map_err(|e| e.code)
    };
    assert_eq!(decide("alice").await, Err(Code::ApprovalForbidden));
    assert_eq!(decide("bob").await, Ok(PlanState::PendingApproval));
    assert_eq!(decide("bob").await, Err(Code::PlanAlreadyDecided));
    assert_eq!(decide("carol").await, Ok(PlanState::Approved));
    assert_eq!(decide("dave").await, Err(Code::PlanAlreadyDecided));
}

#[tokio::test]
async fn one_person_is_one_approver_and_no_other_than_the_requester_by_whatever_name() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let policy = Policy {
        requester_may_approve: false,
        approvals: 2,
        ..Policy::default()
    };
    let config = EngineConfig { policy, ..config() };
    let engine = start(config, open(place.path()), &world, plugin)
        .await
        .unwrap();
    let diagnosis = diagnose(&engine).await.unwrap();
    let assistant = Principal::assistant("mcp:os-user:alice");
    let request = naosu_engine::facade::PlanRequest {
        diagnosis: diagnosis.id,
        plugin: None,
        parameters: serde_json::Map::new(),
    };
    let plan = engine.create_plan(&assistant, request).await.unwrap();
    let decide = async |principal: Principal| {
        let decided = engine.approve(&principal, &plan.id, &plan.digest, "").await;
        decided.map(|p| p.state).map_err(|e| e.code)
    };
    for alice in [
        Principal::person("alice"),
        Principal::person("os-user:alice"),
        Principal::person("carol").acting_for(Some("alice")),
    ] {
        assert_eq!(decide(alice).await, Err(Code::ApprovalForbidden));
    }
    let bob = Principal::person("os-user:bob");
    assert_eq!(decide(bob).await, Ok(PlanState::PendingApproval));
    for bob in [
        Principal::person("bob"),
        Principal::person("carol").acting_for(Some("bob")),
    ] {
        assert_eq!(decide(bob).await, Err(Code::PlanAlreadyDecided));
    }
    let carol = Principal::person("os-user:carol");
    assert_eq!(decide(carol).await, Ok(PlanState::Approved));
}

#[tokio::test]
async fn an_expired_plan_is_neither_approved_nor_applied() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let clock = Arc::new(Standing(std::sync::Mutex::new(Timestamp::UNIX_EPOCH)));
    let config = EngineConfig {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..config()
    };
    let engine = start(config, open(place.path()), &world, plugin)
        .await
        .unwrap();
    let in_time = approved(&engine).await.unwrap();
    let pending = plan(&engine).await.unwrap();
    let later = in_time
        .content
        .expires_at
        .checked_add(SignedDuration::from_secs(1));
    *clock.0.lock().unwrap() = later.unwrap();
    let late = engine
        .approve(&alice(), &pending.id, &pending.digest, "")
        .await;
    assert_eq!(late.unwrap_err().code, Code::PlanExpired);
    let late = engine.apply(&alice(), &in_time.id).await;
    assert_eq!(late.unwrap_err().code, Code::PlanExpired);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_rejected_plan_stays_rejected_and_an_applied_one_is_not_applied_again() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let rejected = plan(&engine).await.unwrap();
    engine
        .reject(&alice(), &rejected.id, &rejected.digest, "no")
        .await
        .unwrap();
    let approve = engine
        .approve(&alice(), &rejected.id, &rejected.digest, "")
        .await;
    assert_eq!(approve.unwrap_err().code, Code::PlanRejected);
    assert_eq!(
        engine.apply(&alice(), &rejected.id).await.unwrap_err().code,
        Code::PlanRejected
    );
    let plan = approved(&engine).await.unwrap();
    applied(&engine, &plan.id).await;
    let again = engine.apply(&alice(), &plan.id).await.unwrap_err();
    assert_eq!(again.code, Code::PlanAlreadyApplied);
    // Nor is it decided on afterwards, which would change nothing.
    let late = engine.reject(&alice(), &plan.id, &plan.digest, "").await;
    assert_eq!(late.unwrap_err().code, Code::PlanAlreadyApplied);
}

#[tokio::test]
async fn a_change_of_policy_or_plugin_since_the_approval_is_drift() {
    let place = tempfile::tempdir().unwrap();
    let (world, plugin) = one();
    let engine = start(config(), open(place.path()), &world, plugin)
        .await
        .unwrap();
    let plan = approved(&engine).await.unwrap();
    engine.shutdown().await;
    drop(engine);
    let policy = Policy {
        strong_approvals: 3,
        ..Policy::default()
    };
    let stricter = EngineConfig { policy, ..config() };
    for (config, plugin) in [
        (stricter, AllowPort::new(&["a"])),
        (config(), AllowPort::new(&["a"]).rebuilt()),
    ] {
        let engine = start(config, open(place.path()), &world, plugin)
            .await
            .unwrap();
        let apply = engine.apply(&alice(), &plan.id).await.unwrap_err();
        assert_eq!(apply.code, Code::Drift, "{apply:?}");
        engine.shutdown().await;
    }
    assert!(world.writes().is_empty());
}
