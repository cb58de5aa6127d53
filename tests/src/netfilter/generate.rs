//! Generates rulesets and packets: everything modelled, in every combination
//! the kernel loads, and some of what is not modelled.

use std::fmt::Write as _;
use std::net::IpAddr;

use naosu_flow::iptables::{Backend, Family};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::host::LAST_SOURCES;
use super::sent_packet::{SentPacket, Transport};

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
    family: Family,
}

/// A set's name by family, and its members.
pub const SETS: [(&str, Family, &[&str]); 2] = [
    (
        "known4",
        Family::Ipv4,
        &["10.3.0.0/25", "10.3.1.7", "10.1.0.0/30"],
    ),
    (
        "known6",
        Family::Ipv6,
        &["fd03::/64", "fd04::7", "fd01::/126"],
    ),
];

const V4_SOURCES: [&str; 10] = [
    "10.3.0.1",
    "10.3.0.200",
    "10.3.1.7",
    "10.3.1.8",
    "10.1.0.3",
    "10.1.0.77",
    "172.16.5.4",
    "8.8.8.8",
    "10.224.0.4",
    "10.3.0.127",
];
const V6_SOURCES: [&str; 8] = [
    "fd03::1",
    "fd03::1:0:0:1",
    "fd04::7",
    "fd04::8",
    "fd01::3",
    "fd01::77",
    "2001:db8::5",
    "fd03:0:0:1::9",
];
const V4_DESTINATIONS: [&str; 5] = ["10.1.0.1", "10.1.0.2", "10.2.0.9", "10.2.3.4", "10.1.0.1"];
const V6_DESTINATIONS: [&str; 5] = ["fd01::1", "fd01::2", "fd02::9", "fd02::3:4", "fd01::1"];
const PORTS: [u16; 10] = [1, 22, 80, 443, 999, 1000, 10_250, 10_251, 30_000, 65_535];

/// The connections every host of this oracle knows as established.
pub fn established(family: Family) -> Vec<SentPacket> {
    let mut packets = Vec::new();
    let (sources, destinations) = pools(family);
    for (at, source) in sources.iter().take(4).enumerate() {
        for (place, destination) in destinations.iter().take(3).enumerate() {
            let source_port = 2000 + at as u16;
            let destination_port = PORTS[(at * 3 + place) % PORTS.len()];
            for tcp in [true, false] {
                let transport = match tcp {
                    true => Transport::Tcp {
                        source: source_port,
                        destination: destination_port,
                        flags: 0x10,
                    },
                    false => Transport::Udp {
                        source: source_port,
                        destination: destination_port,
                    },
                };
                packets.push(SentPacket {
                    source: address(source),
                    destination: address(destination),
                    transport,
                    id: 0,
                });
            }
        }
    }
    packets
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("a constant address")
}

fn pools(family: Family) -> (&'static [&'static str], &'static [&'static str]) {
    match family {
        Family::Ipv4 => (&V4_SOURCES, &V4_DESTINATIONS),
        Family::Ipv6 => (&V6_SOURCES, &V6_DESTINATIONS),
    }
}

impl Generator {
    /// A case from a seed: the same seed gives the same case.
    pub fn case(seed: u64, backends: &[Backend], packets: usize) -> Case {
        let mut rng = StdRng::seed_from_u64(seed);
        let family = if rng.random_bool(0.5) {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        let mut generator = Self { rng, family };
        let rulesets = backends
            .iter()
            .map(|backend| (*backend, generator.ruleset()))
            .collect();
        let packets = generator.packets(packets);
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
            family,
        }
    }

    /// Packets, not yet numbered.
    pub fn packets(&mut self, count: usize) -> Vec<SentPacket> {
        (0..count).map(|_| self.packet()).collect()
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }

    fn packet(&mut self) -> SentPacket {
        if self.chance(0.3) {
            return self.pick(&established(self.family));
        }
        let (sources, destinations) = pools(self.family);
        let source = address(self.pick(sources));
        let destination = address(self.pick(destinations));
        let transport = match self.rng.random_range(0..10) {
            0..5 => Transport::Tcp {
                source: self.port(),
                destination: self.port(),
                flags: 0x02,
            },
            5..8 => Transport::Udp {
                source: self.port(),
                destination: self.port(),
            },
            8 => Transport::EchoRequest,
            _ => Transport::Other(253),
        };
        SentPacket {
            source,
            destination,
            transport,
            id: 0,
        }
    }

