//! ufw's rules as a policy.

use super::rule::{UfwAction, UfwDirection, UfwEnd, UfwRule};
use super::status::UfwDefaults;
use crate::iptables::{Family, InterfaceKnowledge};
use crate::policy::{Decisions, Policy, Rule, RuleMatch, RulePolicy, UnknownAddresses, Verdict};
use crate::set::{
    AddressSet, AnalysisTooComplex, Atom, ConnectionState, Direction, FlowBox, PacketSet, PortSet,
    Protocol, ProtocolSet, Space,
};

/// What ufw's rules let pass, with the rules it ships before and after them.
///
/// A file in `/etc/ufw` may say otherwise: where the kernel's ruleset is known,
/// [`NodeFirewall`](crate::iptables::NodeFirewall) decides, and this only tells
/// which rule of ufw's is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UfwPolicy {
    /// The rules, in ufw's order.
    pub rules: Vec<UfwRule>,
    /// The default policies; without them what no rule decides is unknown.
    pub defaults: Option<UfwDefaults>,
    /// The interface packets arrive by.
    pub in_interface: InterfaceKnowledge,
    /// The interface packets leave by.
    pub out_interface: InterfaceKnowledge,
}

/// The name of the policy that decisions of ufw's carry.
pub const UFW_POLICY_NAME: &str = "ufw";

impl Policy for UfwPolicy {
    fn name(&self) -> &str {
        UFW_POLICY_NAME
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        self.as_rules().decide(space, within)
    }
}

impl UfwPolicy {
    /// The policy as an ordered list: inbound and outbound together, since no
    /// packet is both.
    pub fn as_rules(&self) -> RulePolicy {
        let mut rules = vec![named(
            "connections already open",
            FlowBox::any().with_state(ConnectionState::Established),
            Verdict::Allow,
        )];
        rules.extend(shipped_exceptions());
        for (at, rule) in self.rules.iter().enumerate() {
            for matches in self.matches(rule) {
                rules.push(Rule {
                    name: format!("rule {}: {rule}", at + 1),
                    matches,
                    verdict: verdict(rule.action),
                });
            }
        }
        if let Some(defaults) = self.defaults {
            for (direction, action, name) in [
                (Direction::Inbound, defaults.incoming, "default (incoming)"),
                (Direction::Outbound, defaults.outgoing, "default (outgoing)"),
            ] {
                rules.push(named(
                    name,
                    FlowBox::any().with_direction(direction),
                    verdict(action),
                ));
            }
        }
        RulePolicy {
            name: UFW_POLICY_NAME.to_owned(),
            rules,
            default: ("default policy".to_owned(), Verdict::Unknown),
        }
    }

    /// What a rule is about; nothing when it cannot concern the packets.
    fn matches(&self, rule: &UfwRule) -> Vec<RuleMatch> {
        let direction = match rule.direction {
            UfwDirection::In => Direction::Inbound,
            UfwDirection::Out => Direction::Outbound,
            UfwDirection::Forward => return Vec::new(),
        };
        let mut sources = Side::of(&rule.from, rule.family);
        let mut destinations = Side::of(&rule.to, rule.family);
        for (word, name, known, side) in [
            ("in", &rule.in_interface, &self.in_interface, &mut sources),
            (
                "out",
                &rule.out_interface,
                &self.out_interface,
                &mut destinations,
            ),
        ] {
            if let Some(name) = name {
                side.narrow(word, name, known);
            }
        }
        let mut conditions = Vec::new();
        for application in [&rule.from.application, &rule.to.application]
            .into_iter()
            .flatten()
        {
            conditions.push(Atom {
                name: format!("packet is of application {application}"),
                reason: "the ports of the application are in the node's profiles".to_owned(),
            });
        }
        let mut flow = FlowBox::any()
            .with_direction(direction)
            .with_sources(sources.known)
            .with_destinations(destinations.known)
            .with_source_ports(ports(&rule.from))
            .with_destination_ports(ports(&rule.to));
        let has_ports = !rule.from.ports.is_empty() || !rule.to.ports.is_empty();
        match rule.protocol {
            Some(number) => flow.protocols = ProtocolSet::single(number),
            None if has_ports => flow.protocols = tcp_and_udp(),
            None => {}
        }
        vec![RuleMatch {
            flow,
            unknown_sources: sources.unknown,
            unknown_destinations: destinations.unknown,
            conditions,
        }]
    }
}

