//! Sets of numbers of one dimension, kept as maximal disjoint ranges.

use smallvec::{SmallVec, smallvec};

// Most sets of a rule are one range or all.
type Ranges = SmallVec<[(u128, u128); 1]>;

/// A set of numbers from `0..=MAX`, kept as sorted, disjoint, maximal ranges.
///
/// Two sets are equal exactly when their ranges are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeSet<const MAX: u128> {
    ranges: Ranges,
}

/// A set of TCP, UDP, SCTP, DCCP or UDP-Lite ports.
pub type PortSet = RangeSet<65_535>;
/// A set of IP protocol numbers.
pub type ProtocolSet = RangeSet<255>;
/// A set of IPv4 addresses as numbers.
pub type Ipv4Set = RangeSet<{ u32::MAX as u128 }>;
/// A set of IPv6 addresses as numbers.
pub type Ipv6Set = RangeSet<{ u128::MAX }>;
/// A set of directions.
pub type DirectionSet = RangeSet<2>;
/// A set of two-valued things (connection state).
pub type PairSet = RangeSet<1>;

impl<const MAX: u128> RangeSet<MAX> {
    /// The set without members.
    pub fn empty() -> Self {
        Self {
            ranges: Ranges::new(),
        }
    }

    /// Every number from 0 to `MAX`.
    pub fn full() -> Self {
        Self {
            ranges: smallvec![(0, MAX)],
        }
    }

    /// The numbers from `first` to `last`, both included, cut to the domain;
    /// empty when `first > last`.
    pub fn range(first: impl Into<u128>, last: impl Into<u128>) -> Self {
        let (first, last) = (first.into(), last.into().min(MAX));
        if first > last {
            Self::empty()
        } else {
            Self {
                ranges: smallvec![(first, last)],
            }
        }
    }

    /// One number; empty when it lies outside the domain.
    pub fn single(value: impl Into<u128>) -> Self {
        let value = value.into();
        Self::range(value, value)
    }

    /// The union of any ranges, in any order, overlapping or not.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u128, u128)>) -> Self {
        let mut sorted: Ranges = ranges
            .into_iter()
            .filter(|(first, last)| first <= last && *first <= MAX)
            .map(|(first, last)| (first, last.min(MAX)))
            .collect();
        if sorted.len() <= 1 {
            return Self { ranges: sorted };
        }
        sorted.sort_unstable();
        let mut merged = Ranges::new();
        for (first, last) in sorted {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// The ranges, sorted, disjoint and maximal, both ends included.
    pub fn ranges(&self) -> &[(u128, u128)] {
        &self.ranges
    }

    /// Whether the set has no members.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether every number of the domain is a member.
    pub fn is_full(&self) -> bool {
        self.ranges.as_slice() == [(0, MAX)]
    }

    /// Whether `value` is a member.
    pub fn contains(&self, value: impl Into<u128>) -> bool {
        let value = value.into();
        let after = self.ranges.partition_point(|(_, last)| *last < value);
        self.ranges
            .get(after)
            .is_some_and(|(first, _)| *first <= value)
    }

    /// The numbers in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// The numbers in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_full() {
            return other.clone();
        }
        if other.is_full() {
            return self.clone();
        }
        let mut common = Ranges::new();
        let (mut left, mut right) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        while let (Some(&&a), Some(&&b)) = (left.peek(), right.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common.push((first, last));
            }
            if a.1 <= b.1 {
                left.next();
            } else {
                right.next();
            }
        }
        Self { ranges: common }
    }

    /// Whether the two sets share a member.
    pub fn intersects(&self, other: &Self) -> bool {
        let (mut left, mut right) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        while let (Some(&&a), Some(&&b)) = (left.peek(), right.peek()) {
            if a.0.max(b.0) <= a.1.min(b.1) {
                return true;
            }
            if a.1 <= b.1 {
                left.next();
            } else {
                right.next();
            }
        }
        false
    }

    /// The numbers of the domain that are not members.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut gaps = Ranges::new();
        let mut next = Some(0_u128);
        for &(first, last) in &self.ranges {
            if let Some(start) = next
                && start < first
            {
                gaps.push((start, first - 1));
            }
            next = if last >= MAX { None } else { Some(last + 1) };
        }
        if let Some(start) = next {
            gaps.push((start, MAX));
        }
        Self { ranges: gaps }
    }

    /// The numbers of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// Whether every member is a member of `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        let mut others = other.ranges.iter().peekable();
        self.ranges.iter().all(|(first, last)| {
            while others.next_if(|other| other.1 < *first).is_some() {}
            others
                .peek()
                .is_some_and(|other| other.0 <= *first && *last <= other.1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> impl Strategy<Value = RangeSet<15>> {
        proptest::collection::vec((0_u128..20, 0_u128..20), 0..5).prop_map(RangeSet::from_ranges)
    }

    fn members(set: &RangeSet<15>) -> u16 {
        (0..16_u8)
            .filter(|n| set.contains(*n))
            .fold(0, |bits, n| bits | (1 << n))
    }

    proptest! {
        #[test]
        fn operations_agree_with_a_bit_for_every_number(a in small(), b in small()) {
            let (x, y) = (members(&a), members(&b));
            prop_assert_eq!(members(&a.union(&b)), x | y);
            prop_assert_eq!(members(&a.intersection(&b)), x & y);
            prop_assert_eq!(members(&a.complement()), !x);
            prop_assert_eq!(members(&a.difference(&b)), x & !y);
            prop_assert_eq!(a.is_subset(&b), x & !y == 0);
            prop_assert_eq!(a.intersects(&b), x & y != 0);
            prop_assert_eq!(a == b, x == y);
            prop_assert_eq!(a.is_full(), x == u16::MAX);
        }
    }
}
