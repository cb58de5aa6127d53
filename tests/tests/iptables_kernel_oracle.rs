//! The Linux kernel decides generated packets as the analysis says it does,
//! wherever the analysis does not say that it does not know.
//!
//! A failure prints its seed; `NAOSU_ORACLE_SEED=<seed>` runs that case alone.
//! `NAOSU_ORACLE_RULESETS` sets how many rulesets are tried in all.

use std::time::Instant;

use naosu_flow::iptables::{
    Backend, Family, Knowledge, LoadedRuleset, NodeFirewall, Ruleset, Target,
};
use naosu_tests::netfilter::{
    Case, Generator, Judge, NetfilterHost, SETS, Tally, established, missing,
};

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

/// Tries one `share`th of the rulesets on the backends.
fn ask_kernel(backends: &[Backend], first_seed: u64, share: u64) {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("NAOSU_ORACLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let all: u64 = number("NAOSU_ORACLE_RULESETS").unwrap_or(RULESETS);
            first_seed..first_seed + all * 2 / share + 1
        }
    };
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
        let all = tally.all();
        assert!(
            tally.unknown * 4 < all,
            "too often unknown to prove anything: {tally:?}"
        );
        assert!(tally.passed * 6 > all, "too seldom passed: {tally:?}");
        assert!(tally.stopped * 6 > all, "too seldom stopped: {tally:?}");
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
    let mut rulesets = Vec::new();
    for (backend, text) in &case.rulesets {
        let ruleset = Ruleset::parse(case.family, text)
            .unwrap_or_else(|error| panic!("seed {}: {error}\n{text}", case.seed));
        // What we print is what the kernel gets: it must mean the same.
        host.load(*backend, case.family, &ruleset.to_string())
            .unwrap_or_else(|error| panic!("seed {}: {error}\n{text}", case.seed));
        rulesets.push(LoadedRuleset {
            backend: *backend,
            ruleset,
        });
    }
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
