//! What a change of rules does to packets: the kernel is asked before and after it.

use std::collections::BTreeSet;

use naosu_flow::iptables::{Backend, Knowledge, NodeFirewall, changed_rules, node_delta};
use naosu_flow::set::{Membership, Packet, PacketSet, Space};
use naosu_tests::netfilter::{
    Case, Generator, Judge, LAST_SOURCES, NetfilterHost, OUT_INTERFACE, SentPacket, missing,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::{PACKETS, TOOLS, fail, host, load, seeds};

#[test]
fn a_change_of_legacy_rules_does_to_packets_what_its_delta_says() {
    ask_kernel(Backend::Legacy, 8_000_000);
}

#[test]
fn a_change_of_nft_rules_does_to_packets_what_its_delta_says() {
    ask_kernel(Backend::Nft, 9_000_000);
}

/// How often a delta was sure, and of what.
#[derive(Debug, Default)]
struct Tally {
    opened: u64,
    closed: u64,
    untouched: u64,
    unknown: u64,
}

fn ask_kernel(backend: Backend, first_seed: u64) {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let seeds = seeds(first_seed, 10);
    let mut host = host();
    let knowledge = Judge::knowledge(&host).expect("its routes");
    host.route_everywhere().expect("a route");
    let of_own = Judge::knowledge(&host).expect("its routes");
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        let (case, knowledge, asks_own) = if seed % 3 == 0 {
            let mut case = Generator::case_of_own(seed, &[backend], PACKETS);
            let judge = Judge::new(case.family);
            case.packets
                .retain(|sent| judge.leaves_by(sent) == OUT_INTERFACE);
            (case, &of_own, true)
        } else {
            let case = Generator::case(seed, &[backend], PACKETS);
            (case, &knowledge, false)
        };
        change(&mut host, case, knowledge, asks_own, &mut tally);
    }
    println!("{backend:?}: {seeds:?}: {tally:?}");
    if seeds.end - seeds.start > 100 {
        let all = tally.opened + tally.closed + tally.untouched + tally.unknown;
        assert!(tally.unknown * 4 < all, "too often unknown: {tally:?}");
        let least = tally.opened.min(tally.closed);
        assert!(least * 50 > all, "too seldom changed: {tally:?}");
    }
}

/// Asks about the packets of a case, which the host sends itself or which come in,
/// before and after a change of its rules.
fn change(
    host: &mut NetfilterHost,
    mut case: Case,
    knowledge: &Knowledge,
    asks_own: bool,
    tally: &mut Tally,
) {
    let mut rng = StdRng::seed_from_u64(case.seed);
    for (_, text) in &mut case.rulesets {
        *text = without_chance(text);
    }
    let mut after = case.clone();
    for (_, text) in &mut after.rulesets {
        for _ in 0..rng.random_range(1..4) {
            *text = changed(&mut rng, text, asks_own);
        }
    }
    // Most changes close; the same the other way round opens.
    if rng.random_bool(0.5) {
        std::mem::swap(&mut case.rulesets, &mut after.rulesets);
    }
    let judge = Judge::new(case.family);
    let mut passing: [BTreeSet<u32>; 2] = Default::default();
    let mut firewalls: [NodeFirewall; 2] = Default::default();
    for packet in &mut case.packets {
        packet.id = host.next_id();
    }
    for (side, case_of_side) in [&case, &after].into_iter().enumerate() {
        firewalls[side] = NodeFirewall {
            rulesets: load(host, case_of_side),
            knowledge: knowledge.clone(),
        };
        let passed = match asks_own {
            true => host.passing_from_here(case.family, 0, &case.packets),
            false => host.passing(case.family, &case.packets),
        };
        passing[side] = passed.expect("the kernel's verdicts");
    }
    let [before, after] = &firewalls;
    let told = |sent: &SentPacket| match asks_own {
        true => judge.analysed_own(sent),
        false => judge.analysed(sent).1,
    };
    let disagreement = compare((before, after), &case.packets, told, &passing, tally);
    if let Some(difference) = disagreement {
        let changes = changed_rules(before, after);
        fail(&case, &format!("{difference}\nof {changes:#?}"));
    }
}

