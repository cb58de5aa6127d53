//! What the host itself sends: rules of `OUTPUT`, and what its socket gives a packet.

use naosu_flow::iptables::{Backend, Family, NodeFirewall};
use naosu_tests::netfilter::{Case, Generator, Judge, SentPacket, Tally, Transport, missing};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{OPEN, PACKETS, TOOLS, fail, host, is_telling, load, seeds};

#[test]
fn legacy_rules_decide_what_the_host_sends_as_the_kernel_does() {
    ask_kernel(&[Backend::Legacy], 6_000_000, 10);
}

#[test]
fn nft_rules_decide_what_the_host_sends_as_the_kernel_does() {
    ask_kernel(&[Backend::Nft], 7_000_000, 10);
}

/// Rules of `OUTPUT` that look at marks, and change them.
fn marking_rules(rng: &mut StdRng) -> String {
    let mut text = String::from("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:U -\n");
    for chain in ["OUTPUT", "U"] {
        for _ in 0..rng.random_range(1..6) {
            let (value, mask) = (rng.random_range(0..4), rng.random_range(1..4));
            let not = if rng.random_bool(0.3) { "! " } else { "" };
            let condition = match rng.random_range(0..4) {
                0 => String::new(),
                1 => " -p udp -m udp --dport 443".to_owned(),
                _ => format!(" -m mark {not}--mark {:#x}/{mask:#x}", value & mask),
            };
            let target = match rng.random_range(0..7) {
                0 | 1 => "ACCEPT".to_owned(),
                2 | 3 => "DROP".to_owned(),
                4 => "RETURN".to_owned(),
                5 if chain == "OUTPUT" => "U".to_owned(),
                _ => format!("MARK --set-xmark {value:#x}/{mask:#x}"),
            };
            text.push_str(&format!("-A {chain}{condition} -j {target}\n"));
        }
    }
    text + "COMMIT\n"
}

#[test]
fn what_the_node_itself_sends_is_decided_with_the_mark_of_its_socket() {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let mut host = host();
    host.route_everywhere().expect("a route");
    let knowledge = Judge::knowledge(&host).expect("its routes");
    let (mut tally, mut unmarked) = (Tally::default(), Tally::default());
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let backend = [Backend::Legacy, Backend::Nft][seed as usize % 2];
        let other = [Backend::Nft, Backend::Legacy][seed as usize % 2];
        let family = [Family::Ipv4, Family::Ipv6][seed as usize / 2 % 2];
        let (source, destination) = match family {
            Family::Ipv4 => ("10.1.0.1", "10.2.0.9"),
            Family::Ipv6 => ("fd01::1", "fd02::9"),
        };
        let packet = |port| SentPacket {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            transport: Transport::Udp {
                source: 1000,
                destination: port,
            },
            other: None,
            id: 0,
        };
        let mut case = Case {
            seed,
            family,
            rulesets: vec![(backend, marking_rules(&mut rng))],
            packets: [443, 53].map(packet).to_vec(),
        };
        host.load(other, family, OPEN).expect("loaded rules");
        let firewall = NodeFirewall {
            rulesets: load(&host, &case),
            knowledge: knowledge.clone(),
        };
        let judge = Judge::new(family);
        for mark in 0..4 {
            for packet in &mut case.packets {
                packet.id = host.next_id();
            }
            let passing = host.passing_from_here(family, mark, &case.packets);
            let passing = passing.expect("the kernel's verdicts");
            for (known, tally) in [(Some(mark), &mut tally), (None, &mut unmarked)] {
                judge
                    .compare_own(&firewall, known, &case.packets, &passing, tally)
                    .unwrap_or_else(|difference| fail(&case, &format!("{mark}: {difference}")));
            }
        }
    }
    println!("marks known: {tally:?}; not known: {unmarked:?}");
    assert_eq!(tally.unknown, 0);
    assert!(tally.passed > 200 && tally.stopped > 200, "{tally:?}");
    assert!(unmarked.unknown > 200, "{unmarked:?}");
    assert!(unmarked.passed + unmarked.stopped > 200, "{unmarked:?}");
}

/// Tries one `share`th of the rulesets on the backends, each with packets from sockets
/// of one mark.
fn ask_kernel(backends: &[Backend], first_seed: u64, share: u64) {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let seeds = seeds(first_seed, share);
    let mut host = host();
    host.route_everywhere().expect("a route");
    let knowledge = Judge::knowledge(&host).expect("its routes");
    let (mut tally, mut unmarked) = (Tally::default(), Tally::default());
    for seed in seeds.clone() {
        let mut case = Generator::case_of_own(seed, backends, PACKETS);
        for packet in &mut case.packets {
            packet.id = host.next_id();
        }
        let firewall = NodeFirewall {
            rulesets: load(&host, &case),
            knowledge: knowledge.clone(),
        };
        let mark = seed as u32 % 4;
        let passing = host.passing_from_here(case.family, mark, &case.packets);
        let passing = passing.unwrap_or_else(|error| fail(&case, &format!("no verdicts: {error}")));
        let judge = Judge::new(case.family);
        for (known, tally) in [(Some(mark), &mut tally), (None, &mut unmarked)] {
            judge
                .compare_own(&firewall, known, &case.packets, &passing, tally)
                .unwrap_or_else(|difference| fail(&case, &difference));
        }
    }
    println!("{backends:?}: {seeds:?}: {tally:?}; marks not known: {unmarked:?}");
    if seeds.end - seeds.start > 100 {
        is_telling(&tally);
    }
}
