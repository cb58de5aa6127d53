//! Calls of a plugin in the sandbox (instantiate, call, drop) beside the same
//! logic compiled natively, on the same recorded observations: diagnosing, and
//! placing one rule in the largest security group there can be.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion};
use naosu_engine::{
    model::Symptom,
    plugin::{HostSettings, Origin, Plugin as Loaded, PluginHost},
};
use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{Plugin as _, testing::Estate};
use serde_json::{Map, Value, json};

use crate::{processor_time::ProcessorTime, replay::Replay};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn loaded(runtime: &tokio::runtime::Runtime) -> (PluginHost, Arc<dyn Loaded>) {
    let host = PluginHost::new(HostSettings::default()).expect("a sandbox");
    let component = naosu_bundle::COMPONENTS
        .iter()
        .find(|component| component.id == "nsg-allow-port")
        .expect("the plugin is bundled");
    let plugin = runtime.block_on(host.load(component.bytes, Origin::Bundled));
    (host, plugin.expect("the plugin loads"))
}

fn denying(nodes: u32) -> Estate {
    Estate {
        nodes,
        subnet_rules: vec![
            Estate::rule("allow-https", "Inbound", 120, "Allow", "443"),
            Estate::rule("deny-kubelet", "Inbound", 200, "Deny", "10250"),
        ],
        ..Estate::default()
    }
}

/// A group with all but one of the rules a group may have: one for each part of
/// the nodes' subnet but the agent's own, so that each meets a rule for the whole
/// subnet, and a deny for everything at the end.
fn full_group() -> Estate {
    let mut rules: Vec<Value> = (1..999_u16)
        .map(|index| {
            let access = if index % 3 == 0 { "Deny" } else { "Allow" };
            let priority = 100 + 2 * index;
            let mut rule = Estate::rule(&format!("rule-{index}"), "Inbound", priority, access, "*");
            let (high, low) = (index / 4, index % 4 * 64);
            let properties = &mut rule["properties"];
            properties["sourceAddressPrefix"] = json!(format!("10.224.{high}.{low}/26"));
            properties["destinationAddressPrefix"] = json!("10.224.0.0/16");
            if index % 4 == 1 {
                properties["destinationPortRange"] = json!("10000-20000");
            }
            rule
        })
        .collect();
    rules.push(Estate::rule("deny-all", "Inbound", 4_000, "Deny", "*"));
    Estate {
        subnet_rules: rules,
        ..Estate::default()
    }
}

pub fn diagnose(criterion: &mut Criterion<ProcessorTime>) {
    let runtime = runtime();
    let (_host, plugin) = loaded(&runtime);
    let cluster = Estate::cluster();
    let id = cluster.id.parse().expect("an id");
    let symptom = Symptom::default();
    let guest_symptom = naosu_plugin::Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    let mut group = criterion.benchmark_group("plugin_call");
    for nodes in [3, 1_000] {
        let recorded = denying(nodes).record();
        let reads = Replay::of(&recorded);
        group.bench_function(BenchmarkId::new("native", nodes), |bencher| {
            bencher.iter(|| {
                let finding = NsgAllowPort::diagnose(&recorded, &cluster, &guest_symptom);
                black_box(finding.expect("a finding"))
            });
        });
        group.bench_function(BenchmarkId::new("sandboxed", nodes), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let finding = plugin.diagnose(&id, &symptom, reads.clone()).await;
                black_box(finding.expect("a finding"))
            });
        });
    }
    group.finish();
}

/// The whole of planning: reading the group, judging it, the priority with its
/// proof and delta, and the step.
pub fn plan(criterion: &mut Criterion<ProcessorTime>) {
    let runtime = runtime();
    let (_host, plugin) = loaded(&runtime);
    let cluster = Estate::cluster();
    let id = cluster.id.parse().expect("an id");
    let recorded = full_group().record();
    let reads = Replay::of(&recorded);
    let guest_symptom = naosu_plugin::Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    let found = NsgAllowPort::diagnose(&recorded, &cluster, &guest_symptom).expect("a finding");
    let finding = runtime
        .block_on(plugin.diagnose(&id, &Symptom::default(), reads.clone()))
        .expect("a finding");
    let mut group = criterion.benchmark_group("plugin_plan");
    // A plan judges anew before it places its rule.
    let symptom = Symptom::default();
    group.bench_function(BenchmarkId::new("native", "judging"), |bencher| {
        bencher.iter(|| {
            let finding = NsgAllowPort::diagnose(&recorded, &cluster, &guest_symptom);
            black_box(finding.expect("a finding"))
        });
    });
    group.bench_function(BenchmarkId::new("sandboxed", "judging"), |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let finding = plugin.diagnose(&id, &symptom, reads.clone()).await;
            black_box(finding.expect("a finding"))
        });
    });
    for scope in ["addresses", "subnet"] {
        let mut parameters = Map::new();
        parameters.insert("scope".to_owned(), json!(scope));
        let text = Value::Object(parameters.clone()).to_string();
        group.bench_function(BenchmarkId::new("native", scope), |bencher| {
            bencher.iter(|| {
                let proposal = NsgAllowPort::plan(&recorded, &cluster, &found, &text);
                black_box(proposal.expect("a proposal"))
            });
        });
        group.bench_function(BenchmarkId::new("sandboxed", scope), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let proposal = plugin.plan(&id, &finding, &parameters, reads.clone()).await;
                black_box(proposal.expect("a proposal"))
            });
        });
    }
    group.finish();
}
