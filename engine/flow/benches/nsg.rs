//! Security groups: placing one rule with its exact delta, growth, and rules
//! chosen to explode.

mod support {
    pub mod processor_time;
}

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ipnet::IpNet;
use naosu_flow::nsg::{
    Access, Direction, Nsg, NsgRule, PlacementRequest, TagContext, nsg_delta, place,
};
use naosu_flow::policy::Policy;
use naosu_flow::set::{AddressSet, FlowBox, PacketSet, PortSet, Space};
use support::processor_time::ProcessorTime;

fn rule(name: String, priority: u16, access: Access) -> NsgRule {
    let any = || vec!["*".to_owned()];
    NsgRule {
        name,
        priority,
        direction: Direction::Inbound,
        access,
        protocol: "Tcp".to_owned(),
        source_prefixes: any(),
        source_ports: any(),
        source_groups: Vec::new(),
        destination_prefixes: any(),
        destination_ports: any(),
        destination_groups: Vec::new(),
        description: String::new(),
    }
}

/// Rules as estates have them: services for sources, denies for others, and a
/// deny for everything at the end. Real groups end at 1,000 rules; larger ones
/// show growth, with priorities beyond what ARM takes.
fn estate(count: u16) -> Nsg {
    let rules = (0..count).map(|index| {
        if index + 1 == count {
            return rule("deny-all".to_owned(), 100 + 2 * index, Access::Deny);
        }
        let access = if index % 3 == 0 {
            Access::Deny
        } else {
            Access::Allow
        };
        let mut rule = rule(format!("rule-{index}"), 100 + 2 * index, access);
        let (high, low) = (index / 250, index % 250);
        rule.source_prefixes = vec![format!("10.{high}.{low}.0/24")];
        rule.destination_prefixes = vec![format!("10.224.{low}.0/24")];
        rule.destination_ports = match index % 4 {
            0 => vec!["*".to_owned()],
            1 => vec!["10250".to_owned()],
            _ => vec![format!("{}-{}", index, index + 100)],
        };
        rule
    });
    Nsg::new("estate", rules.collect()).unwrap()
}

fn nodes() -> AddressSet {
    AddressSet::prefix("10.224.0.0/16".parse().unwrap())
}

fn kubelet() -> PlacementRequest {
    let mut rule = rule("naosu-allow-kubelet".to_owned(), 0, Access::Allow);
    rule.source_prefixes = vec!["10.224.0.0/16".to_owned()];
    rule.destination_prefixes = vec!["10.224.0.0/16".to_owned()];
    rule.destination_ports = vec!["10250".to_owned()];
    PlacementRequest {
        rule,
        required: vec![FlowBox::new_tcp(
            nodes(),
            nodes(),
            PortSet::single(10_250_u16),
        )],
        pinned: BTreeSet::new(),
    }
}

/// The same, but from everywhere inside 10/8, so that every rule of the estate
/// overlaps the question.
fn wide() -> PlacementRequest {
    let mut request = kubelet();
    request.rule.source_prefixes = vec!["10.0.0.0/8".to_owned()];
    request
}

fn tags() -> TagContext {
    let network: IpNet = "10.0.0.0/8".parse().unwrap();
    TagContext::new().with_virtual_network([&network])
}

fn placement(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("nsg_place");
    let tags = tags();
    for count in [99_u16, 999] {
        let estate = estate(count);
        for (name, request) in [("narrow", kubelet()), ("wide", wide())] {
            group.bench_function(BenchmarkId::new(name, count + 1), |b| {
                b.iter(|| place(black_box(&estate), &request, &tags).unwrap());
            });
        }
    }
    group.finish();
}

fn growth(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("nsg_delta");
    group.sample_size(20);
    let tags = tags();
    for count in [100_u16, 1_000, 10_000] {
        let before = estate(count);
        let mut rule = wide().rule;
        rule.priority = 101;
        let after = before.with_rule(rule).unwrap();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let mut space = Space::new();
                let delta = nsg_delta(&mut space, black_box(&before), &after, &tags).unwrap();
                delta.report(&space).unwrap()
            });
        });
    }
    group.finish();
}

/// Sources and destinations that overlap in as many ways as rules allow.
fn adversarial(count: u16) -> Nsg {
    let rules = (0..count).map(|index| {
        let access = if index % 2 == 0 {
            Access::Deny
        } else {
            Access::Allow
        };
        let mut rule = rule(format!("rule-{index}"), 100 + index, access);
        let mixed = u32::from(index).wrapping_mul(2_654_435_761);
        let width = 8 + mixed % 17;
        let prefix = |bits: u32| {
            let address = std::net::Ipv4Addr::from(bits);
            IpNet::new(address.into(), width as u8)
                .unwrap()
                .trunc()
                .to_string()
        };
        rule.source_prefixes = vec![prefix(mixed.rotate_left(7))];
        rule.destination_prefixes = vec![prefix(mixed.rotate_left(19))];
        let first = (mixed >> 8) as u16 % 40_000;
        rule.destination_ports = vec![format!("{first}-{}", first + 20_000)];
        rule.source_ports = vec![format!("{}-60000", mixed % 50_000)];
        rule
    });
    Nsg::new("adversarial", rules.collect()).unwrap()
}

fn explosion(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("nsg_adversarial");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    for count in [100_u16, 1_000] {
        let policy = adversarial(count).policy(&tags()).unwrap();
        let decide = || {
            let mut space = Space::new();
            let decisions = policy.decide(&mut space, PacketSet::ALL);
            match decisions.and_then(|decisions| decisions.partition(&mut space)) {
                Ok(_) => "exact answer",
                Err(error) => error.code(),
            }
        };
        let start = Instant::now();
        let end = decide();
        let took = start.elapsed();
        println!("adversarial {count} rules: {end} in {took:?}");
        assert!(took < Duration::from_secs(1), "took {took:?}");
        group.bench_function(BenchmarkId::from_parameter(count), |b| b.iter(decide));
    }
    let (before, after) = (unknown_tags(300, false), unknown_tags(300, true));
    let delta = || {
        let mut space = Space::new();
        let delta = nsg_delta(&mut space, &before, &after, &tags());
        match delta.and_then(|delta| Ok(delta.report(&space)?)) {
            Ok(_) => "exact answer",
            Err(error) => error.code(),
        }
    };
    let start = Instant::now();
    let end = delta();
    let took = start.elapsed();
    println!("300 rules of unknown tags, turned round: {end} in {took:?}");
    assert!(took < Duration::from_secs(1), "took {took:?}");
    group.bench_function("unknown_tags", |b| b.iter(delta));
    group.finish();
}

/// Rules each of which is about a tag of its own that nobody resolves, in order or in
/// the opposite one.
fn unknown_tags(count: u16, is_turned: bool) -> Nsg {
    let rules = (0..count).map(|index| {
        let access = if index % 2 == 0 {
            Access::Deny
        } else {
            Access::Allow
        };
        let place = if is_turned { count - index } else { index };
        let mut rule = rule(format!("rule-{index}"), 100 + place, access);
        rule.source_prefixes = vec![format!("Tag{index}")];
        rule
    });
    Nsg::new("unknown tags", rules.collect()).unwrap()
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = placement, growth, explosion
}
criterion_main!(benches);
