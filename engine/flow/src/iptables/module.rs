//! Turns a match module and its options into a condition.

use super::condition::{
    Condition, Extension, IcmpType, InterfaceSide, Negatable, OptionText, PortRange, PortSide,
    SetLookup, Side, TcpFlags, Transport, TransportModule,
};
use super::error::{ParseErrorKind, excerpt};
use super::ruleset::Family;
use super::target::Target;
use super::value;

/// How many words follow an option; none where only the next option ends them.
///
/// Options with free text must be listed: `iptables-save` leaves a text like
/// `-j` unquoted, and it must not be taken for an option.
pub(super) fn value_count(option: &str) -> Option<usize> {
    Some(match option {
        "--match-set" | "--tcp-flags" => 2,
        "--syn" => 0,
        "--algo"
        | "--bytecode"
        | "--comment"
        | "--ctstate"
        | "--destination-port"
        | "--destination-ports"
        | "--dport"
        | "--dports"
        | "--dst-range"
        | "--dst-type"
        | "--gid-owner"
        | "--hashlimit-name"
        | "--helper"
        | "--hex-string"
        | "--icmp-type"
        | "--icmpv6-type"
        | "--limit"
        | "--limit-burst"
        | "--log-level"
        | "--log-prefix"
        | "--mark"
        | "--name"
        | "--nflog-group"
        | "--nflog-prefix"
        | "--path"
        | "--physdev-in"
        | "--physdev-out"
        | "--port"
        | "--ports"
        | "--reject-with"
        | "--set-mark"
        | "--set-xmark"
        | "--source-port"
        | "--source-ports"
        | "--sport"
        | "--sports"
        | "--src-range"
        | "--src-type"
        | "--state"
        | "--string"
        | "--to-destination"
        | "--to-source"
        | "--u32"
        | "--uid-owner"
        | "--ulog-prefix" => 1,
        _ => return None,
    })
}

/// Options of a transport or ICMP module, which iptables accepts without `-m`.
pub(super) fn is_protocol_option(option: &str) -> bool {
    matches!(
        option,
        "--sport"
            | "--source-port"
            | "--dport"
            | "--destination-port"
            | "--tcp-flags"
            | "--syn"
            | "--tcp-option"
            | "--icmp-type"
            | "--icmpv6-type"
    )
}

/// Whether a module has one of those options.
pub(super) fn has_protocol_option(module: &str, option: &str) -> bool {
    match option {
        "--icmp-type" => module == "icmp",
        "--icmpv6-type" => matches!(module, "icmp6" | "icmpv6"),
        "--tcp-flags" | "--syn" | "--tcp-option" => module == "tcp",
        _ => TransportModule::from_name(module).is_some(),
    }
}

/// The module that reads a protocol's own options.
pub(super) fn protocol_module(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        58 => "icmp6",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// The condition a module states.
pub(super) fn condition(family: Family, module: Extension) -> Result<Condition, ParseErrorKind> {
    match module.name.as_str() {
        "multiport" => multiport(module),
        "icmp" => icmp(module, false),
        "icmp6" | "icmpv6" => icmp(module, true),
        "conntrack" | "state" => connection(module),
        "mark" => mark(module),
        "iprange" => ip_range(family, module),
        "addrtype" => address_type(module),
        "set" => set(module),
        _ => Ok(Condition::Unmodelled(module)),
    }
}

/// The target of an extension that is no chain; `None` for an unknown name.
pub(super) fn target(extension: Extension) -> Result<Option<Target>, ParseErrorKind> {
    if extension.name == "MARK"
        && let [option] = extension.options.as_slice()
        && let Some(target) = mark_target(option)?
    {
        return Ok(Some(target));
    }
    Ok(Target::of_extension(extension))
}

fn mark_target(option: &OptionText) -> Result<Option<Target>, ParseErrorKind> {
    let mark = value::mark(one_value(option)?)?;
    let (value, mask) = match option.name.as_str() {
        "--set-xmark" => (mark.value, mark.mask),
        "--set-mark" => (mark.value, mark.value | mark.mask),
        "--and-mark" => (0, !mark.value),
        "--or-mark" => (mark.value, mark.value),
        "--xor-mark" => (mark.value, 0),
        _ => return Ok(None),
    };
    Ok(Some(Target::SetMark { value, mask }))
}

fn one_value(option: &OptionText) -> Result<&str, ParseErrorKind> {
    match option.values.as_slice() {
        [value] => Ok(value),
        [] => Err(ParseErrorKind::MissingValue {
            option: excerpt(&option.name),
        }),
        [_, second, ..] => Err(ParseErrorKind::UnexpectedToken {
            token: excerpt(second),
        }),
    }
}

/// The only option of a module that needs exactly one of these.
fn single<'a>(module: &'a Extension, names: &[&str]) -> Result<&'a OptionText, ParseErrorKind> {
    match module.options.as_slice() {
        [option] if names.contains(&option.name.as_str()) => Ok(option),
        [option] => Err(ParseErrorKind::UnexpectedToken {
            token: excerpt(&option.name),
        }),
        [_, second, ..] => Err(ParseErrorKind::UnexpectedToken {
            token: excerpt(&second.name),
        }),
        [] => Err(ParseErrorKind::MissingValue {
            option: format!("-m {}", module.name),
        }),
    }
}

