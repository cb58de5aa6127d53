//! The parameters of a question, read from text.

use std::net::IpAddr;

use ipnet::IpNet;
use naosu_engine::{Code, Error};
use naosu_flow::{field::parse_prefix, set::Protocol};

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
        parse_prefix(text).ok_or_else(|| {
            invalid(
                format!("{option} {text:?} is not an address with a prefix length"),
                "write it like 10.224.0.0/16",
            )
        })
    };
    texts.iter().map(read).collect()
}

/// One address.
pub fn address(option: &str, text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| {
        invalid(
            format!("{option} {text:?} is not an IP address"),
            "write one address like 10.224.0.5, without prefix length",
        )
    })
}

/// A protocol whose packets have no ports, by its name or number.
pub fn protocol_without_ports(text: &str) -> Result<Protocol, Error> {
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

/// A parameter that cannot be used.
pub fn invalid(message: impl Into<String>, next: impl Into<String>) -> Error {
    Error::new(Code::InvalidParameter, message, next)
}
