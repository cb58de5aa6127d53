//! Compares what the analysis says of packets with what the kernel did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use naosu_flow::iptables::{
    Family, Hook, InterfaceKnowledge, Knowledge, LocalAddresses, NodeFirewall, NodeRoutes,
};
use naosu_flow::policy::{PacketAnswer, Verdict};
use naosu_flow::set::{
    AddressSet, AnalysisTooComplex, ConnectionState, Direction, FlowBox, OtherState, Packet,
    PacketSet, Protocol, Space,
};

use super::generate::{SETS, established};
use super::host::{ADDRESSES, HostError, IN_INTERFACE, NetfilterHost, OUT_INTERFACE};
use super::sent_packet::{SentPacket, Transport};

/// How often the analysis was sure, and of what.
#[derive(Debug, Default)]
pub struct Tally {
    /// Packets it says pass.
    pub passed: u64,
    /// Packets it says are stopped.
    pub stopped: u64,
    /// Packets it does not know about.
    pub unknown: u64,
    /// Those that it knows about, by the state they are in where it is another than
    /// that of a connection.
    pub sure_of: BTreeMap<OtherState, u64>,
}

/// Knows the host's addresses, sets and established connections.
#[derive(Debug)]
pub struct Judge {
    established: BTreeSet<Flow>,
    local: Vec<IpAddr>,
}

type Flow = (IpAddr, IpAddr, u8, u16, u16);

impl Judge {
    /// A judge of the packets of one family.
    pub fn new(family: Family) -> Self {
        Self {
            established: established(family).iter().map(flow).collect(),
            local: local_addresses().iter().map(|net| net.addr()).collect(),
        }
    }

    /// What the analysis may know of the host: its addresses from its own routes,
    /// as a node shows them.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn knowledge(host: &NetfilterHost) -> Result<Knowledge, HostError> {
        let prefix = |text: &&str| -> ipnet::IpNet {
            text.parse()
                .or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from))
                .expect("a constant prefix")
        };
        let mut local_addresses = LocalAddresses::default();
        for (family, option) in [(Family::Ipv4, "-4"), (Family::Ipv6, "-6")] {
            let shown = host.tool("ip", &[option, "route", "show", "table", "all"])?;
            let routes = NodeRoutes::parse(family, &shown);
            let routes = routes.unwrap_or_else(|| panic!("not read: {shown}"));
            local_addresses.learn(family, &routes);
        }
        Ok(Knowledge {
            in_interface: InterfaceKnowledge::Named(IN_INTERFACE.to_owned()),
            out_interface: InterfaceKnowledge::Named(OUT_INTERFACE.to_owned()),
            local_addresses,
            address_sets: SETS
                .iter()
                .map(|(name, _, members)| {
                    let prefixes: Vec<ipnet::IpNet> = members.iter().map(prefix).collect();
                    ((*name).to_owned(), AddressSet::prefixes(&prefixes))
                })
                .collect(),
            ..Knowledge::default()
        })
    }

    /// The packet as the analysis sees it, and the hook that decides it.
    pub fn analysed(&self, sent: &SentPacket) -> (Hook, Packet) {
        let (source, destination, protocol, source_port, destination_port) = flow(sent);
        let is_open = sent.other.is_none() && self.established.contains(&flow(sent));
        let state = match is_open {
            true => ConnectionState::Established,
            false => ConnectionState::New,
        };
        let local = self.local.contains(&destination);
        let hook = if local { Hook::Input } else { Hook::Forward };
        let packet = Packet {
            direction: hook.direction(),
            state,
            protocol: Protocol(protocol),
            source,
            destination,
            source_port,
            destination_port,
        };
        (hook, packet)
    }

    /// The packet as the analysis sees it where the host itself sends it.
    pub fn analysed_own(&self, sent: &SentPacket) -> Packet {
        let (_, packet) = self.analysed(&sent.turned_round());
        Packet {
            direction: Direction::Outbound,
            source: packet.destination,
            destination: packet.source,
            source_port: packet.destination_port,
            destination_port: packet.source_port,
            ..packet
        }
    }

    /// The interface by which a packet leaves that the host itself sends, once there
    /// is a route to everywhere.
    pub fn leaves_by(&self, sent: &SentPacket) -> &'static str {
        let mut networks = local_addresses().into_iter();
        if self.local.contains(&sent.destination) {
            "lo"
        } else if networks.any(|network| network.contains(&sent.destination)) {
            IN_INTERFACE
        } else {
            OUT_INTERFACE
        }
    }

    /// Whether the analysis agrees with the kernel about every packet that the host
    /// itself sent. Where no mark is given, the analysis does not know that of the
    /// socket.
    ///
    /// # Errors
    /// The first packet they do not agree about, in words.
    pub fn compare_own(
        &self,
        firewall: &NodeFirewall,
        mark: Option<u32>,
        packets: &[SentPacket],
        passing: &BTreeSet<u32>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let mut space = Space::new();
        let mut firewall = firewall.clone();
        firewall.knowledge.socket_mark = mark;
        for interface in ["lo", IN_INTERFACE, OUT_INTERFACE] {
            firewall.knowledge.out_interface = InterfaceKnowledge::Named(interface.to_owned());
            let mut decided = None;
            for sent in packets
                .iter()
                .filter(|sent| self.leaves_by(sent) == interface)
            {
                let packet = self.analysed_own(sent);
                let other;
                let decisions = match sent.other {
                    Some(state) => {
                        let asked = in_words(space.flow(&FlowBox::one(&packet)))?;
                        let hook = (Hook::Output, state);
                        other = in_words(firewall.analyse_in_state(&mut space, hook, asked))?;
                        &other
                    }
                    None => match &mut decided {
                        Some(decided) => decided,
                        none => {
                            let all = PacketSet::ALL;
                            let all = firewall.analyse(&mut space, Hook::Output, all);
                            none.insert(in_words(all)?)
                        }
                    },
                };
                let answer = in_words(decisions.decisions.answer(&mut space, &packet))?;
                tally.judge(&answer, passing.contains(&sent.id), sent)?;
            }
        }
        Ok(())
    }

    /// Whether the analysis agrees with the kernel about every packet.
    ///
    /// # Errors
    /// The first packet they do not agree about, in words.
    pub fn compare(
        &self,
        firewall: &NodeFirewall,
        packets: &[SentPacket],
        passing: &BTreeSet<u32>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let mut space = Space::new();
        let [input, forward] = [Hook::Input, Hook::Forward]
            .map(|hook| firewall.analyse(&mut space, hook, PacketSet::ALL));
        let (input, forward) = (in_words(input)?, in_words(forward)?);
        for sent in packets {
            let (hook, packet) = self.analysed(sent);
            let other;
            let decisions = match (sent.other, hook) {
                (Some(state), _) => {
                    let asked = in_words(space.flow(&FlowBox::one(&packet)))?;
                    other = in_words(firewall.analyse_in_state(&mut space, (hook, state), asked))?;
                    &other
                }
                (None, Hook::Input) => &input,
                (None, _) => &forward,
            };
            let answer = in_words(decisions.decisions.answer(&mut space, &packet))?;
            tally.judge(&answer, passing.contains(&sent.id), sent)?;
        }
        Ok(())
    }
}

