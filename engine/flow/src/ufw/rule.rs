//! A rule as a user of ufw states it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::error::UfwErrorKind;
use crate::iptables::{Family, PortRange};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UfwAction {
    /// Lets packets pass.
    Allow,
    /// Drops them.
    Deny,
    /// Refuses them with an answer.
    Reject,
    /// Lets them pass while their source does not try too often.
    Limit,
}

impl UfwAction {
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "allow" => Self::Allow,
            "deny" => Self::Deny,
            "reject" => Self::Reject,
            "limit" => Self::Limit,
            _ => return None,
        })
    }
}

/// Which packets a rule is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UfwDirection {
    /// Packets the node receives.
    In,
    /// Packets the node sends.
    Out,
    /// Packets the node passes on.
    Forward,
}

/// One end of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UfwEnd {
    /// The addresses; any when none are given.
    pub address: Option<IpNet>,
    /// The ports; any when there are none.
    pub ports: Vec<PortRange>,
    /// An application profile instead of ports.
    pub application: Option<String>,
}

/// A rule of ufw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UfwRule {
    /// What it does.
    pub action: UfwAction,
    /// Which packets it is asked about.
    pub direction: UfwDirection,
    /// The family it is limited to; both when none.
    pub family: Option<Family>,
    /// The protocol; with ports and none, TCP and UDP.
    pub protocol: Option<u8>,
    /// Where packets come from.
    pub from: UfwEnd,
    /// Where they go.
    pub to: UfwEnd,
    /// The interface they come in by.
    pub in_interface: Option<String>,
    /// The interface they leave by.
    pub out_interface: Option<String>,
    /// Whether matches are logged.
    pub logged: bool,
    /// The comment.
    pub comment: Option<String>,
}

impl UfwRule {
    pub(super) fn new(action: UfwAction, direction: UfwDirection) -> Self {
        Self {
            action,
            direction,
            family: None,
            protocol: None,
            from: UfwEnd::default(),
            to: UfwEnd::default(),
            in_interface: None,
            out_interface: None,
            logged: false,
            comment: None,
        }
    }

    /// Whether ufw takes two rules for the same, so that one is not added beside
    /// the other: comments aside.
    pub fn is_same(&self, other: &Self) -> bool {
        self.action == other.action && self.is_same_but_action(other)
    }

    /// Whether ufw would change one rule into the other in place: all the same
    /// but action, logging and comment.
    pub fn is_same_but_action(&self, other: &Self) -> bool {
        let families = [self, other].map(|rule| rule.family.unwrap_or(Family::Ipv4));
        families.first() == families.last()
            && self.direction == other.direction
            && self.protocol == other.protocol
            && self.from == other.from
            && self.to == other.to
            && self.in_interface == other.in_interface
            && self.out_interface == other.out_interface
    }

    /// Sets the protocol, which both ends may name.
    pub(super) fn set_protocol(&mut self, name: &str) -> Result<(), UfwErrorKind> {
        let number = protocol(name)?;
        match (self.protocol, number) {
            (Some(known), Some(number)) if known != number => {
                Err(UfwErrorKind::bad("protocol", name))
            }
            (_, None) => Ok(()),
            _ => {
                self.protocol = number;
                Ok(())
            }
        }
    }

    /// Sets the family an address or `(v6)` implies.
    pub(super) fn set_family(&mut self, family: Family) -> Result<(), UfwErrorKind> {
        if self.family.is_some_and(|known| known != family) {
            return Err(UfwErrorKind::bad("address family", "IPv4 with IPv6"));
        }
        self.family = Some(family);
        Ok(())
    }
}

/// The rule as a command line of ufw's, comment aside.
impl fmt::Display for UfwRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            UfwAction::Allow => "allow",
            UfwAction::Deny => "deny",
            UfwAction::Reject => "reject",
            UfwAction::Limit => "limit",
        };
        match self.direction {
            UfwDirection::In => write!(f, "{action} in")?,
            UfwDirection::Out => write!(f, "{action} out")?,
            UfwDirection::Forward => write!(f, "route {action}")?,
        }
        let route = self.direction == UfwDirection::Forward;
        for (word, name) in [("in", &self.in_interface), ("out", &self.out_interface)] {
            if let Some(name) = name {
                let word = if route {
                    format!(" {word}")
                } else {
                    String::new()
                };
                write!(f, "{word} on {}", name.escape_debug())?;
            }
        }
        if self.logged {
            f.write_str(" log")?;
        }
        for (word, end) in [("from", &self.from), ("to", &self.to)] {
            write!(f, " {word} ")?;
            match (end.address, self.family) {
                (Some(net), _) if net.prefix_len() == net.max_prefix_len() => {
                    write!(f, "{}", net.addr())?
                }
                (Some(net), _) => write!(f, "{net}")?,
                (None, Some(Family::Ipv4)) => f.write_str("0.0.0.0/0")?,
                (None, Some(Family::Ipv6)) => f.write_str("::/0")?,
                (None, None) => f.write_str("any")?,
            }
            if !end.ports.is_empty() {
                let ports: Vec<String> = end.ports.iter().map(ToString::to_string).collect();
                write!(f, " port {}", ports.join(","))?;
            }
            if let Some(application) = &end.application {
                write!(f, " app '{}'", application.escape_debug())?;
            }
        }
        match self.protocol {
            None => Ok(()),
            Some(6) => f.write_str(" proto tcp"),
            Some(17) => f.write_str(" proto udp"),
            Some(50) => f.write_str(" proto esp"),
            Some(51) => f.write_str(" proto ah"),
            Some(2) => f.write_str(" proto igmp"),
            Some(41) => f.write_str(" proto ipv6"),
            Some(47) => f.write_str(" proto gre"),
            Some(112) => f.write_str(" proto vrrp"),
            Some(number) => write!(f, " proto {number}"),
        }
    }
}

/// The protocols ufw knows; `any` is none.
pub(super) fn protocol(name: &str) -> Result<Option<u8>, UfwErrorKind> {
    Ok(Some(match name {
        "any" => return Ok(None),
        "tcp" => 6,
        "udp" => 17,
        "ah" => 51,
        "esp" => 50,
        "gre" => 47,
        "igmp" => 2,
        "ipv6" => 41,
        "vrrp" => 112,
        _ => return Err(UfwErrorKind::bad("protocol", name)),
    }))
}

/// `22`, `80,443` or `9000:9010`.
pub(super) fn ports(text: &str) -> Result<Vec<PortRange>, UfwErrorKind> {
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let bad = |_| UfwErrorKind::bad("port", part);
            let (first, last) = (first.parse().map_err(bad)?, last.parse().map_err(bad)?);
            if first > last {
                return Err(UfwErrorKind::bad("port range", part));
            }
            Ok(PortRange { first, last })
        })
        .collect()
}

/// Whether a text can only be ports: it has digits and their separators alone.
pub(super) fn looks_like_ports(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ',' | ':'))
}

/// An address or prefix; host bits are cut off as ufw does.
pub(super) fn address(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) => Some(net.trunc()),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// Puts an address at an end and limits the rule to its family.
pub(super) fn put_address(rule: &mut UfwRule, to: bool, net: IpNet) -> Result<(), UfwErrorKind> {
    rule.set_family(if net.addr().is_ipv4() {
        Family::Ipv4
    } else {
        Family::Ipv6
    })?;
    let end = if to { &mut rule.to } else { &mut rule.from };
    end.address = (net.prefix_len() > 0).then_some(net);
    Ok(())
}