    fn port(&mut self) -> u16 {
        if self.chance(0.8) {
            self.pick(&PORTS)
        } else {
            self.rng.random_range(3000..=u16::MAX)
        }
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
            // Answers to refused packets leave by these; they are not asked about.
            let drops = drops && !matches!(*chain, "OUTPUT" | "POSTROUTING");
            let _ = writeln!(
                text,
                ":{chain} {} [0:0]",
                if drops { "DROP" } else { "ACCEPT" }
            );
        }
        for chain in 0..user_chains {
            let _ = writeln!(text, ":U{chain} - [0:0]");
        }
        for chain in built_in.iter().filter(|chain| !matches!(**chain, "OUTPUT")) {
            if table != "nat" {
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

    /// Appends conditions; gives back the protocol the rule is limited to.
    fn conditions(&mut self, text: &mut String, chain: &str) -> Option<&'static str> {
        for option in ["-s", "-d"] {
            if self.chance(0.35) {
                let prefix = self.prefix();
                let not = self.not(0.2);
                let _ = write!(text, "{not} {option} {prefix}");
            }
        }
        if chain != "POSTROUTING" && self.chance(0.15) {
            let name = self.pick(&["veth0", "veth+", "lo", "eth0", "out0"]);
            let not = self.not(0.3);
            let _ = write!(text, "{not} -i {name}");
        }
        let has_out = matches!(chain, "FORWARD" | "POSTROUTING") || chain.starts_with('U');
        if has_out && self.chance(0.1) {
            let name = self.pick(&["out0", "out+", "veth0"]);
            let not = self.not(0.3);
            let _ = write!(text, "{not} -o {name}");
        }
        let protocol = self.protocol(text);
        self.modules(text);
        protocol
    }

    fn not(&mut self, probability: f64) -> &'static str {
        if self.chance(probability) { " !" } else { "" }
    }

    fn prefix(&mut self) -> String {
        let (sources, destinations) = pools(self.family);
        let address = if self.chance(0.6) {
            self.pick(sources)
        } else {
            self.pick(destinations)
        };
        let odd_mask = self.chance(0.05);
        match self.family {
            Family::Ipv4 if odd_mask => format!("{address}/255.255.0.255"),
            Family::Ipv4 => format!("{address}/{}", self.pick(&[8, 15, 16, 23, 24, 30, 31, 32])),
            Family::Ipv6 => format!(
                "{address}/{}",
                self.pick(&[7, 16, 48, 63, 64, 96, 127, 128])
            ),
        }
    }