impl Tally {
    /// Counts a verdict.
    ///
    /// # Errors
    /// In words, when it is not what the kernel did.
    pub fn judge(
        &mut self,
        answer: &PacketAnswer,
        passed: bool,
        sent: &SentPacket,
    ) -> Result<(), String> {
        let (count, agrees) = match answer.verdict {
            Verdict::Allow => (&mut self.passed, passed),
            Verdict::Deny => (&mut self.stopped, !passed),
            Verdict::Unknown => (&mut self.unknown, true),
        };
        *count += 1;
        if let (Some(state), Verdict::Allow | Verdict::Deny) = (sent.other, answer.verdict) {
            *self.sure_of.entry(state).or_default() += 1;
        }
        if agrees {
            return Ok(());
        }
        let did = if passed { "passes" } else { "stops" };
        let (verdict, rules) = (answer.verdict, &answer.rules);
        Err(format!(
            "the kernel {did} {sent:?}; we say {verdict} by {rules:?}"
        ))
    }

    /// All packets counted.
    pub fn all(&self) -> u64 {
        self.passed + self.stopped + self.unknown
    }
}

fn in_words<T>(result: Result<T, AnalysisTooComplex>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn local_addresses() -> Vec<ipnet::IpNet> {
    ADDRESSES
        .iter()
        .map(|text| text.parse().expect("a constant address"))
        .collect()
}

fn flow(sent: &SentPacket) -> Flow {
    let (source, destination) = match sent.transport {
        Transport::Tcp {
            source,
            destination,
            ..
        }
        | Transport::Udp {
            source,
            destination,
        }
        | Transport::Ported {
            source,
            destination,
            ..
        } => (source, destination),
        _ => (0, 0),
    };
    (
        sent.source,
        sent.destination,
        sent.protocol(),
        source,
        destination,
    )
}
