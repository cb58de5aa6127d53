//! What stands in the address, port and protocol fields of a rule.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::{FieldError, excerpt};
use crate::set::{AddressSet, PortSet, Protocol, ProtocolSet};

/// One value of an address field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressValue {
    /// `*`
    Any,
    /// Addresses written out: one, a prefix or a range.
    Addresses(AddressSet),
    /// A service tag by name.
    Tag(String),
}

/// Where a value stands, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) rule: &'a str,
    pub(crate) field: &'a str,
}

impl Place<'_> {
    fn invalid(&self, value: &str, expected: &'static str) -> FieldError {
        FieldError::Invalid {
            place: self.rule.to_owned(),
            field: self.field.to_owned(),
            value: format!("\"{}\"", excerpt(value)),
            expected,
        }
    }

    fn out_of_range(&self, value: &str, maximum: u32) -> FieldError {
        FieldError::OutOfRange {
            place: self.rule.to_owned(),
            field: self.field.to_owned(),
            value: excerpt(value),
            minimum: 0,
            maximum,
        }
    }
}

/// An address prefix as Azure writes it. One with a leading zero is none: readers differ
/// on whether such a number is octal.
pub fn parse_prefix(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = length.len() > 1 && length.starts_with('0');
    if !is_number || is_padded {
        return None;
    }
    // The standard library refuses leading zeros in an address.
    let address: IpAddr = address.parse().ok()?;
    IpNet::new(address, length.parse().ok()?).ok()
}

/// Reads one value of an address field.
pub(crate) fn parse_address(place: Place<'_>, value: &str) -> Result<AddressValue, FieldError> {
    const EXPECTED: &str = "an address, a prefix, a service tag or \"*\"";
    let value = value.trim();
    if value == "*" || value.eq_ignore_ascii_case("any") {
        return Ok(AddressValue::Any);
    }
    if let Ok(address) = value.parse::<IpAddr>() {
        return Ok(AddressValue::Addresses(AddressSet::host(address)));
    }
    if value.contains('/') {
        let prefix = parse_prefix(value).ok_or_else(|| place.invalid(value, EXPECTED))?;
        if prefix.trunc() != prefix {
            return Err(FieldError::HostBits {
                place: place.rule.to_owned(),
                field: place.field.to_owned(),
                value: value.to_owned(),
                corrected: prefix.trunc().to_string(),
            });
        }
        return Ok(AddressValue::Addresses(AddressSet::prefix(prefix)));
    }
    if let Some((first, last)) = value.split_once('-')
        && let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse())
    {
        let range = AddressSet::range(first, last);
        if range.is_empty() {
            return Err(place.invalid(value, "a range whose first address is not after its last"));
        }
        return Ok(AddressValue::Addresses(range));
    }
    let is_tag = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.len() <= 100
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if is_tag {
        Ok(AddressValue::Tag(value.to_owned()))
    } else {
        Err(place.invalid(value, EXPECTED))
    }
}

/// Reads one value of a port field: `*`, a number, `first-last`.
pub(crate) fn parse_ports(place: Place<'_>, value: &str) -> Result<PortSet, FieldError> {
    let value = value.trim();
    if value == "*" {
        return Ok(PortSet::full());
    }
    let number = |text: &str| -> Result<u16, FieldError> {
        let text = text.trim();
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if !digits {
            return Err(place.invalid(value, "a port, a range first-last or \"*\""));
        }
        text.parse()
            .map_err(|_| place.out_of_range(text, u32::from(u16::MAX)))
    };
    match value.split_once('-') {
        None => Ok(PortSet::single(number(value)?)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(place.invalid(value, "a range whose first port is not after its last"));
            }
            Ok(PortSet::range(first, last))
        }
    }
}

/// The spelling of a protocol ARM uses; values are compared case aside.
pub(crate) fn canonical_protocol(
    place: Place<'_>,
    value: &str,
) -> Result<&'static str, FieldError> {
    const KNOWN: [&str; 6] = ["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"];
    if value.eq_ignore_ascii_case("any") {
        return Ok("*");
    }
    KNOWN
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(value))
        .ok_or_else(|| place.invalid(value, "one of Tcp, Udp, Icmp, Esp, Ah, *"))
}

/// The protocol numbers of a protocol field. `Icmp` is not ICMPv6, which security
/// groups do not support.
pub(crate) fn parse_protocol(place: Place<'_>, value: &str) -> Result<ProtocolSet, FieldError> {
    let one = |protocol: Protocol| ProtocolSet::single(protocol.0);
    Ok(match canonical_protocol(place, value)? {
        "Tcp" => one(Protocol::TCP),
        "Udp" => one(Protocol::UDP),
        "Icmp" => one(Protocol::ICMP),
        "Esp" => one(Protocol::ESP),
        "Ah" => one(Protocol::AH),
        _ => ProtocolSet::full(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_with_a_leading_zero_is_none_and_every_other_is_read() {
        for text in [
            "10.224.0.0/16",
            "0.0.0.0/0",
            "10.0.0.1/8",
            "::/0",
            "fd00:0:0:1::/64",
            "255.255.255.255/32",
        ] {
            let read: IpNet = text.parse().unwrap();
            assert_eq!(parse_prefix(text), Some(read), "{text}");
        }
        for text in [
            "010.224.0.0/16",
            "10.224.00.0/16",
            "10.224.0.0/016",
            "10.224.0.0/00",
            "10.224.0.0/+8",
            "10.224.0.0/",
            "10.224.0.0",
            "10.224.0.0/33",
            "10.224.0.0/8/8",
            "/8",
            "",
        ] {
            assert_eq!(parse_prefix(text), None, "{text}");
        }
    }
}
