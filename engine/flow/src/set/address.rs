//! Sets of IP addresses of both families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::ranges::{Ipv4Set, Ipv6Set};

/// A set of IPv4 and IPv6 addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressSet {
    /// The IPv4 members.
    pub v4: Ipv4Set,
    /// The IPv6 members.
    pub v6: Ipv6Set,
}

/// No address.
impl Default for AddressSet {
    fn default() -> Self {
        Self::empty()
    }
}

impl AddressSet {
    /// No address.
    pub fn empty() -> Self {
        Self {
            v4: Ipv4Set::empty(),
            v6: Ipv6Set::empty(),
        }
    }

    /// Every address of both families.
    pub fn any() -> Self {
        Self {
            v4: Ipv4Set::full(),
            v6: Ipv6Set::full(),
        }
    }

    /// Every IPv4 address.
    pub fn any_v4() -> Self {
        Self {
            v4: Ipv4Set::full(),
            v6: Ipv6Set::empty(),
        }
    }

    /// Every IPv6 address.
    pub fn any_v6() -> Self {
        Self {
            v4: Ipv4Set::empty(),
            v6: Ipv6Set::full(),
        }
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self::range(address, address)
    }

    /// The addresses of one prefix; host bits are ignored.
    pub fn prefix(prefix: IpNet) -> Self {
        Self::range(prefix.network(), prefix.broadcast())
    }

    /// The addresses of all the prefixes.
    pub fn prefixes<'a>(prefixes: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix {
                IpNet::V4(net) => v4.push((
                    u128::from(net.network().to_bits()),
                    u128::from(net.broadcast().to_bits()),
                )),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self {
            v4: Ipv4Set::from_ranges(v4),
            v6: Ipv6Set::from_ranges(v6),
        }
    }

    /// The addresses from `first` to `last`, both included; empty when the
    /// families differ or `first` comes after `last`.
    pub fn range(first: IpAddr, last: IpAddr) -> Self {
        let mut set = Self::empty();
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                set.v4 = Ipv4Set::range(first.to_bits(), last.to_bits());
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                set.v6 = Ipv6Set::range(first.to_bits(), last.to_bits());
            }
            _ => {}
        }
        set
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether every address of both families is a member.
    pub fn is_any(&self) -> bool {
        self.v4.is_full() && self.v6.is_full()
    }

    /// Whether `address` is a member.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// The addresses in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.union(&other.v4),
            v6: self.v6.union(&other.v6),
        }
    }

    /// The addresses in any of the sets.
    pub fn union_all<'a>(sets: impl IntoIterator<Item = &'a Self> + Clone) -> Self {
        let v4 = sets.clone().into_iter().flat_map(|set| set.v4.ranges());
        let v4 = Ipv4Set::from_ranges(v4.copied());
        let v6 = sets.into_iter().flat_map(|set| set.v6.ranges());
        Self {
            v4,
            v6: Ipv6Set::from_ranges(v6.copied()),
        }
    }

    /// The addresses in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.intersection(&other.v4),
            v6: self.v6.intersection(&other.v6),
        }
    }

    /// Whether the sets share an address.
    pub fn intersects(&self, other: &Self) -> bool {
        self.v4.intersects(&other.v4) || self.v6.intersects(&other.v6)
    }

    /// The addresses of both families that are not members.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self {
            v4: self.v4.complement(),
            v6: self.v6.complement(),
        }
    }

    /// Whether every member is a member of `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.v4.is_subset(&other.v4) && self.v6.is_subset(&other.v6)
    }

    /// The shortest list of prefixes with exactly these members, IPv4 first.
    pub fn to_prefixes(&self) -> Vec<IpNet> {
        let v4 = self.v4.ranges().iter().flat_map(|&(first, last)| {
            Ipv4Subnets::new(v4_address(first), v4_address(last), 0).map(IpNet::V4)
        });
        let v6 = self.v6.ranges().iter().flat_map(|&(first, last)| {
            Ipv6Subnets::new(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last), 0)
                .map(IpNet::V6)
        });
        v4.chain(v6).collect()
    }

    /// The members as text: each range as its one or two prefixes (a single
    /// address without its length), else as `first-last`; `any` for all,
    /// `any-ipv4` and `any-ipv6` for a whole family.
    pub fn to_texts(&self) -> Vec<String> {
        addresses_in_words(self.to_range_texts())
    }

    /// The members as text, a whole family as `0.0.0.0/0` or `::/0`.
    pub(crate) fn to_range_texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for &(first, last) in self.v4.ranges() {
            push_range(
                &mut texts,
                v4_address(first).into(),
                v4_address(last).into(),
            );
        }
        for &(first, last) in self.v6.ranges() {
            let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
            push_range(&mut texts, first.into(), last.into());
        }
        texts
    }
}

/// Addresses as people say them: a whole family, or both, by a word.
pub fn addresses_in_words(texts: Vec<String>) -> Vec<String> {
    match texts.as_slice() {
        [v4, v6] if v4 == EVERY_V4 && v6 == EVERY_V6 => vec!["any".to_owned()],
        _ => texts
            .into_iter()
            .map(|text| match text.as_str() {
                EVERY_V4 => "any-ipv4".to_owned(),
                EVERY_V6 => "any-ipv6".to_owned(),
                _ => text,
            })
            .collect(),
    }
}

const EVERY_V4: &str = "0.0.0.0/0";
const EVERY_V6: &str = "::/0";

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&self.to_texts().join(", "))
    }
}

/// The address of a number of the IPv4 domain, which never exceeds 32 bits.
fn v4_address(number: u128) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Pushes a range as the one or two prefixes people would write, else as
/// `first-last`: a long list of prefixes says less.
fn push_range(texts: &mut Vec<String>, first: IpAddr, last: IpAddr) {
    if first == last {
        texts.push(first.to_string());
        return;
    }
    let some = first_prefixes(first, last, PREFIXES_SHOWN + 1);
    if some.len() <= PREFIXES_SHOWN {
        texts.extend(some.iter().map(ToString::to_string));
    } else {
        texts.push(format!("{first}-{last}"));
    }
}

/// Most prefixes that a range is written as.
const PREFIXES_SHOWN: usize = 2;

/// The first of the prefixes that make up a range.
fn first_prefixes(first: IpAddr, last: IpAddr, count: usize) -> Vec<IpNet> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0)
            .map(IpNet::V4)
            .take(count)
            .collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0)
            .map(IpNet::V6)
            .take(count)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> AddressSet {
        let parsed: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        AddressSet::prefixes(&parsed)
    }

    #[test]
    fn adjacent_prefixes_merge_into_the_shortest_list() {
        let set = prefixes(&["10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24", "fd00::/64"]);
        let texts: Vec<String> = set.to_prefixes().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/23", "fd00::/64"]);
        assert_eq!(set.to_string(), "10.0.0.0/23, fd00::/64");
    }

    #[test]
    fn the_complement_of_a_prefix_is_written_as_ranges_and_parses_back() {
        let set = prefixes(&["10.0.0.0/8"]).complement();
        assert!(set.contains("11.0.0.0".parse().unwrap()));
        assert!(!set.contains("10.255.255.255".parse().unwrap()));
        assert_eq!(AddressSet::prefixes(&set.to_prefixes()), set);
    }

    #[test]
    fn a_range_across_families_is_empty() {
        let set = AddressSet::range("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        assert!(set.is_empty());
        assert_eq!(set.to_string(), "nothing");
    }
}