/// Puts a value where it belongs, once.
fn put<T>(
    slot: &mut Option<Negatable<T>>,
    option: &OptionText,
    value: T,
) -> Result<(), ParseErrorKind> {
    if slot.is_some() {
        return Err(ParseErrorKind::UnexpectedToken {
            token: excerpt(&option.name),
        });
    }
    *slot = Some(Negatable {
        negated: option.negated,
        value,
    });
    Ok(())
}

/// Adds an option to a transport module's conditions.
pub(super) fn transport_option(
    transport: &mut Transport,
    option: OptionText,
) -> Result<(), ParseErrorKind> {
    let tcp = transport.module == TransportModule::Tcp;
    match option.name.as_str() {
        "--syn" if tcp => put(&mut transport.flags, &option, TcpFlags::OPENING),
        "--tcp-flags" if tcp => {
            let [mask, set] = option.values.as_slice() else {
                return Err(ParseErrorKind::MissingValue {
                    option: option.name,
                });
            };
            let flags = TcpFlags {
                mask: value::flags(mask)?,
                set: value::flags(set)?,
            };
            put(&mut transport.flags, &option, flags)
        }
        _ => {
            transport.other.push(option);
            Ok(())
        }
    }
}

/// Where a transport module keeps the ports of an option, if it is about ports.
pub(super) fn transport_ports<'a>(
    transport: &'a mut Transport,
    option: &str,
) -> Option<&'a mut Option<Negatable<PortRange>>> {
    match option {
        "--sport" | "--source-port" => Some(&mut transport.source),
        "--dport" | "--destination-port" => Some(&mut transport.destination),
        _ => None,
    }
}

fn multiport(module: Extension) -> Result<Condition, ParseErrorKind> {
    let names = [
        "--sports",
        "--source-ports",
        "--dports",
        "--destination-ports",
        "--ports",
        "--port",
    ];
    let option = single(&module, &names)?;
    let side = match option.name.as_str() {
        "--sports" | "--source-ports" => PortSide::Source,
        "--dports" | "--destination-ports" => PortSide::Destination,
        _ => PortSide::Either,
    };
    let value = value::port_list(one_value(option)?)?;
    Ok(Condition::Multiport {
        side,
        value: Negatable {
            negated: option.negated,
            value,
        },
    })
}

fn icmp(module: Extension, v6: bool) -> Result<Condition, ParseErrorKind> {
    let option = single(&module, &["--icmp-type", "--icmpv6-type"])?;
    let text = one_value(option)?;
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (kind, Some(code)),
        None => (text, None),
    };
    let number = if kind == "any" && code.is_none() {
        None
    } else if kind.starts_with(|c: char| c.is_ascii_digit()) {
        Some(
            kind.parse()
                .map_err(|_| value::bad_number("ICMP type", text))?,
        )
    } else {
        match (kind, v6) {
            ("echo-request" | "ping", false) => Some(8),
            ("echo-reply" | "pong", false) => Some(0),
            ("echo-request" | "ping", true) => Some(128),
            ("echo-reply" | "pong", true) => Some(129),
            // Another of iptables' own names; which type it is is not needed.
            _ => return Ok(Condition::Unmodelled(module)),
        }
    };
    let code = match code {
        Some(code) => Some(
            code.parse()
                .map_err(|_| value::bad_number("ICMP code", text))?,
        ),
        None => None,
    };
    let value = IcmpType { v6, number, code };
    Ok(Condition::Icmp(Negatable {
        negated: option.negated,
        value,
    }))
}

