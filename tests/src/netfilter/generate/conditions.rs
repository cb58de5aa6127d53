//! Generates what rules match: every modelled condition, and some that are not.

use std::fmt::Write as _;

use naosu_flow::iptables::Family;
use rand::RngExt;

use super::Generator;
use super::packets::{PORTS, pools};

impl Generator {
    /// Appends conditions; gives back the protocol the rule is limited to.
    pub(super) fn conditions(&mut self, text: &mut String, chain: &str) -> Option<&'static str> {
        for option in ["-s", "-d"] {
            if self.chance(0.35) {
                let prefix = self.prefix();
                let not = self.not(0.2);
                let _ = write!(text, "{not} {option} {prefix}");
            }
        }
        let has_in = !matches!(chain, "OUTPUT" | "POSTROUTING");
        if has_in && self.chance(0.15) {
            let name = self.pick(&["veth0", "veth+", "lo", "eth0", "out0"]);
            let not = self.not(0.3);
            let _ = write!(text, "{not} -i {name}");
        }
        let has_out =
            matches!(chain, "FORWARD" | "OUTPUT" | "POSTROUTING") || chain.starts_with('U');
        if has_out && self.chance(0.1) {
            let name = self.pick(&["out0", "out+", "veth0", "lo"]);
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
