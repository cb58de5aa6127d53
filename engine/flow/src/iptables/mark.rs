//! What is known of a packet's mark while it passes the tables.

use std::fmt;

use super::condition::MarkValue;

/// A packet mark of which only some bits may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    /// The known bits; of the socket's bits, which of them were flipped.
    value: u32,
    known: u32,
    /// Bits that the sending socket set, or did not.
    of_socket: u32,
}

/// Whether a mark is the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsMark {
    Yes,
    No,
    /// It is where the socket's own mark is this one.
    IfSocketSet(MarkValue),
    Unknown,
}

impl Mark {
    /// The mark of a packet that nothing has marked.
    pub(super) const ZERO: Self = Self {
        value: 0,
        known: u32::MAX,
        of_socket: 0,
    };
    /// A mark of which nothing is known.
    pub(super) const UNKNOWN: Self = Self {
        value: 0,
        known: 0,
        of_socket: 0,
    };
    /// The mark that the sending socket gave, which is not known but one.
    pub(super) const OF_SOCKET: Self = Self {
        value: 0,
        known: 0,
        of_socket: u32::MAX,
    };

    /// The mark after `(mark & !mask) ^ value`.
    pub(super) fn set(self, value: u32, mask: u32) -> Self {
        let known = self.known | mask;
        let of_socket = self.of_socket & !mask;
        Self {
            value: ((self.value & !mask) ^ value) & (known | of_socket),
            known,
            of_socket,
        }
    }

    /// Whether the mark is `wanted` under its mask.
    pub(super) fn is(self, wanted: MarkValue) -> IsMark {
        let different = (self.value ^ wanted.value) & wanted.mask;
        let open = wanted.mask & !self.known;
        if wanted.value & !wanted.mask != 0 || different & self.known != 0 {
            IsMark::No
        } else if open == 0 {
            IsMark::Yes
        } else if open & !self.of_socket == 0 {
            IsMark::IfSocketSet(MarkValue {
                value: different & open,
                mask: open,
            })
        } else {
            IsMark::Unknown
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNKNOWN => f.write_str("a mark that is not known"),
            Self::OF_SOCKET => f.write_str("the mark of its socket"),
            Self::ZERO => f.write_str("no mark"),
            Self {
                value,
                known,
                of_socket: 0,
            } => write!(f, "mark {value:#x}/{known:#x}"),
            Self {
                value,
                known,
                of_socket,
            } => write!(
                f,
                "mark {value:#x}/{known:#x}, else that of its socket in {of_socket:#x}"
            ),
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
        assert_eq!(mark.is(wanted(0x4000, 0x4000)), IsMark::Yes);
        assert_eq!(mark.is(wanted(0, 0x4000)), IsMark::No);
        assert_eq!(mark.is(wanted(0x4000, 0xc000)), IsMark::Unknown);
        assert_eq!(Mark::ZERO.is(wanted(0, u32::MAX)), IsMark::Yes);
        assert_eq!(
            Mark::ZERO.set(0x5, 0x4).is(wanted(5, u32::MAX)),
            IsMark::Yes
        );
    }

    #[test]
    fn a_value_outside_its_own_mask_never_matches() {
        assert_eq!(Mark::UNKNOWN.is(wanted(0x3, 0x1)), IsMark::No);
    }
    #[test]
    fn bits_of_the_socket_are_asked_for_as_it_set_them() {
        let is = |mark: Mark, value, mask| mark.is(wanted(value, mask));
        let socket = Mark::OF_SOCKET;
        let if_set = |value, mask| IsMark::IfSocketSet(wanted(value, mask));
        assert_eq!(is(socket, 0x1, u32::MAX), if_set(0x1, u32::MAX));
        let with_bit = socket.set(0x4000, 0x4000);
        assert_eq!(is(with_bit, 0x4000, 0x4000), IsMark::Yes);
        assert_eq!(is(with_bit, 0x4001, 0x4001), if_set(0x1, 0x1));
        // A bit that a rule flips was the other way round at the socket.
        assert_eq!(is(socket.set(0x1, 0), 0x1, 0x1), if_set(0, 0x1));
    }
}
