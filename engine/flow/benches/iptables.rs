//! Reads an AKS-shaped ruleset and finds the rule that decides TCP 10250.

mod support {
    pub mod aks_ruleset;
    pub mod counting_allocator;
    pub mod processor_time;
}

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use naosu_flow::iptables::{Decision, Family, Hook, Knowledge, NodeFirewall, Ruleset};
use naosu_flow::set::{AddressSet, FlowBox, PortSet, Space};
use support::aks_ruleset::aks_ruleset;
use support::counting_allocator::CountingAllocator;
use support::processor_time::ProcessorTime;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const TIME_LIMIT: Duration = Duration::from_millis(25);
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
    // n·log n from 1,000 to 10,000 is a factor of 13.3; as much again is noise.
    let growth = mean[2].as_secs_f64() / mean[1].as_secs_f64();
    assert!(
        growth < 20.0,
        "ten times the rules took {growth:.1} times as long"
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = bench
}
criterion_main!(benches);
