//! Writes rulesets the way `iptables-save` does.

use std::fmt::{self, Display, Formatter};

use super::condition::{
    AddressMask, Condition, ConnectionStates, Extension, IcmpType, InterfaceSide, Negatable,
    OptionText, PortRange, PortSide, SetLookup, Side, TcpFlags, Transport,
};
use super::protocol::protocol_name;
use super::ruleset::{Chain, ChainPolicy, Counters, Rule, Ruleset};
use super::target::Target;
use super::token::{quote, quote_if_split};

/// The ruleset as text that `iptables-restore` reads.
impl Display for Ruleset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(f, "*{}", table.name.as_str())?;
            for chain in &table.chains {
                declaration(chain, f)?;
            }
            for chain in &table.chains {
                for rule in &chain.rules {
                    if let Some(counters) = rule.counters {
                        write!(f, "{counters} ")?;
                    }
                    writeln!(f, "-A {}{rule}", quote_if_split(&chain.name))?;
                }
            }
            writeln!(f, "COMMIT")?;
        }
        Ok(())
    }
}

fn declaration(chain: &Chain, f: &mut Formatter<'_>) -> fmt::Result {
    let policy = match chain.policy {
        Some(ChainPolicy::Accept) => "ACCEPT",
        Some(ChainPolicy::Drop) => "DROP",
        None => "-",
    };
    write!(f, ":{} {policy}", chain.name)?;
    match chain.counters {
        Some(counters) => writeln!(f, " {counters}"),
        None => writeln!(f, " [0:0]"),
    }
}

impl Display for Counters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:{}]", self.packets, self.bytes)
    }
}

/// The specification, each part after a blank: what stands after `-A CHAIN`.
impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for condition in &self.conditions {
            write!(f, "{condition}")?;
        }
        write!(f, "{}", self.target)
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Accept => f.write_str(" -j ACCEPT"),
            Self::Drop => f.write_str(" -j DROP"),
            Self::Return => f.write_str(" -j RETURN"),
            Self::Jump(chain) => write!(f, " -j {}", quote_if_split(chain)),
            Self::Goto(chain) => write!(f, " -g {}", quote_if_split(chain)),
            Self::SetMark { value, mask } => write!(f, " -j MARK --set-xmark {value:#x}/{mask:#x}"),
            Self::Reject(extension)
            | Self::Translate(extension)
            | Self::Continue(extension)
            | Self::Unmodelled(extension) => {
                write!(f, " -j {}", quote_if_split(&extension.name))?;
                options(&extension.options, f)
            }
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { side, value } => {
                let option = match side {
                    Side::Source => "-s",
                    Side::Destination => "-d",
                };
                write!(f, "{} {option} {}", not(value), value.value)
            }
            Self::Interface { side, value } => {
                let option = match side {
                    InterfaceSide::In => "-i",
                    InterfaceSide::Out => "-o",
                };
                write!(
                    f,
                    "{} {option} {}",
                    not(value),
                    quote_if_split(&value.value)
                )
            }
            Self::Protocol(value) => match protocol_name(value.value) {
                Some(name) => write!(f, "{} -p {name}", not(value)),
                None => write!(f, "{} -p {}", not(value), value.value),
            },
            Self::ProtocolName(value) => {
                write!(f, "{} -p {}", not(value), quote_if_split(&value.value))
            }
            Self::Fragment { negated } => f.write_str(if *negated { " ! -f" } else { " -f" }),
            Self::Transport(transport) => write!(f, "{transport}"),
            Self::Multiport { side, value } => {
                let option = match side {
                    PortSide::Source => "--sports",
                    PortSide::Destination => "--dports",
                    PortSide::Either => "--ports",
                };
                write!(f, " -m multiport{} {option} ", not(value))?;
                list(&value.value, f)
            }
            Self::Icmp(value) => icmp(value, f),
            Self::Connection {
                state_module,
                states,
                other,
            } => {
                let (module, option) = match state_module {
                    true => ("state", "--state"),
                    false => ("conntrack", "--ctstate"),
                };
                write!(f, " -m {module}")?;
                if let Some(states) = states {
                    write!(f, "{} {option} {}", not(states), states.value)?;
                }
                options(other, f)
            }
            Self::Mark(value) => {
                write!(f, " -m mark{} --mark {:#x}", not(value), value.value.value)?;
                match value.value.mask {
                    u32::MAX => Ok(()),
                    mask => write!(f, "/{mask:#x}"),
                }
            }
            Self::IpRange {
                source,
                destination,
            } => {
                f.write_str(" -m iprange")?;
                for (option, range) in [("--src-range", source), ("--dst-range", destination)] {
                    if let Some(range) = range {
                        let (first, last) = range.value;
                        write!(f, "{} {option} {first}-{last}", not(range))?;
                    }
                }
                Ok(())
            }
            Self::AddressType {
                source,
                destination,
                limit_interface,
            } => {
                f.write_str(" -m addrtype")?;
                for (option, types) in [("--src-type", source), ("--dst-type", destination)] {
                    if let Some(types) = types {
                        write!(f, "{} {option} {}", not(types), types.value.join(","))?;
                    }
                }
                f.write_str(match limit_interface {
                    None => "",
                    Some(InterfaceSide::In) => " --limit-iface-in",
                    Some(InterfaceSide::Out) => " --limit-iface-out",
                })
            }
            Self::Set { value, other } => {
                write!(f, " -m set{} --match-set {}", not(value), value.value)?;
                options(other, f)
            }
            Self::Comment(text) => write!(f, " -m comment --comment {}", quote(text)),
            Self::Unmodelled(module) => write!(f, " -m {module}"),
        }
    }
}

