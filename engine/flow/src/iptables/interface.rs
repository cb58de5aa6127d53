//! What is known of the interfaces that packets come in and leave by.

use crate::set::AddressSet;

/// What is known of the interface a packet comes in or leaves by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InterfaceKnowledge {
    /// Its name.
    Named(String),
    /// Only that it is not the loopback: true of every packet between nodes.
    #[default]
    NotLoopback,
    /// It depends on the address at the other end.
    ByPeer(PeerInterfaces),
    /// Nothing.
    Unknown,
}

/// Interfaces by the address at the other end: where a received packet comes
/// from, where a sent one goes. Of any other address it is only known that the
/// interface is not the loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerInterfaces {
    /// The node's own addresses, which the loopback leads to and nothing else.
    pub loopback: AddressSet,
    /// Addresses that one other interface leads to; disjoint.
    pub named: Vec<(String, AddressSet)>,
}

/// Addresses at the other end of the packets whose interface fits a pattern.
pub(crate) struct Fitting {
    /// Certainly.
    pub(crate) certain: AddressSet,
    /// Perhaps; disjoint from the certain ones.
    pub(crate) possible: AddressSet,
}

impl InterfaceKnowledge {
    /// What of it can matter to packets whose other end is one of `peers`.
    pub(super) fn about(&self, peers: &AddressSet) -> Self {
        let Self::ByPeer(known) = self else {
            return self.clone();
        };
        let named = known.named.iter();
        let named = named.map(|(name, set)| (name.clone(), set.intersection(peers)));
        Self::ByPeer(PeerInterfaces {
            loopback: known.loopback.intersection(peers),
            named: named.filter(|(_, set)| !set.is_empty()).collect(),
        })
    }

    /// For which addresses at the other end the interface fits a pattern of `-i`
    /// or `-o`.
    pub(crate) fn fitting(&self, pattern: &str) -> Fitting {
        let fits = |name: &str| match pattern.strip_suffix('+') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        let certainly = |certain| Fitting {
            certain,
            possible: AddressSet::empty(),
        };
        let perhaps = |possible| Fitting {
            certain: AddressSet::empty(),
            possible,
        };
        match self {
            _ if pattern == "+" => certainly(AddressSet::any()),
            Self::Named(name) if fits(name) => certainly(AddressSet::any()),
            Self::Named(_) => certainly(AddressSet::empty()),
            Self::NotLoopback if pattern == "lo" => certainly(AddressSet::empty()),
            Self::NotLoopback | Self::Unknown => perhaps(AddressSet::any()),
            Self::ByPeer(peers) => {
                let known = std::iter::once(("lo", &peers.loopback));
                let known = known.chain(peers.named.iter().map(|(name, set)| (name.as_str(), set)));
                let (mut certain, mut told) = (AddressSet::empty(), AddressSet::empty());
                for (name, set) in known {
                    told = told.union(set);
                    if fits(name) {
                        certain = certain.union(set);
                    }
                }
                let possible = if pattern == "lo" {
                    AddressSet::empty()
                } else {
                    told.complement()
                };
                Fitting { certain, possible }
            }
        }
    }
}
