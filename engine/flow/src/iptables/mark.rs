//! What is known of a packet's mark while it passes the tables.

use std::fmt;

use super::condition::MarkValue;

/// A packet mark of which only some bits may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    value: u32,
    known: u32,
}

impl Mark {
    /// The mark of a packet that nothing has marked.
    pub(super) const ZERO: Self = Self {
        value: 0,
        known: u32::MAX,
    };
    /// A mark of which nothing is known.
    pub(super) const UNKNOWN: Self = Self { value: 0, known: 0 };

    /// The mark after `(mark & !mask) ^ value`.
    pub(super) fn set(self, value: u32, mask: u32) -> Self {
        let known = self.known | mask;
        Self {
            value: ((self.value & !mask) ^ value) & known,
            known,
        }
    }

    /// Whether the mark is `wanted` under its mask, where that is known.
    pub(super) fn is(self, wanted: MarkValue) -> Option<bool> {
        let different = (self.value ^ wanted.value) & wanted.mask & self.known;
        if wanted.value & !wanted.mask != 0 || different != 0 {
            Some(false)
        } else if wanted.mask & !self.known == 0 {
            Some(true)
        } else {
            None
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { known: 0, .. } => f.write_str("a mark that is not known"),
            Self::ZERO => f.write_str("no mark"),
            Self { value, known } => write!(f, "mark {value:#x}/{known:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(value: u32, mask: u32) -> MarkValue {
        MarkValue { value, mask }
    }

    #[test]
    fn bits_that_were_set_are_known_and_others_stay_unknown() {
        let mark = Mark::UNKNOWN.set(0x4000, 0x4000);
        assert_eq!(mark.is(wanted(0x4000, 0x4000)), Some(true));
        assert_eq!(mark.is(wanted(0, 0x4000)), Some(false));
        assert_eq!(mark.is(wanted(0x4000, 0xc000)), None);
        assert_eq!(Mark::ZERO.is(wanted(0, u32::MAX)), Some(true));
        assert_eq!(Mark::ZERO.set(0x5, 0x4).is(wanted(5, u32::MAX)), Some(true));
    }

    #[test]
    fn a_value_outside_its_own_mask_never_matches() {
        assert_eq!(Mark::UNKNOWN.is(wanted(0x3, 0x1)), Some(false));
    }
}
