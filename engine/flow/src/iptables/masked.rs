//! Addresses under a mask that is no prefix.

use std::net::IpAddr;

use crate::set::{AddressSet, Ipv4Set, Ipv6Set};

/// With more wildcard bits than this before the last fixed one, the ranges are
/// too many to be worth it.
const WILDCARD_BITS: u32 = 10;

/// The addresses that agree with `address` in the bits of `mask`; none when
/// they make too many ranges.
pub(super) fn addresses(address: IpAddr, mask: IpAddr) -> Option<AddressSet> {
    match (address, mask) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => {
            let ranges = ranges(address.to_bits().into(), mask.to_bits().into(), 32)?;
            Some(AddressSet {
                v4: Ipv4Set::from_ranges(ranges),
                v6: Ipv6Set::empty(),
            })
        }
        (IpAddr::V6(address), IpAddr::V6(mask)) => {
            let ranges = ranges(address.to_bits(), mask.to_bits(), 128)?;
            Some(AddressSet {
                v4: Ipv4Set::empty(),
                v6: Ipv6Set::from_ranges(ranges),
            })
        }
        _ => None,
    }
}

fn ranges(address: u128, mask: u128, width: u32) -> Option<Vec<(u128, u128)>> {
    let tail_bits = mask.trailing_zeros().min(width);
    let tail = u128::MAX.checked_shr(128 - tail_bits).unwrap_or(0);
    let wildcards: Vec<u32> = (tail_bits..width)
        .filter(|bit| mask & (1_u128 << bit) == 0)
        .collect();
    if wildcards.len() as u32 > WILDCARD_BITS {
        return None;
    }
    let fixed = address & mask;
    let choices = 0..1_u32 << wildcards.len();
    Some(
        choices
            .map(|choice| {
                let spread = wildcards
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| choice >> at & 1 == 1)
                    .fold(fixed, |bits, (_, bit)| bits | 1_u128 << bit);
                (spread, spread | tail)
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str, mask: &str) -> Option<AddressSet> {
        addresses(address.parse().unwrap(), mask.parse().unwrap())
    }

    #[test]
    fn a_mask_with_a_hole_is_one_range_a_wildcard_value() {
        let set = of("1.0.3.0", "255.0.255.0").unwrap();
        for (address, member) in [
            ("1.0.3.0", true),
            ("1.255.3.255", true),
            ("1.7.4.0", false),
            ("2.0.3.0", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), member, "{address}");
        }
        assert_eq!(set.v4.ranges().len(), 256);
    }

    #[test]
    fn masks_of_no_bit_and_of_every_bit_are_all_and_one() {
        assert_eq!(of("0.0.0.0", "0.0.0.0").unwrap(), AddressSet::any_v4());
        assert_eq!(of("::", "::").unwrap(), AddressSet::any_v6());
        assert_eq!(
            of("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
                .unwrap()
                .to_string(),
            "::1"
        );
    }

    #[test]
    fn too_many_ranges_are_not_enumerated() {
        assert_eq!(of("0.0.0.1", "0.0.0.1"), None);
        assert_eq!(of("::1", "::1"), None);
    }
}
