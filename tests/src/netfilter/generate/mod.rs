//! Generates rulesets and packets: everything modelled, in every combination
//! the kernel loads, and some of what is not modelled.

mod conditions;
mod packets;

use std::fmt::Write as _;

use naosu_flow::iptables::{Backend, Family};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::host::LAST_SOURCES;
use super::sent_packet::SentPacket;

pub use packets::{SETS, established};

/// A generated question: rulesets that are loaded together, and packets.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it was generated from.
    pub seed: u64,
    /// The family of the rules and packets.
    pub family: Family,
    /// The rulesets by backend.
    pub rulesets: Vec<(Backend, String)>,
    /// The packets, not yet numbered.
    pub packets: Vec<SentPacket>,
}

/// A source of cases.
#[derive(Debug)]
pub struct Generator {
    rng: StdRng,
    seed: u64,
    family: Family,
    asked: Asked,
}

/// Which packets a generated ruleset is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Those that come in, to the host or through it.
    ComingIn,
    /// Those that the host sends itself.
    SentHere,
}

impl Asked {
    /// Whether such packets pass a built-in chain.
    fn pass(self, chain: &str) -> bool {
        match self {
            Self::ComingIn => chain != "OUTPUT",
            Self::SentHere => matches!(chain, "OUTPUT" | "POSTROUTING"),
        }
    }
}

impl Generator {
    /// A case from a seed: the same seed gives the same case.
    pub fn case(seed: u64, backends: &[Backend], packets: usize) -> Case {
        Self::case_of(seed, backends, packets, Asked::ComingIn)
    }

    /// A case from a seed, of packets that the host sends itself.
    pub fn case_of_own(seed: u64, backends: &[Backend], packets: usize) -> Case {
        Self::case_of(seed, backends, packets, Asked::SentHere)
    }

    fn case_of(seed: u64, backends: &[Backend], packets: usize, asked: Asked) -> Case {
        let mut rng = StdRng::seed_from_u64(seed);
        let family = if rng.random_bool(0.5) {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        let mut generator = Self {
            rng,
            seed,
            family,
            asked,
        };
        let rulesets = backends
            .iter()
            .map(|backend| (*backend, generator.ruleset()))
            .collect();
        let mut packets = generator.packets(packets);
        if asked == Asked::SentHere {
            packets = packets.into_iter().map(SentPacket::turned_round).collect();
        }
        Case {
            seed,
            family,
            rulesets,
            packets,
        }
    }

    /// A generator of one family's packets from a seed.
    pub fn new(seed: u64, family: Family) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            seed,
            family,
            asked: Asked::ComingIn,
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }

    /// A whole ruleset: every table, so that loading it leaves nothing behind.
    fn ruleset(&mut self) -> String {
        let mut text = String::new();
        for (table, chains) in [
            ("raw", ["PREROUTING", "OUTPUT"].as_slice()),
            (
                "mangle",
                &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            ),
            ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
            ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
            ("security", &["INPUT", "FORWARD", "OUTPUT"]),
        ] {
            self.table(&mut text, table, chains);
        }
        text
    }

    fn table(&mut self, text: &mut String, table: &str, built_in: &[&str]) {
        let used = match table {
            "filter" => true,
            "nat" => self.chance(0.1),
            _ => self.chance(0.25),
        };
        let user_chains = if used && table != "nat" {
            self.rng.random_range(0..5)
        } else {
            0
        };
        let _ = writeln!(text, "*{table}");
        for chain in built_in {
            let drops = used && !matches!(table, "nat" | "raw") && self.chance(0.2);
            // Answers to refused packets leave by others; they are not asked about.
            let drops = drops
                && self.asked.pass(chain)
                && (self.asked == Asked::SentHere || *chain != "POSTROUTING");
            let _ = writeln!(
                text,
                ":{chain} {} [0:0]",
                if drops { "DROP" } else { "ACCEPT" }
            );
        }
        for chain in 0..user_chains {
            let _ = writeln!(text, ":U{chain} - [0:0]");
        }
        let asked = self.asked;
        for chain in built_in.iter().filter(|chain| asked.pass(chain)) {
            if table != "nat" && asked == Asked::ComingIn {
                let last = match self.family {
                    Family::Ipv4 => LAST_SOURCES[0],
                    Family::Ipv6 => LAST_SOURCES[1],
                };
                let _ = writeln!(text, "-A {chain} -s {last} -j ACCEPT");
            }
            let rules = match (used, table) {
                (false, _) => 0,
                (_, "filter") => self.rng.random_range(1..9),
                _ => self.rng.random_range(0..4),
            };
            for _ in 0..rules {
                self.rule(text, table, chain, 0, user_chains);
            }
        }
        for chain in 0..user_chains {
            for _ in 0..self.rng.random_range(0..5) {
                self.rule(text, table, &format!("U{chain}"), chain + 1, user_chains);
            }
        }
        text.push_str("COMMIT\n");
    }

    /// Appends a rule that may jump to user chains from `first` on.
    fn rule(&mut self, text: &mut String, table: &str, chain: &str, first: u32, chains: u32) {
        let _ = write!(text, "-A {chain}");
        let protocol = self.conditions(text, chain);
        let target = self.target(table, chain, protocol, first, chains);
        let _ = writeln!(text, "{target}");
    }

    fn target(
        &mut self,
        table: &str,
        chain: &str,
        protocol: Option<&str>,
        first: u32,
        chains: u32,
    ) -> String {
        if table == "nat" {
            return match self.rng.random_range(0..4) {
                0 if chain == "PREROUTING" && protocol == Some("tcp") => {
                    " -j REDIRECT --to-ports 9".to_owned()
                }
                0 if chain == "OUTPUT" && protocol == Some("udp") => {
                    " -j REDIRECT --to-ports 9".to_owned()
                }
                0 if chain == "POSTROUTING" && self.asked == Asked::SentHere => {
                    " -j MASQUERADE".to_owned()
                }
                1 => " -j RETURN".to_owned(),
                2 => " -j ACCEPT".to_owned(),
                _ => " -j LOG".to_owned(),
            };
        }
        match self.rng.random_range(0..24) {
            0..5 => " -j ACCEPT".to_owned(),
            5..11 => " -j DROP".to_owned(),
            11..13 => " -j RETURN".to_owned(),
            13..18 if first < chains => {
                let chain = self.rng.random_range(first..chains);
                let verb = if self.chance(0.3) { "-g" } else { "-j" };
                format!(" {verb} U{chain}")
            }
            18 => " -j LOG --log-prefix \"a \\\"b\\\" \"".to_owned(),
            19 => " -j NFLOG --nflog-group 3".to_owned(),
            20 => {
                let (value, mask) = (self.rng.random_range(0..4), self.rng.random_range(0..4));
                format!(" -j MARK --set-xmark {value:#x}/{mask:#x}")
            }
            21 if table == "raw" => " -j CT --notrack".to_owned(),
            22 if table == "filter" && protocol == Some("tcp") => {
                " -j REJECT --reject-with tcp-reset".to_owned()
            }
            22 if table == "filter" => " -j REJECT".to_owned(),
            23 => String::new(),
            _ => " -j DROP".to_owned(),
        }
    }
}
