//! The Linux kernel decides generated packets as the analysis says it does,
//! wherever the analysis does not say that it does not know.
//!
//! Packets that come in, to the host or through it, are such as open a connection or
//! belong to an open one, ICMP errors about such (RELATED), such as connection tracking
//! takes for none of these (INVALID), and such as it is told to pass over (UNTRACKED).
//! A connection that a helper expects is RELATED, too; none is made here, as helpers
//! are modules that a kernel may not have.
//!
//! A failure prints its seed; `NAOSU_ORACLE_SEED=<seed>` runs that case alone.
//! `NAOSU_ORACLE_RULESETS` sets how many rulesets are tried in all.
//!
//! Packets that the host itself sends are in [`own_packets`], what changes of rules do
//! in [`deltas`].

#[path = "../../../engine/flow/benches/support/aks_ruleset.rs"]
mod aks_ruleset;
mod deltas;
mod own_packets;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use aks_ruleset::{aks_ruleset, aks_ruleset_of, aks_ruleset_with_ufw};

use naosu_flow::iptables::{
    Backend, Family, Knowledge, LoadedRuleset, NodeFirewall, Ruleset, Target,
};
use naosu_flow::set::OtherState;
use naosu_tests::netfilter::{
    Case, Generator, Judge, LAST_SOURCES, NetfilterHost, PORTED, SETS, Tally, Transport,
    established, missing,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const TOOLS: [&str; 6] = [
    "ip",
    "nft",
    "ipset",
    "conntrack",
    "iptables-legacy-restore",
    "iptables-nft-restore",
];
const RULESETS: u64 = 2_000;
const PACKETS: usize = 24;

#[test]
fn legacy_rules_decide_as_the_kernel_does() {
    ask_kernel(&[Backend::Legacy], 1_000_000, 5);
}

#[test]
fn nft_rules_decide_as_the_kernel_does() {
    ask_kernel(&[Backend::Nft], 2_000_000, 5);
}

#[test]
fn rules_of_both_backends_decide_as_the_kernel_does() {
    ask_kernel(&[Backend::Legacy, Backend::Nft], 3_000_000, 10);
}

#[test]
fn packets_are_in_the_states_that_they_were_made_for() {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let mut host = host();
    let states = [None, Some(OtherState::Related)]
        .into_iter()
        .chain([OtherState::Invalid, OtherState::Untracked].map(Some));
    for state in states {
        for (family, last) in [Family::Ipv4, Family::Ipv6].into_iter().zip(LAST_SOURCES) {
            let matching = state.map_or("NEW,ESTABLISHED".to_owned(), |state| {
                state.as_str().to_ascii_uppercase()
            });
            let rule = format!("-m conntrack --ctstate {matching} -j ACCEPT");
            let text = format!(
                "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n-A INPUT -s {last} -j ACCEPT\n\
                 -A INPUT {rule}\n-A FORWARD {rule}\nCOMMIT\n"
            );
            for backend in [Backend::Legacy, Backend::Nft] {
                let other = match backend {
                    Backend::Legacy => Backend::Nft,
                    Backend::Nft => Backend::Legacy,
                };
                host.load(other, family, OPEN).expect("loaded rules");
                host.load(backend, family, &text).expect("loaded rules");
                let mut packets = Generator::new(1, family).packets(240);
                for packet in &mut packets {
                    packet.id = host.next_id();
                }
                let passing = host.passing(family, &packets).expect("verdicts");
                for packet in &packets {
                    let is_meant = packet.other == state;
                    let passed = passing.contains(&packet.id);
                    assert_eq!(passed, is_meant, "{backend:?} {matching}: {packet:?}");
                }
            }
        }
    }
}

/// A table of rules that stop nothing.
const OPEN: &str = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n";

#[test]
fn what_is_printed_of_every_kind_of_rule_is_taken_by_iptables_restore() {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let host = host();
    host.make_set("myset", Family::Ipv4, &[]).expect("a set");
    let every_kind = include_str!("../../../engine/flow/src/iptables/tests/everything.rules");
    let tested = |backend, family, text: &str| {
        let printed = Ruleset::parse(family, text).expect("a ruleset").to_string();
        host.test(backend, family, &printed)
            .unwrap_or_else(|error| panic!("{backend:?}: {error}\n{printed}"));
    };
    for backend in [Backend::Legacy, Backend::Nft] {
        tested(backend, Family::Ipv4, every_kind);
        for seed in 0..50 {
            let case = Generator::case(4_000_000 + seed, &[backend], 0);
            for (backend, text) in &case.rulesets {
                tested(*backend, case.family, text);
            }
        }
        let broken = every_kind.replace("--tcp-option 5", "--tcp-option x");
        host.test(backend, Family::Ipv4, &broken)
            .expect_err("a rule that cannot be loaded");
    }
}

/// A rule of conditions that are seldom written: ports of SCTP, DCCP and UDP-Lite, and
/// both sides of a range of addresses or of their types at once.
fn seldom_written(rng: &mut StdRng) -> String {
    let port = rng.random_range(0..5);
    let ports = format!("{port}:{}", port + rng.random_range(0..3));
    let not = |rng: &mut StdRng| if rng.random_bool(0.3) { "! " } else { "" };
    let (first, second) = (not(rng), not(rng));
    let range = |lowest: &[&str], highest: &[&str], rng: &mut StdRng| {
        let of = |some: &[&str], rng: &mut StdRng| some[rng.random_range(0..some.len())].to_owned();
        format!("{}-{}", of(lowest, rng), of(highest, rng))
    };
    let side = if rng.random_bool(0.5) {
        "dport"
    } else {
        "sport"
    };
    match rng.random_range(0..6) {
        0 => format!("-p sctp -m sctp {first}--{side} {ports}"),
        1 => format!("-p dccp -m dccp {first}--{side} {ports}"),
        2 => format!("-p udplite -m multiport {first}--{side}s {ports},9"),
        3 => format!("-p sctp -m multiport {first}--ports {ports},9"),
        4 => {
            let (low, high) = (["8.8.8.8", "10.1.0.3"], ["10.3.0.127", "10.3.1.7"]);
            let from = range(&low, &high, rng);
            let (low, high) = (["10.1.0.1", "10.1.0.2"], ["10.1.0.2", "10.2.0.9"]);
            let to = range(&low, &high, rng);
            format!("-m iprange {first}--src-range {from} {second}--dst-range {to}")
        }
        _ => {
            let types = ["UNICAST", "LOCAL", "MULTICAST"];
            let mut kind = || types[rng.random_range(0..3)];
            let (from, to) = (kind(), kind());
            format!("-m addrtype {first}--src-type {from} {second}--dst-type {to}")
        }
    }
}

#[test]
fn conditions_that_are_seldom_written_decide_as_the_kernel_does() {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let mut host = host();
    let knowledge = Judge::knowledge(&host).expect("its routes");
    let mut tally = Tally::default();
    for number in 0..200_u64 {
        // Not a multiple of ten, which reads back what the kernel has.
        let seed = 5_000_001 + number * 10;
        let mut rng = StdRng::seed_from_u64(seed);
        let backend = [Backend::Legacy, Backend::Nft][number as usize % 2];
        let other = [Backend::Nft, Backend::Legacy][number as usize % 2];
        let mut text = OPEN.replace("COMMIT\n", "");
        text.push_str(&format!("-A INPUT -s {} -j ACCEPT\n", LAST_SOURCES[0]));
        for _ in 0..rng.random_range(1..6) {
            let chain = ["INPUT", "FORWARD"][rng.random_range(0..2)];
            let rule = seldom_written(&mut rng);
            let target = ["DROP", "ACCEPT"][rng.random_range(0..2)];
            text.push_str(&format!("-A {chain} {rule} -j {target}\n"));
        }
        text.push_str("COMMIT\n");
        let mut packets = Generator::new(seed, Family::Ipv4).packets(12);
        for packet in packets.iter_mut().filter(|packet| packet.other.is_none()) {
            packet.transport = Transport::Ported {
                protocol: PORTED[rng.random_range(0..3)],
                source: rng.random_range(0..10),
                destination: rng.random_range(0..10),
            };
        }
        host.load(other, Family::Ipv4, OPEN).expect("loaded rules");
        let case = Case {
            seed,
            family: Family::Ipv4,
            rulesets: vec![(backend, text)],
            packets,
        };
        check(&mut host, case, &knowledge, &mut tally);
    }
    println!("{tally:?}");
    assert_eq!(tally.unknown, 0, "{tally:?}");
    assert!(tally.passed > 400 && tally.stopped > 200, "{tally:?}");
}

/// The rules of the lab's nodes, and of nodes as AKS makes them: kube-proxy's,
/// Azure's network policies, the masquerade agent's, and a person's or ufw's.
#[test]
fn rulesets_of_real_nodes_decide_as_the_kernel_does() {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let mut host = host();
    let knowledge = Judge::knowledge(&host).expect("its routes");
    let baseline = include_str!("../../lab/scenarios/baseline.rules")
        // It is loaded beside what is there, and so declares no built-in chain.
        .replace(
            "*nat\n",
            "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n",
        )
        .replace("*filter\n", OPEN.trim_end_matches("COMMIT\n"));
    let by_hand = |network: &str| {
        format!("-p tcp -m tcp --dport 10250 -j DROP\n-s {network} -p udp -j REJECT")
    };
    let nodes = [
        (Family::Ipv4, baseline),
        (Family::Ipv4, aks_ruleset(600, "")),
        (Family::Ipv4, aks_ruleset(600, &by_hand("10.1.0.0/16"))),
        (Family::Ipv4, aks_ruleset_with_ufw(600)),
        (Family::Ipv6, aks_ruleset_of(Family::Ipv6, 600, "")),
        (
            Family::Ipv6,
            aks_ruleset_of(Family::Ipv6, 600, &by_hand("fd01::/64")),
        ),
    ]
    .map(|(family, text)| {
        let last = match family {
            Family::Ipv4 => LAST_SOURCES[0],
            Family::Ipv6 => LAST_SOURCES[1],
        };
        let first = format!("-A INPUT -s {last} -j ACCEPT\n-A INPUT ");
        (family, text.replacen("-A INPUT ", &first, 1))
    });
    let sets: BTreeSet<&str> = nodes
        .iter()
        .flat_map(|(_, text)| text.split("--match-set ").skip(1))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    for name in sets {
        host.make_set(name, Family::Ipv4, &[]).expect("a set");
    }
    let mut tally = Tally::default();
    for (number, (family, text)) in (1..).zip(&nodes) {
        for backend in [Backend::Legacy, Backend::Nft] {
            let other = match backend {
                Backend::Legacy => Backend::Nft,
                Backend::Nft => Backend::Legacy,
            };
            host.load(other, *family, OPEN).expect("loaded rules");
            let case = Case {
                seed: number,
                family: *family,
                rulesets: vec![(backend, text.clone())],
                packets: Generator::new(number, *family).packets(400),
            };
            check(&mut host, case, &knowledge, &mut tally);
        }
    }
    println!("{tally:?}");
    let all = tally.all();
    assert!(tally.unknown * 2 < all, "{tally:?}");
    assert!(tally.passed > 400 && tally.stopped > 400, "{tally:?}");
}

/// Tries one `share`th of the rulesets on the backends.
fn ask_kernel(backends: &[Backend], first_seed: u64, share: u64) {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let seeds = seeds(first_seed, share);
    let mut host = host();
    let knowledge = Judge::knowledge(&host).expect("its routes");
    let started = Instant::now();
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        let case = Generator::case(seed, backends, PACKETS);
        check(&mut host, case, &knowledge, &mut tally);
    }
    let rulesets = seeds.end - seeds.start;
    println!(
        "{backends:?}: {rulesets} rulesets, {tally:?}, {:?}",
        started.elapsed()
    );
    if rulesets > 100 {
        is_telling(&tally);
    }
}

