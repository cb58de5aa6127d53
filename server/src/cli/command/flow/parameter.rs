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
    let (destination_port, protocol) = port_and_protocol(&args.port)?;
    Ok(Packet {
        direction: args.direction.into(),
        state: ConnectionState::New,
        protocol,
        source,
        destination,
        source_port: port("--source-port", &args.source_port)?,
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