/// The first packet that fared otherwise than the delta says, in words.
fn compare(
    (before, after): (&NodeFirewall, &NodeFirewall),
    packets: &[SentPacket],
    told: impl Fn(&SentPacket) -> Packet,
    passing: &[BTreeSet<u32>; 2],
    tally: &mut Tally,
) -> Option<String> {
    let mut space = Space::new();
    let delta = node_delta(&mut space, before, after, PacketSet::ALL).expect("a delta");
    let open = space.union(delta.newly_allowed, delta.may_become_allowed);
    let may_open = space.possibly(open.expect("a set")).expect("a set");
    let closed = space.union(delta.newly_denied, delta.may_become_denied);
    let may_close = space.possibly(closed.expect("a set")).expect("a set");
    for sent in packets {
        let packet = told(sent);
        let is_in = |set| space.contains(set, &packet) == Membership::Yes;
        let did = [0, 1].map(|side| passing[side].contains(&sent.id));
        // Packets in other states than a connection's are told of as what may change.
        let is_meant = sent.other.is_none();
        let (count, agrees) = if is_meant && is_in(delta.newly_allowed) {
            (&mut tally.opened, did == [false, true])
        } else if is_meant && is_in(delta.newly_denied) {
            (&mut tally.closed, did == [true, false])
        } else {
            let may = (is_in(may_open), is_in(may_close));
            let agrees = match did {
                [false, true] => may.0,
                [true, false] => may.1,
                _ => true,
            };
            let count = match may {
                (false, false) => &mut tally.untouched,
                _ => &mut tally.unknown,
            };
            (count, agrees)
        };
        *count += 1;
        if !agrees {
            let report = delta.report(&space);
            return Some(format!(
                "{sent:?} passed before and after: {did:?}; {report:#?}"
            ));
        }
    }
    None
}

/// A ruleset without rules that match by chance: the same packet may fare otherwise
/// the next time.
fn without_chance(text: &str) -> String {
    let by_chance = ["-m statistic", "-m limit"];
    text.split_inclusive('\n')
        .filter(|line| !by_chance.iter().any(|module| line.contains(module)))
        .collect()
}

/// The ruleset with one change: of a rule, its place, its target, or a policy.
fn changed(rng: &mut StdRng, text: &str, asks_own: bool) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_changed = |line: &str| {
        let is_last = LAST_SOURCES.iter().any(|last| line.contains(last));
        line.starts_with("-A ") && !is_last
    };
    let rules: Vec<usize> = (0..lines.len())
        .filter(|at| is_changed(&lines[*at]))
        .collect();
    let Some(&at) = rules.choose(rng) else {
        return text.to_owned();
    };
    let chain_of = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    // The table nat takes no rule that drops.
    let kinds = if table_of(&lines, at) == "*nat" { 2 } else { 5 };
    match rng.random_range(0..kinds) {
        0 => drop(lines.remove(at)),
        1 => {
            let next = lines.get(at + 1).and_then(|line| chain_of(line));
            if next.is_some() && next == chain_of(&lines[at]) && is_changed(&lines[at + 1]) {
                lines.swap(at, at + 1);
            }
        }
        2 => {
            for (from, to) in [(" -j ACCEPT", " -j DROP"), (" -j DROP", " -j ACCEPT")] {
                if lines[at].ends_with(from) {
                    lines[at] = lines[at].replace(from, to);
                    break;
                }
            }
        }
        3 => {
            let chain = chain_of(&lines[at]).unwrap_or_default();
            let target = ["ACCEPT", "DROP"].choose(rng).unwrap_or(&"DROP");
            let matches = [
                "-p tcp",
                "-p udp",
                "-m conntrack --ctstate NEW",
                "-m mark --mark 0x1/0x1",
            ];
            let matches = matches.choose(rng).unwrap_or(&"-p tcp");
            lines.insert(at, format!("-A {chain} {matches} -j {target}"));
        }
        _ => {
            let chains = match asks_own {
                true => [":OUTPUT", ":POSTROUTING"],
                false => [":INPUT", ":FORWARD"],
            };
            let policies: Vec<usize> = (0..lines.len())
                .filter(|at| chains.iter().any(|chain| lines[*at].starts_with(chain)))
                .collect();
            let policies: Vec<usize> = policies
                .into_iter()
                .filter(|at| table_of(&lines, *at) != "*nat")
                .collect();
            if let Some(&at) = policies.choose(rng) {
                lines[at] = match lines[at].contains(" DROP") {
                    true => lines[at].replace(" DROP", " ACCEPT"),
                    false => lines[at].replace(" ACCEPT", " DROP"),
                };
            }
        }
    }
    lines.join("\n") + "\n"
}

/// The line that begins the table of a line.
fn table_of(lines: &[String], at: usize) -> &str {
    let mut before = lines[..at].iter().rev();
    before
        .find(|line| line.starts_with('*'))
        .map_or("", |line| line)
}