/// The seeds of one `share`th of the rulesets, or the one that is asked for.
fn seeds(first: u64, share: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("NAOSU_ORACLE_SEED") {
        return seed..seed + 1;
    }
    let all: u64 = number("NAOSU_ORACLE_RULESETS").unwrap_or(RULESETS);
    first..first + all * 2 / share + 1
}

/// Whether the verdicts are such that their agreement proves something.
fn is_telling(tally: &Tally) {
    let all = tally.all();
    assert!(
        tally.unknown * 4 < all,
        "too often unknown to prove anything: {tally:?}"
    );
    assert!(tally.passed * 6 > all, "too seldom passed: {tally:?}");
    assert!(tally.stopped * 6 > all, "too seldom stopped: {tally:?}");
    for state in OtherState::ALL {
        let sure = tally.sure_of.get(&state).copied().unwrap_or_default();
        assert!(sure * 16 > all, "too seldom sure of {state:?}: {tally:?}");
    }
}

fn host() -> NetfilterHost {
    let host = NetfilterHost::enter().expect("a host");
    for (name, family, members) in SETS {
        host.make_set(name, family, members).expect("a set");
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        host.establish(&established(family))
            .expect("established connections");
    }
    host
}

fn check(host: &mut NetfilterHost, mut case: Case, knowledge: &Knowledge, tally: &mut Tally) {
    let judge = Judge::new(case.family);
    for packet in &mut case.packets {
        packet.id = host.next_id();
    }
    let rulesets = load(host, &case);
    let passing = host
        .passing(case.family, &case.packets)
        .expect("the kernel's verdicts");
    let firewall = NodeFirewall {
        rulesets,
        knowledge: knowledge.clone(),
    };
    judge
        .compare(&firewall, &case.packets, &passing, tally)
        .unwrap_or_else(|difference| fail(&case, &difference));
    if case.seed.is_multiple_of(10) {
        // What the kernel gives back reads the same, and means the same.
        let mut saved = Vec::new();
        for loaded in &firewall.rulesets {
            let text = host
                .save(loaded.backend, case.family)
                .expect("iptables-save");
            let ruleset = Ruleset::parse(case.family, &text)
                .unwrap_or_else(|error| panic!("seed {}: {error}\n{text}", case.seed));
            let mut plain = loaded.ruleset.clone();
            plain.tables.sort_by_key(|table| table.name);
            let mut read = ruleset.clone();
            read.tables.sort_by_key(|table| table.name);
            assert_eq!(
                specifications(&read),
                specifications(&plain),
                "seed {}",
                case.seed
            );
            saved.push(LoadedRuleset {
                backend: loaded.backend,
                ruleset,
            });
        }
        let mut firewall = NodeFirewall {
            rulesets: saved,
            knowledge: knowledge.clone(),
        };
        for loaded in &mut firewall.rulesets {
            // The legacy rules it warns of are those read beside it, or older
            // tables of this namespace that hold nothing.
            loaded.ruleset.legacy_tables_present = false;
        }
        judge
            .compare(&firewall, &case.packets, &passing, &mut Tally::default())
            .unwrap_or_else(|difference| fail(&case, &difference));
    }
}

