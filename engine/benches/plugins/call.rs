//! One call of a plugin in the sandbox (instantiate, diagnose, drop) beside the
//! same logic compiled natively, on the same recorded observations.

use std::{collections::HashMap, hint::black_box, sync::Arc};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use naosu_engine::{
    Code,
    model::{Digest, Observation, ObserveError, ObserveErrorKind, Query, Symptom},
    plugin::{HostSettings, Origin, PluginHost, Reads},
};
use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Plugin as _,
    testing::{Estate, OBSERVED_AT, Recorded},
};

/// Recorded reads as the engine keeps them.
struct Replay(HashMap<Query, Observation>);

#[async_trait]
impl Reads for Replay {
    async fn read(&self, query: &Query) -> Observation {
        match self.0.get(query) {
            Some(observation) => observation.clone(),
            None => observation(query.clone(), None),
        }
    }
}

fn observation(query: Query, body: Option<String>) -> Observation {
    let at = i64::try_from(OBSERVED_AT).expect("a time");
    Observation {
        digest: Digest::of_bytes(body.as_deref().unwrap_or_default().as_bytes()),
        answer: body.ok_or_else(|| ObserveError {
            kind: ObserveErrorKind::NotFound,
            code: Code::AzureNotFound,
            message: query.to_string(),
        }),
        query,
        version: None,
        observed_at: Timestamp::from_millisecond(at).expect("a time"),
    }
}

fn query(query: &naosu_plugin::Query) -> Query {
    use naosu_plugin::Query as Guest;
    match query.clone() {
        Guest::AzureGet(resource) => Query::AzureGet { resource },
        Guest::AzureList(path) => Query::AzureList { path },
        Guest::KubernetesList(list) => Query::KubernetesList {
            api_version: list.api_version,
            object_kind: list.kind,
            namespace: list.namespace,
            label_selector: list.label_selector,
        },
        other => panic!("not recorded by the estate: {other:?}"),
    }
}

fn replay(recorded: &Recorded) -> Arc<dyn Reads> {
    let answers = recorded.0.iter().map(|(asked, answer)| {
        let body = answer.as_ref().ok().map(|answer| answer.body.clone());
        (query(asked), observation(query(asked), body))
    });
    Arc::new(Replay(answers.collect()))
}

fn estate(nodes: u32) -> Estate {
    Estate {
        nodes,
        subnet_rules: vec![
            Estate::rule("allow-https", "Inbound", 120, "Allow", "443"),
            Estate::rule("deny-kubelet", "Inbound", 200, "Deny", "10250"),
        ],
        ..Estate::default()
    }
}

fn plugin_call(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let host = PluginHost::new(HostSettings::default()).expect("a sandbox");
    let component = naosu_bundle::COMPONENTS
        .iter()
        .find(|component| component.id == "nsg-allow-port")
        .expect("the plugin is bundled");
    let plugin = runtime
        .block_on(host.load(component.bytes, Origin::Bundled))
        .expect("the plugin loads");
    let cluster = Estate::cluster();
    let id = cluster.id.parse().expect("an id");
    let symptom = Symptom::default();
    let guest_symptom = naosu_plugin::Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    let mut group = criterion.benchmark_group("plugin_call");
    for nodes in [3, 1_000] {
        let recorded = estate(nodes).record();
        let reads = replay(&recorded);
        group.bench_function(BenchmarkId::new("native", nodes), |bencher| {
            bencher.iter(|| {
                let finding = NsgAllowPort::diagnose(&recorded, &cluster, &guest_symptom);
                black_box(finding.expect("a finding"))
            });
        });
        group.bench_function(BenchmarkId::new("sandboxed", nodes), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let finding = plugin.diagnose(&id, &symptom, Arc::clone(&reads)).await;
                black_box(finding.expect("a finding"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, plugin_call);
criterion_main!(benches);
