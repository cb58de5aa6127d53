//! Reads the values of options: ports, addresses, marks, states.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::condition::{AddressMask, ConnectionStates, MarkValue, PortRange, TcpFlags};
use super::error::{ParseErrorKind, excerpt};
use super::ruleset::Family;

pub(super) fn bad_number(field: &'static str, value: &str) -> ParseErrorKind {
    ParseErrorKind::BadNumber {
        field,
        value: excerpt(value),
    }
}

fn bad_address(value: &str) -> ParseErrorKind {
    ParseErrorKind::BadAddress {
        value: excerpt(value),
    }
}

/// A number in decimal, or in hexadecimal after `0x`.
pub(super) fn number(field: &'static str, text: &str) -> Result<u32, ParseErrorKind> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => u32::from_str(text),
    };
    parsed.map_err(|_| bad_number(field, text))
}

fn port(text: &str) -> Result<u16, ParseErrorKind> {
    text.parse().map_err(|_| bad_number("port", text))
}

/// `a`, `a:b`, `:b` or `a:`.
pub(super) fn port_range(text: &str) -> Result<PortRange, ParseErrorKind> {
    let (first, last) = match text.split_once(':') {
        None => {
            let only = port(text)?;
            (only, only)
        }
        Some((first, last)) => (
            if first.is_empty() { 0 } else { port(first)? },
            if last.is_empty() {
                u16::MAX
            } else {
                port(last)?
            },
        ),
    };
    if first > last {
        return Err(bad_number("port range", text));
    }
    Ok(PortRange { first, last })
}

/// Ranges separated by commas.
pub(super) fn port_list(text: &str) -> Result<Vec<PortRange>, ParseErrorKind> {
    text.split(',').map(port_range).collect()
}

/// An address of the family.
pub(super) fn address(family: Family, text: &str) -> Result<IpAddr, ParseErrorKind> {
    match family {
        Family::Ipv4 => Ipv4Addr::from_str(text)
            .map(IpAddr::V4)
            .map_err(|_| bad_address(text)),
        Family::Ipv6 => Ipv6Addr::from_str(text)
            .map(IpAddr::V6)
            .map_err(|_| bad_address(text)),
    }
}

/// `first-last`, or one address.
pub(super) fn address_range(
    family: Family,
    text: &str,
) -> Result<(IpAddr, IpAddr), ParseErrorKind> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (address(family, first)?, address(family, last)?);
    if first > last {
        return Err(bad_address(text));
    }
    Ok((first, last))
}

/// An address with a prefix length or a mask.
pub(super) fn address_mask(family: Family, text: &str) -> Result<AddressMask, ParseErrorKind> {
    let Some((host, mask)) = text.split_once('/') else {
        return Ok(AddressMask::Prefix(IpNet::from(address(family, text)?)));
    };
    let host = address(family, host)?;
    if let Ok(length) = u8::from_str(mask) {
        let net = IpNet::new(host, length).map_err(|_| bad_address(text))?;
        return Ok(AddressMask::Prefix(net.trunc()));
    }
    let mask = address(family, mask).map_err(|_| bad_address(text))?;
    match (host, mask) {
        (IpAddr::V4(host), IpAddr::V4(mask)) => Ok(masked_v4(host.to_bits(), mask.to_bits())),
        (IpAddr::V6(host), IpAddr::V6(mask)) => Ok(masked_v6(host.to_bits(), mask.to_bits())),
        _ => Err(bad_address(text)),
    }
}

fn masked_v4(host: u32, mask: u32) -> AddressMask {
    let (address, length) = (Ipv4Addr::from_bits(host & mask), mask.leading_ones());
    match u8::try_from(length)
        .ok()
        .and_then(|length| Ipv4Net::new(address, length).ok())
    {
        Some(net) if mask.count_ones() == length => AddressMask::Prefix(IpNet::V4(net)),
        _ => AddressMask::Mask {
            address: IpAddr::V4(address),
            mask: IpAddr::V4(Ipv4Addr::from_bits(mask)),
        },
    }
}

fn masked_v6(host: u128, mask: u128) -> AddressMask {
    let (address, length) = (Ipv6Addr::from_bits(host & mask), mask.leading_ones());
    match u8::try_from(length)
        .ok()
        .and_then(|length| Ipv6Net::new(address, length).ok())
    {
        Some(net) if mask.count_ones() == length => AddressMask::Prefix(IpNet::V6(net)),
        _ => AddressMask::Mask {
            address: IpAddr::V6(address),
            mask: IpAddr::V6(Ipv6Addr::from_bits(mask)),
        },
    }
}

/// `value` or `value/mask`.
pub(super) fn mark(text: &str) -> Result<MarkValue, ParseErrorKind> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, number("mark mask", mask)?),
        None => (text, u32::MAX),
    };
    Ok(MarkValue {
        value: number("mark", value)?,
        mask,
    })
}

/// State names separated by commas.
pub(super) fn states(text: &str) -> Result<ConnectionStates, ParseErrorKind> {
    text.split(',')
        .try_fold(ConnectionStates::NONE, |states, name| {
            ConnectionStates::NAMES
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, state)| states.with(*state))
                .ok_or_else(|| bad_number("connection state", name))
        })
}

/// Flag names separated by commas, `ALL` or `NONE`.
pub(super) fn flags(text: &str) -> Result<u8, ParseErrorKind> {
    text.split(',').try_fold(0, |flags, name| {
        let bits = match name {
            "ALL" => Some(0x3f),
            "NONE" => Some(0),
            _ => TcpFlags::NAMES
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, bit)| *bit),
        };
        bits.map(|bits| flags | bits)
            .ok_or_else(|| bad_number("TCP flag", name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_outside_16_bits_and_backward_ranges_are_refused() {
        assert_eq!(
            port_range("65535").unwrap(),
            PortRange {
                first: 65535,
                last: 65535
            }
        );
        assert_eq!(
            port_range("1000:").unwrap(),
            PortRange {
                first: 1000,
                last: 65535
            }
        );
        for wrong in ["65536", "-1", "", "2:1", "1:2:3", "ssh"] {
            assert_eq!(
                port_range(wrong).unwrap_err().code(),
                "bad_number",
                "{wrong}"
            );
        }
    }

    #[test]
    fn masks_that_are_prefixes_become_prefixes() {
        let of = |text| address_mask(Family::Ipv4, text).unwrap();
        assert_eq!(
            of("10.1.2.3/255.0.0.0"),
            AddressMask::Prefix("10.0.0.0/8".parse().unwrap())
        );
        assert_eq!(
            of("10.1.2.3/0.0.0.0"),
            AddressMask::Prefix("0.0.0.0/0".parse().unwrap())
        );
        assert!(matches!(
            of("10.1.2.3/255.0.255.0"),
            AddressMask::Mask { .. }
        ));
        assert_eq!(
            of("10.1.2.3"),
            AddressMask::Prefix("10.1.2.3/32".parse().unwrap())
        );
    }

    #[test]
    fn an_address_of_the_other_family_is_refused() {
        assert_eq!(
            address_mask(Family::Ipv4, "::1/128").unwrap_err().code(),
            "bad_address"
        );
        assert_eq!(
            address_mask(Family::Ipv6, "10.0.0.0/8").unwrap_err().code(),
            "bad_address"
        );
    }
}
