//! Reads an AKS-shaped ruleset and finds the rule that decides TCP 10250; tells
//! what a change of it does.

mod support {
    pub mod aks_ruleset;
    pub mod counting_allocator;
    pub mod processor_time;
}

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use naosu_flow::delta::DeltaReport;
use naosu_flow::iptables::{
    Decision, Family, Hook, Knowledge, LocalAddresses, NodeFirewall, Ruleset, node_delta,
};
use naosu_flow::set::{AddressSet, AnalysisTooComplex, FlowBox, PacketSet, PortSet, Space};
use naosu_flow::ufw::{UfwChange, ufw_change};
use support::aks_ruleset::{aks_ruleset, aks_ruleset_with_ufw};
use support::counting_allocator::CountingAllocator;
use support::processor_time::ProcessorTime;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const TIME_LIMIT: Duration = Duration::from_millis(25);
const DELTA_TIME_LIMIT: Duration = Duration::from_millis(500);
/// Of rules that are made to explode.
const ADVERSARIAL_LIMIT: Duration = Duration::from_secs(1);
const MEMORY_LIMIT_BYTES: usize = 64 << 20;
const BLOCK: &str = "-s 10.224.0.0/16 -p tcp -m tcp --dport 10250 -j DROP";

/// The whole question, from the text to the rule.
fn decide(text: &str) -> Decision {
    let ruleset = Ruleset::parse(Family::Ipv4, text).expect("a ruleset");
    let firewall = NodeFirewall::new([ruleset], Knowledge::default());
    let mut space = Space::new();
    let agents = AddressSet::prefix("10.224.0.0/16".parse().expect("a prefix"));
    let asked = FlowBox::new_tcp(agents.clone(), agents, PortSet::single(10_250_u16));
    let asked = space.flow(&asked).expect("a flow");
    let decisions = firewall
        .analyse(&mut space, Hook::Input, asked)
        .expect("decisions");
    let (decision, part) = decisions
        .first_block(&mut space)
        .expect("an answer")
        .expect("a block");
    assert_eq!(
        part, asked,
        "the whole question is blocked, whatever else is unknown"
    );
    decision
}

/// Before and after a change.
type Change = (NodeFirewall, NodeFirewall);

fn node(text: &str) -> NodeFirewall {
    let ruleset = Ruleset::parse(Family::Ipv4, text).expect("a ruleset");
    let own = ["10.224.0.5/16".parse().expect("an address")];
    let knowledge = Knowledge {
        local_addresses: LocalAddresses::all(&own),
        ..Knowledge::default()
    };
    NodeFirewall::new([ruleset], knowledge)
}

fn drop_deleted(size: usize) -> Change {
    (
        node(&aks_ruleset(size, BLOCK)),
        node(&aks_ruleset(size, "")),
    )
}

fn ufw_disabled(size: usize) -> Change {
    let before = node(&aks_ruleset_with_ufw(size));
    let defaults = "MANAGE_BUILTINS=no\n";
    let after = ufw_change(&before, &[], UfwChange::Disable { defaults }).expect("a change");
    (before, after)
}

fn told((before, after): &Change) -> DeltaReport {
    let mut space = Space::new();
    let delta = node_delta(&mut space, before, after, PacketSet::ALL).expect("a delta");
    let report = delta.report(&space).expect("a report");
    assert!(!report.newly_allowed.is_empty() && report.unknown.is_empty());
    report
}

type MakeChange = fn(usize) -> Change;

const CHANGES: [(&str, MakeChange); 2] = [
    ("drop_deleted", drop_deleted),
    ("ufw_disabled", ufw_disabled),
];

fn bench_deltas(criterion: &mut Criterion<ProcessorTime>) {
    for (name, change) in CHANGES {
        let mut group = criterion.benchmark_group(format!("iptables_delta_{name}"));
        group.sample_size(20);
        for size in SIZES {
            let change = change(size);
            group.bench_with_input(
                BenchmarkId::from_parameter(size),
                &change,
                |bencher, change| {
                    bencher.iter(|| black_box(told(black_box(change))));
                },
            );
        }
        group.finish();
        let change = change(SIZES[2]);
        let runs = 20;
        let start = time_on_processor();
        for _ in 0..runs {
            black_box(told(&change));
        }
        let mean = time_on_processor().saturating_sub(start) / runs;
        println!("{name}, 10,000 rules: {mean:?} (limit {DELTA_TIME_LIMIT:?})");
        assert!(mean < DELTA_TIME_LIMIT, "{name} took {mean:?}");
    }
}