/// The addresses at one end of a rule's packets.
struct Side {
    known: AddressSet,
    unknown: Vec<UnknownAddresses>,
}

impl Side {
    fn of(end: &UfwEnd, family: Option<Family>) -> Self {
        Self {
            known: addresses(end, family),
            unknown: Vec::new(),
        }
    }

    /// Leaves the packets that come or go by an interface.
    fn narrow(&mut self, word: &str, name: &str, known: &InterfaceKnowledge) {
        let fitting = known.fitting(name);
        let within = self.known.intersection(&fitting.possible);
        self.known = self.known.intersection(&fitting.certain);
        if !within.is_empty() {
            self.unknown.push(UnknownAddresses {
                atom: Atom {
                    name: format!("{word}-interface is {name}"),
                    reason: "the packet's interface is not known".to_owned(),
                },
                when: true,
                within,
            });
        }
    }
}

/// What the rules ufw ships decide before a user's: the messages a network
/// needs. Which of them, only the kernel's ruleset says.
fn shipped_exceptions() -> Vec<Rule> {
    let inbound = || FlowBox::any().with_direction(Direction::Inbound);
    let udp = |port: u16| {
        inbound()
            .with_protocol(Protocol::UDP)
            .with_destination_ports(PortSet::single(port))
    };
    vec![
        named(
            "rules shipped for ICMP",
            inbound().with_protocol(Protocol::ICMP),
            Verdict::Unknown,
        ),
        named(
            "rules shipped for ICMPv6",
            FlowBox::any().with_protocol(Protocol::ICMPV6),
            Verdict::Unknown,
        ),
        named(
            "rules shipped for DHCP",
            udp(68).with_source_ports(PortSet::single(67_u16)),
            Verdict::Unknown,
        ),
        named("rules shipped for DHCPv6", udp(546), Verdict::Unknown),
        named(
            "rules shipped for multicast DNS",
            udp(5353),
            Verdict::Unknown,
        ),
        named("rules shipped for UPnP", udp(1900), Verdict::Unknown),
    ]
}

fn named(name: &str, flow: FlowBox, verdict: Verdict) -> Rule {
    Rule {
        name: name.to_owned(),
        matches: flow.into(),
        verdict,
    }
}

/// How often a source has tried is not known, so neither is what a limit does.
fn verdict(action: UfwAction) -> Verdict {
    match action {
        UfwAction::Allow => Verdict::Allow,
        UfwAction::Deny | UfwAction::Reject => Verdict::Deny,
        UfwAction::Limit => Verdict::Unknown,
    }
}

fn addresses(end: &UfwEnd, family: Option<Family>) -> AddressSet {
    match (end.address, family) {
        (Some(net), _) => AddressSet::prefix(net),
        (None, Some(Family::Ipv4)) => AddressSet::any_v4(),
        (None, Some(Family::Ipv6)) => AddressSet::any_v6(),
        (None, None) => AddressSet::any(),
    }
}

fn ports(end: &UfwEnd) -> PortSet {
    if end.ports.is_empty() {
        return PortSet::full();
    }
    PortSet::from_ranges(
        end.ports
            .iter()
            .map(|range| (range.first.into(), range.last.into())),
    )
}

fn tcp_and_udp() -> ProtocolSet {
    ProtocolSet::from_ranges([Protocol::TCP, Protocol::UDP].map(|p| (p.0.into(), p.0.into())))
}
