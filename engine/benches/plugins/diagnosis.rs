//! Diagnosing and planning with all plugins over recorded observations, through
//! the engine as it is served: snapshot, sandbox, digests and store.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion};
use futures::StreamExt;
use naosu_engine::{
    Engine, EngineConfig, Naosu,
    facade::{DiagnoseProgress, DiagnoseRequest, PlanRequest},
    model::{ClusterId, Diagnosis, Judgement, Plan, Principal, Symptom},
    plugin::{HostSettings, Origin, Plugin, PluginHost},
    store::SqliteStore,
};
use naosu_plugin::testing::Estate;

use crate::{
    large_estate::{Fault, record},
    replay::Replay,
};

const SIZES: [u32; 3] = [10, 100, 1_000];

struct Bench {
    engine: Engine,
    cluster: ClusterId,
    someone: Principal,
}

impl Bench {
    async fn start(
        plugins: &[Arc<dyn Plugin>],
        replay: Arc<Replay>,
        folder: &tempfile::TempDir,
    ) -> Self {
        let file = folder
            .path()
            .join(format!("{}.db", Arc::as_ptr(&replay) as usize));
        let store = Arc::new(SqliteStore::open(&file).expect("a store"));
        let (observer, effector) = (Arc::clone(&replay), replay);
        Self {
            engine: Engine::start(
                EngineConfig::default(),
                store,
                plugins.to_vec(),
                observer,
                effector,
            )
            .await
            .expect("an engine"),
            cluster: Estate::cluster().id.parse().expect("an id"),
            someone: Principal::person("someone"),
        }
    }

    async fn diagnose(&self) -> Diagnosis {
        let request = DiagnoseRequest {
            cluster: self.cluster.clone(),
            symptom: Symptom::default(),
            plugins: Vec::new(),
        };
        let mut items = self
            .engine
            .diagnose(&self.someone, request)
            .await
            .expect("it begins");
        while let Some(item) = items.next().await {
            if let DiagnoseProgress::Finished { diagnosis } = item.expect("progress") {
                return *diagnosis;
            }
        }
        panic!("no diagnosis");
    }

    async fn plan(&self, diagnosis: &Diagnosis, plugin: &str) -> Plan {
        let request = PlanRequest {
            diagnosis: diagnosis.id.clone(),
            plugin: Some(plugin.to_owned()),
            parameters: serde_json::Map::new(),
        };
        let plan = self.engine.create_plan(&self.someone, request).await;
        plan.expect("a plan")
    }
}

/// Every plugin judged, and exactly the right ones confirmed.
fn check(diagnosis: &Diagnosis, plugins: usize, cause: &str) {
    assert!(diagnosis.failures.is_empty(), "{:?}", diagnosis.failures);
    assert_eq!(diagnosis.findings.len(), plugins);
    let confirmed: Vec<&str> = diagnosis
        .findings
        .iter()
        .filter(|finding| finding.judgement == Judgement::Confirmed)
        .map(|finding| finding.plugin.as_str())
        .collect();
    assert!(confirmed.contains(&cause), "{confirmed:?}");
}

pub fn all_plugins(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let host = PluginHost::new(HostSettings::default()).expect("a sandbox");
    let plugins: Vec<Arc<dyn Plugin>> = runtime.block_on(async {
        let mut plugins = Vec::new();
        for component in naosu_bundle::COMPONENTS {
            let plugin = host.load(component.bytes, Origin::Bundled).await;
            plugins.push(plugin.expect("a plugin"));
        }
        plugins
    });
    for (name, fault, plugin) in [
        ("nsg", Fault::SecurityGroup, "nsg-allow-port"),
        ("one_node", Fault::OneNode, "iptables-delete-rule"),
    ] {
        let mut group = criterion.benchmark_group(format!("all_plugins_{name}"));
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(3));
        for nodes in SIZES {
            let folder = tempfile::tempdir().expect("a folder");
            let replay = Replay::of(&record(nodes, fault));
            let bench = runtime.block_on(Bench::start(&plugins, replay, &folder));
            let found = runtime.block_on(bench.diagnose());
            check(&found, plugins.len(), plugin);
            group.bench_function(BenchmarkId::new("diagnose", nodes), |bencher| {
                bencher
                    .to_async(&runtime)
                    .iter(|| async { black_box(bench.diagnose().await) });
            });
            group.bench_function(BenchmarkId::new("plan", nodes), |bencher| {
                bencher
                    .to_async(&runtime)
                    .iter(|| async { black_box(bench.plan(&found, plugin).await) });
            });
        }
        group.finish();
    }
}