fn icmp(value: &Negatable<IcmpType>, f: &mut Formatter<'_>) -> fmt::Result {
    let (module, option) = match value.value.v6 {
        false => ("icmp", "--icmp-type"),
        true => ("icmp6", "--icmpv6-type"),
    };
    write!(f, " -m {module}{} {option} ", not(value))?;
    match value.value.number {
        None => f.write_str("any")?,
        Some(number) => write!(f, "{number}")?,
    }
    match value.value.code {
        None => Ok(()),
        Some(code) => write!(f, "/{code}"),
    }
}

impl Display for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, " -m {}", self.module.as_str())?;
        for (option, range) in [("--sport", &self.source), ("--dport", &self.destination)] {
            if let Some(range) = range {
                write!(f, "{} {option} {}", not(range), range.value)?;
            }
        }
        if let Some(flags) = &self.flags {
            write!(f, "{} --tcp-flags {}", not(flags), flags.value)?;
        }
        options(&self.other, f)
    }
}

impl Display for TcpFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        flag_names(self.mask, f)?;
        f.write_str(" ")?;
        flag_names(self.set, f)
    }
}

fn flag_names(flags: u8, f: &mut Formatter<'_>) -> fmt::Result {
    let mut names = TcpFlags::NAMES
        .iter()
        .filter(|(_, bit)| flags & bit != 0)
        .map(|(name, _)| name);
    let Some(first) = names.next() else {
        return f.write_str("NONE");
    };
    f.write_str(first)?;
    names.try_for_each(|name| write!(f, ",{name}"))
}

impl Display for PortRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}:{}", self.first, self.last),
        }
    }
}

impl Display for AddressMask {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) => write!(f, "{net}"),
            Self::Mask { address, mask } => write!(f, "{address}/{mask}"),
        }
    }
}

impl Display for ConnectionStates {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Self::NAMES
            .iter()
            .filter(|(_, state)| self.intersects(*state))
            .map(|(name, _)| *name)
            .collect();
        f.write_str(&names.join(","))
    }
}

impl Display for SetLookup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let fields: Vec<&str> = self
            .fields
            .iter()
            .map(|field| match field {
                Side::Source => "src",
                Side::Destination => "dst",
            })
            .collect();
        write!(f, "{} {}", quote_if_split(&self.name), fields.join(","))
    }
}

impl Display for Extension {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_if_split(&self.name))?;
        options(&self.options, f)
    }
}

fn options(options: &[OptionText], f: &mut Formatter<'_>) -> fmt::Result {
    for option in options {
        f.write_str(if option.negated { " ! " } else { " " })?;
        f.write_str(&option.name)?;
        // What iptables itself prints quoted, whether it must be or not.
        let always = matches!(option.name.as_str(), "--u32" | "--string" | "--hex-string");
        for value in &option.values {
            let value = if always {
                quote(value)
            } else {
                quote_if_split(value)
            };
            write!(f, " {value}")?;
        }
    }
    Ok(())
}

fn list(ranges: &[PortRange], f: &mut Formatter<'_>) -> fmt::Result {
    for (at, range) in ranges.iter().enumerate() {
        write!(f, "{}{range}", if at == 0 { "" } else { "," })?;
    }
    Ok(())
}

fn not<T>(value: &Negatable<T>) -> &'static str {
    if value.negated { " !" } else { "" }
}