    fn protocol(&mut self, text: &mut String) -> Option<&'static str> {
        match self.rng.random_range(0..10) {
            0..4 => {
                let protocol = self.pick(&["tcp", "tcp", "udp"]);
                let _ = write!(text, " -p {protocol}");
                match self.rng.random_range(0..5) {
                    0 => {}
                    1 => {
                        let option = self.pick(&["--sports", "--dports", "--ports"]);
                        let not = self.not(0.25);
                        let ports: Vec<String> = (0..self.rng.random_range(1..5))
                            .map(|_| self.port_range())
                            .collect();
                        let _ = write!(text, " -m multiport{not} {option} {}", ports.join(","));
                    }
                    _ => {
                        let _ = write!(text, " -m {protocol}");
                        for option in ["--sport", "--dport"] {
                            if self.chance(if option == "--dport" { 0.8 } else { 0.2 }) {
                                let not = self.not(0.2);
                                let range = self.port_range();
                                let _ = write!(text, "{not} {option} {range}");
                            }
                        }
                        if protocol == "tcp" && self.chance(0.2) {
                            let flags = self.pick(&[
                                "FIN,SYN,RST,ACK SYN",
                                "SYN,ACK SYN,ACK",
                                "FIN,SYN,RST,PSH,ACK,URG NONE",
                                "SYN SYN",
                            ]);
                            let not = self.not(0.3);
                            let _ = write!(text, "{not} --tcp-flags {flags}");
                        }
                    }
                }
                Some(protocol)
            }
            4 => {
                let name = self.pick(&["tcp", "udp", "253", "esp"]);
                let _ = write!(text, " ! -p {name}");
                None
            }
            5 => {
                let icmp = match self.family {
                    Family::Ipv4 => [
                        "-p icmp",
                        "-p icmp -m icmp --icmp-type any",
                        "-p icmp -m icmp --icmp-type 8",
                    ],
                    Family::Ipv6 => [
                        "-p ipv6-icmp",
                        "-p ipv6-icmp -m icmp6 ! --icmpv6-type 128",
                        "-p ipv6-icmp -m icmp6 --icmpv6-type 128",
                    ],
                };
                let icmp = self.pick(&icmp);
                let _ = write!(text, " {icmp}");
                None
            }
            6 => {
                text.push_str(" -p 253");
                None
            }
            _ => None,
        }
    }

    fn port_range(&mut self) -> String {
        let first = self.pick(&PORTS);
        if self.chance(0.3) {
            let last = self.pick(&PORTS);
            return format!("{}:{}", first.min(last), first.max(last));
        }
        first.to_string()
    }

    fn modules(&mut self, text: &mut String) {
        if self.chance(0.2) {
            let states = self.pick(&[
                "NEW",
                "ESTABLISHED",
                "RELATED,ESTABLISHED",
                "INVALID",
                "NEW,ESTABLISHED",
                "UNTRACKED",
                "INVALID,NEW",
            ]);
            let not = self.not(0.2);
            match self.chance(0.7) {
                true => write!(text, " -m conntrack{not} --ctstate {states}"),
                false => write!(text, " -m state{not} --state {states}"),
            }
            .unwrap_or_default();
        }
        if self.chance(0.08) {
            let (option, first, last) = match self.family {
                Family::Ipv4 => self.pick(&[
                    ("--src-range", "10.1.0.50", "10.3.0.1"),
                    ("--src-range", "10.3.1.7", "172.16.5.4"),
                    ("--dst-range", "10.1.0.2", "10.2.0.9"),
                ]),
                Family::Ipv6 => self.pick(&[
                    ("--src-range", "fd01::50", "fd03::1"),
                    ("--src-range", "fd04::8", "fd05::"),
                    ("--dst-range", "fd01::2", "fd02::9"),
                ]),
            };
            let not = self.not(0.3);
            let _ = write!(text, " -m iprange{not} {option} {first}-{last}");
        }
        if self.chance(0.08) {
            let kinds: &[&str] = match self.family {
                Family::Ipv4 => &[
                    "LOCAL",
                    "UNICAST",
                    "BROADCAST",
                    "MULTICAST",
                    "LOCAL,MULTICAST",
                ],
                Family::Ipv6 => &["LOCAL", "MULTICAST"],
            };
            let kind = self.pick(kinds);
            let option = self.pick(&["--src-type", "--dst-type"]);
            let not = self.not(0.3);
            let _ = write!(text, " -m addrtype{not} {option} {kind}");
        }
        if self.chance(0.1) {
            let (value, mask) = (
                self.rng.random_range(0..4),
                self.pick(&[1_u32, 2, 3, u32::MAX]),
            );
            let not = self.not(0.3);
            let _ = write!(text, " -m mark{not} --mark {value:#x}/{mask:#x}");
        }
        if self.chance(0.08) {
            let name = match self.family {
                Family::Ipv4 => "known4",
                Family::Ipv6 => "known6",
            };
            let side = self.pick(&["src", "dst"]);
            let not = self.not(0.3);
            let _ = write!(text, " -m set{not} --match-set {name} {side}");
        }
        if self.chance(0.03) {
            match self.family {
                Family::Ipv4 => text.push_str(self.pick(&[" -f", " ! -f"])),
                Family::Ipv6 => text.push_str(" -m rt --rt-type 0"),
            }
        }
        if self.chance(0.05) {
            text.push_str(" -m comment --comment \"it's \\\"so\\\" -j ACCEPT\"");
        }
        if self.chance(0.04) {
            let unmodelled = self.pick(&[
                " -m length --length 0:45",
                " -m statistic --mode random --probability 0.50000000000",
                " -m limit --limit 10/sec",
                " -m pkttype --pkt-type unicast",
            ]);
            text.push_str(unmodelled);
        }
    }
}