/// Loads the rulesets of a case.
fn load(host: &NetfilterHost, case: &Case) -> Vec<LoadedRuleset> {
    let load = |(backend, text): &(Backend, String)| {
        let ruleset = Ruleset::parse(case.family, text)
            .unwrap_or_else(|error| panic!("seed {}: {error}\n{text}", case.seed));
        // What we print is what the kernel gets: it must mean the same.
        host.load(*backend, case.family, &ruleset.to_string())
            .unwrap_or_else(|error| panic!("seed {}: {error}\n{text}", case.seed));
        LoadedRuleset {
            backend: *backend,
            ruleset,
        }
    };
    case.rulesets.iter().map(load).collect()
}

/// Every rule with the conditions that say something, in a fixed order.
fn specifications(ruleset: &Ruleset) -> Vec<String> {
    let mut all = Vec::new();
    for table in &ruleset.tables {
        for chain in &table.chains {
            for rule in &chain.rules {
                let mut conditions: Vec<String> = rule
                    .conditions
                    .iter()
                    .filter(|condition| !condition.is_vacuous())
                    .map(ToString::to_string)
                    .collect();
                conditions.sort();
                let target = match &rule.target {
                    Target::Reject(_) => " -j REJECT".to_owned(),
                    target => target.to_string(),
                };
                let (table, chain) = (table.name.as_str(), &chain.name);
                all.push(format!("{table} {chain}{}{target}", conditions.concat()));
            }
        }
    }
    all
}

fn fail(case: &Case, difference: &str) -> ! {
    for (backend, text) in &case.rulesets {
        eprintln!("{backend:?} {:?}\n{text}", case.family);
    }
    panic!("NAOSU_ORACLE_SEED={}: {difference}", case.seed);
}