fn connection(module: Extension) -> Result<Condition, ParseErrorKind> {
    let (mut states, mut other) = (None, Vec::new());
    for option in module.options {
        if matches!(option.name.as_str(), "--state" | "--ctstate") {
            let value = value::states(one_value(&option)?)?;
            put(&mut states, &option, value)?;
        } else {
            other.push(option);
        }
    }
    if states.is_none() && other.is_empty() {
        return Err(ParseErrorKind::MissingValue {
            option: format!("-m {}", module.name),
        });
    }
    Ok(Condition::Connection {
        state_module: module.name == "state",
        states,
        other,
    })
}

fn mark(module: Extension) -> Result<Condition, ParseErrorKind> {
    let option = single(&module, &["--mark"])?;
    let value = value::mark(one_value(option)?)?;
    Ok(Condition::Mark(Negatable {
        negated: option.negated,
        value,
    }))
}

fn ip_range(family: Family, module: Extension) -> Result<Condition, ParseErrorKind> {
    let (mut source, mut destination) = (None, None);
    for option in &module.options {
        let slot = match option.name.as_str() {
            "--src-range" => &mut source,
            "--dst-range" => &mut destination,
            name => {
                return Err(ParseErrorKind::UnexpectedToken {
                    token: excerpt(name),
                });
            }
        };
        put(
            slot,
            option,
            value::address_range(family, one_value(option)?)?,
        )?;
    }
    Ok(Condition::IpRange {
        source,
        destination,
    })
}

fn address_type(module: Extension) -> Result<Condition, ParseErrorKind> {
    let (mut source, mut destination, mut limit_interface) = (None, None, None);
    let types = |option: &OptionText| -> Result<Vec<String>, ParseErrorKind> {
        let names = one_value(option)?.split(',');
        names.map(address_type_name).collect()
    };
    for option in &module.options {
        match option.name.as_str() {
            "--src-type" => put(&mut source, option, types(option)?)?,
            "--dst-type" => put(&mut destination, option, types(option)?)?,
            "--limit-iface-in" => limit_interface = Some(InterfaceSide::In),
            "--limit-iface-out" => limit_interface = Some(InterfaceSide::Out),
            name => {
                return Err(ParseErrorKind::UnexpectedToken {
                    token: excerpt(name),
                });
            }
        }
    }
    Ok(Condition::AddressType {
        source,
        destination,
        limit_interface,
    })
}

/// A type of address as iptables names it, in any case.
fn address_type_name(name: &str) -> Result<String, ParseErrorKind> {
    const NAMES: [&str; 12] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
        "NAT",
        "XRESOLVE",
    ];
    let mut known = NAMES.into_iter();
    known
        .find(|known| known.eq_ignore_ascii_case(name))
        .map(str::to_owned)
        .ok_or_else(|| value::bad_number("address type", name))
}

fn set(module: Extension) -> Result<Condition, ParseErrorKind> {
    let (mut lookup, mut other) = (None, Vec::new());
    for option in module.options {
        let [name, fields] = option.values.as_slice() else {
            other.push(option);
            continue;
        };
        if option.name != "--match-set" {
            other.push(option);
            continue;
        }
        let fields = fields
            .split(',')
            .map(|field| match field {
                "src" => Ok(Side::Source),
                "dst" => Ok(Side::Destination),
                wrong => Err(value::bad_number("set field", wrong)),
            })
            .collect::<Result<_, _>>()?;
        put(
            &mut lookup,
            &option,
            SetLookup {
                name: name.clone(),
                fields,
            },
        )?;
    }
    match lookup {
        Some(value) => Ok(Condition::Set { value, other }),
        None => Err(ParseErrorKind::MissingValue {
            option: "--match-set".to_owned(),
        }),
    }
}
