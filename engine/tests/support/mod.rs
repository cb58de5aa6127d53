//! A model cluster for tests of the engine: one security group that denies, a
//! plugin that allows, and a tunnel that answers accordingly.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod anything;
pub mod cases;
pub mod faulty;
pub mod plugin;
pub mod world;

use std::{path::Path, sync::Arc, time::Duration};

use futures::StreamExt;
use naosu_engine::{
    Engine, EngineConfig, Error, Naosu,
    facade::{DiagnoseProgress, DiagnoseRequest, PlanRequest},
    model::{ClusterId, Diagnosis, Plan, PlanId, Principal, Run, RunId, Symptom},
    policy::Policy,
    run::RunSettings,
    store::{SqliteStore, Store},
};

use self::{plugin::AllowPort, world::World};

pub const CLUSTER: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks";

pub fn cluster() -> ClusterId {
    CLUSTER.parse().unwrap()
}

pub fn alice() -> Principal {
    Principal::person("alice")
}

/// Waits short enough for tests.
pub fn config() -> EngineConfig {
    EngineConfig {
        policy: Policy::default(),
        runs: RunSettings {
            verify_for: Duration::from_millis(20),
            verify_pause: Duration::from_millis(2),
            retry_pause: Duration::from_millis(1),
        },
        ..EngineConfig::default()
    }
}

pub fn open(directory: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(&directory.join("naosu.db")).unwrap())
}

pub async fn start(
    config: EngineConfig,
    store: Arc<dyn Store>,
    world: &Arc<World>,
    plugin: AllowPort,
) -> Result<Engine, Error> {
    Engine::start(
        config,
        store,
        vec![Arc::new(plugin)],
        Arc::clone(world) as _,
        Arc::clone(world) as _,
    )
    .await
}

pub async fn diagnose(engine: &Engine) -> Result<Diagnosis, Error> {
    diagnose_for(engine, Symptom::default()).await
}

pub async fn diagnose_for(engine: &Engine, symptom: Symptom) -> Result<Diagnosis, Error> {
    let request = DiagnoseRequest {
        cluster: cluster(),
        symptom,
        plugins: Vec::new(),
    };
    let mut items = engine.diagnose(&alice(), request).await?;
    while let Some(item) = items.next().await {
        if let DiagnoseProgress::Finished { diagnosis } = item? {
            return Ok(*diagnosis);
        }
    }
    panic!("the stream ended without a diagnosis");
}

pub async fn plan(engine: &Engine) -> Result<Plan, Error> {
    let diagnosis = diagnose(engine).await?;
    plan_of(engine, diagnosis).await
}

pub async fn plan_of(engine: &Engine, diagnosis: Diagnosis) -> Result<Plan, Error> {
    let request = PlanRequest {
        diagnosis: diagnosis.id,
        plugin: None,
        parameters: serde_json::Map::new(),
    };
    engine.create_plan(&alice(), request).await
}

pub async fn approved(engine: &Engine) -> Result<Plan, Error> {
    let plan = plan(engine).await?;
    engine.approve(&alice(), &plan.id, &plan.digest, "").await
}

/// The run when it has ended, or when nothing more is written in `patience`.
pub async fn ended(engine: &Engine, id: &RunId) -> Run {
    let mut items = engine.watch_run(id).await.unwrap();
    let mut last = None;
    let watching = async {
        while let Some(item) = items.next().await {
            last = Some(item.unwrap());
        }
    };
    let patience = Duration::from_secs(20);
    assert!(
        tokio::time::timeout(patience, watching).await.is_ok(),
        "{id:?} does not end"
    );
    last.unwrap()
}

pub async fn applied(engine: &Engine, id: &PlanId) -> Run {
    let run = engine.apply(&alice(), id).await.unwrap();
    ended(engine, &run.id).await
}
