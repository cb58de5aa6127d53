//! The parameters of a question, read from text.

use std::net::IpAddr;

use ipnet::IpNet;
use naosu_engine::{Code, Error};
use naosu_flow::set::{ConnectionState, Packet, Protocol};

use crate::cli::args::PacketArgs;

/// The packet of the question.
pub fn packet(args: &PacketArgs) -> Result<Packet, Error> {
    let source = address("--from", &args.from)?;
    let destination = address("--to", &args.to)?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(invalid(
            format!("--from {source} and --to {destination} are of two address families"),
            "give both as IPv4 or both as IPv6",
        ));
    }
    let (destination_port, source_port, protocol) = match (&args.port, &args.protocol) {
        (_, Some(name)) => (0, 0, protocol_without_ports(name)?),
        (text, None) => {
            let text = text.as_deref().unwrap_or_default();
            let (destination_port, protocol) = port_and_protocol(text)?;
            let source_port = port("--source-port", &args.source_port)?;
            (destination_port, source_port, protocol)
        }
    };
    Ok(Packet {
        direction: args.direction.into(),
        state: ConnectionState::New,
        protocol,
        source,
        destination,
        source_port,
        destination_port,
    })
}

/// The prefixes of an option that must name networks.
pub fn networks(option: &str, texts: &[String]) -> Result<Vec<IpNet>, Error> {
    let prefixes = prefixes(option, texts)?;
    match prefixes.iter().find(|prefix| **prefix != prefix.trunc()) {
        Some(prefix) => Err(invalid(
            format!("{option} {prefix} has host bits set"),
            format!("write {}", prefix.trunc()),
        )),
        None => Ok(prefixes),
    }
}

/// The addresses of an option, each with its prefix length.
pub fn prefixes(option: &str, texts: &[String]) -> Result<Vec<IpNet>, Error> {
    let read = |text: &String| {
        text.parse().map_err(|_| {
            invalid(
                format!("{option} {text:?} is not an address with a prefix length"),
                "write it like 10.224.0.0/16",
            )
        })
    };
    texts.iter().map(read).collect()
}

fn address(option: &str, text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| {
        invalid(
            format!("{option} {text:?} is not an IP address"),
            "write one address like 10.224.0.5, without prefix length",
        )
    })
}

fn port_and_protocol(text: &str) -> Result<(u16, Protocol), Error> {
    let Some((number, name)) = text.split_once('/') else {
        return Err(invalid(
            format!("--port {text:?} has no protocol"),
            "write it like 10250/tcp",
        ));
    };
    let protocol = match name.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        _ => {
            return Err(invalid(
                format!("--port {text:?}: {name:?} is not tcp, udp or sctp"),
                "write it like 10250/tcp",
            ));
        }
    };
    Ok((port("--port", number)?, protocol))
}

fn protocol_without_ports(text: &str) -> Result<Protocol, Error> {
    let protocol = match text.to_ascii_lowercase().as_str() {
        "icmp" => Some(Protocol::ICMP),
        "icmpv6" => Some(Protocol::ICMPV6),
        "esp" => Some(Protocol::ESP),
        "ah" => Some(Protocol::AH),
        "gre" => Some(Protocol::GRE),
        "tcp" => Some(Protocol::TCP),
        "udp" => Some(Protocol::UDP),
        "sctp" => Some(Protocol::SCTP),
        number => number.parse().ok().map(Protocol),
    };
    match protocol {
        Some(protocol) if !protocol.has_ports() => Ok(protocol),
        Some(protocol) => Err(invalid(
            format!("--protocol {text:?}: {protocol} has ports"),
            "give --port in its place, like 10250/tcp",
        )),
        None => Err(invalid(
            format!("--protocol {text:?} is not a protocol without ports"),
            "give icmp, icmpv6, esp, ah, gre or a number from 0 to 255",
        )),
    }
}

/// A packet mark, in decimal or after `0x` in hexadecimal.
pub fn mark(option: &str, text: &str) -> Result<u32, Error> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| {
        invalid(
            format!("{option} {text:?} is not a mark"),
            "give a number of 32 bits, like 0 or 0x4000",
        )
    })
}

fn port(option: &str, text: &str) -> Result<u16, Error> {
    text.parse().map_err(|_| {
        invalid(
            format!("{option}: {text:?} is not a port"),
            "give a number from 0 to 65535",
        )
    })
}

/// A parameter that cannot be used.
pub fn invalid(message: impl Into<String>, next: impl Into<String>) -> Error {
    Error::new(Code::InvalidParameter, message, next)
}