/// Rules that overlap in as many ways as addresses and ports allow.
fn adversarial(count: u32) -> String {
    let mut text = String::from("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n");
    for index in 0..count {
        let mixed = index.wrapping_mul(2_654_435_761);
        let width = 8 + mixed % 17;
        let prefix = |bits: u32| {
            let mask = u32::MAX << (32 - width);
            format!("{}/{width}", Ipv4Addr::from(bits & mask))
        };
        let target = if index % 2 == 0 { "DROP" } else { "ACCEPT" };
        let first = (mixed >> 8) % 40_000;
        text.push_str(&format!(
            "-A INPUT -s {} -d {} -p tcp -m tcp --sport {}:60000 --dport {first}:{} -j {target}\n",
            prefix(mixed.rotate_left(7)),
            prefix(mixed.rotate_left(19)),
            mixed % 50_000,
            first + 20_000,
        ));
    }
    text + "COMMIT\n"
}

fn explosion(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("iptables_adversarial");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    for count in [100, 1_000] {
        let text = adversarial(count);
        let before = node(&text);
        let after = node(&text.replacen("-A INPUT", "-A OUTPUT", 1));
        let end = |result: Result<(), AnalysisTooComplex>| match result {
            Ok(()) => "exact answer",
            Err(error) => error.code(),
        };
        let verdicts = || {
            let mut space = Space::new();
            let decided = before.analyse(&mut space, Hook::Input, PacketSet::ALL);
            end(decided.and_then(|decided| decided.decisions.partition(&mut space).map(drop)))
        };
        let delta = || {
            let mut space = Space::new();
            let delta = node_delta(&mut space, &before, &after, PacketSet::ALL);
            end(delta.and_then(|delta| delta.report(&space).map(drop)))
        };
        let questions: [(&str, &dyn Fn() -> &'static str); 2] =
            [("verdicts", &verdicts), ("delta", &delta)];
        for (question, ask) in questions {
            let start = Instant::now();
            let end = ask();
            let took = start.elapsed();
            println!("adversarial {count} rules, {question}: {end} in {took:?}");
            assert!(took < ADVERSARIAL_LIMIT, "took {took:?}");
            group.bench_function(BenchmarkId::new(question, count), |b| b.iter(ask));
        }
    }
    group.finish();
}

fn bench(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("iptables_parse_and_decide_10250");
    group.sample_size(20);
    for size in SIZES {
        let text = aks_ruleset(size, BLOCK);
        let rules = Ruleset::parse(Family::Ipv4, &text)
            .expect("a ruleset")
            .rule_count();
        group.throughput(Throughput::Elements(rules as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &text, |bencher, text| {
            bencher.iter(|| black_box(decide(black_box(text))));
        });
    }
    group.finish();
    check_limits();
}

/// How long this thread has run: what other programs take does not count.
fn time_on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds on the processor"))
}

/// The promises, as the mean of many runs.
fn check_limits() {
    let mut mean = Vec::new();
    for size in SIZES {
        let text = aks_ruleset(size, BLOCK);
        // Many in a row: the kernel counts a thread's time in ticks.
        let runs = u32::try_from(20 * SIZES[2] / size)
            .unwrap_or(u32::MAX)
            .min(500);
        let start = time_on_processor();
        for _ in 0..runs {
            black_box(decide(&text));
        }
        mean.push(time_on_processor().saturating_sub(start) / runs);
    }
    let text = aks_ruleset(SIZES[2], BLOCK);
    ALLOCATOR.reset_peak();
    let before = ALLOCATOR.in_use_bytes();
    black_box(decide(&text));
    let memory = ALLOCATOR.peak_bytes().saturating_sub(before);
    println!(
        "100 / 1,000 / 10,000 rules: {mean:?} (limit {TIME_LIMIT:?}); peak memory at 10,000: {} KiB (limit {} KiB)",
        memory >> 10,
        MEMORY_LIMIT_BYTES >> 10
    );
    assert!(mean[2] < TIME_LIMIT, "10,000 rules took {:?}", mean[2]);
    assert!(
        memory < MEMORY_LIMIT_BYTES,
        "10,000 rules took {memory} bytes"
    );
    // n·log n from 1,000 to 10,000 is a factor of 13.3; a fifth more is fresh memory,
    // caches and noise.
    let growth = mean[2].as_secs_f64() / mean[1].as_secs_f64();
    assert!(
        growth < 16.0,
        "ten times the rules took {growth:.1} times as long"
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = bench, explosion, bench_deltas
}
criterion_main!(benches);
