//! Packets that never leave their machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use naosu_flow::set::{AddressSet, FlowBox};

use super::asked::Asked;

/// How many addresses that a question has on both sides are told apart, each as one
/// whose packets to itself stay.
const TOLD_APART: u128 = 16;

/// The packets of a question that never leave their machine, by their addresses.
pub struct Staying {
    asked: Vec<FlowBox>,
    /// Addresses whose packets to themselves are asked about.
    itself: Vec<IpAddr>,
    /// Whether there are more of those than can be told apart.
    pub has_more: bool,
}

impl Staying {
    /// Those of a question.
    pub fn of(asked: &Asked) -> Self {
        let asked = match asked {
            Asked::Packet(packet) => vec![FlowBox::one(packet)],
            Asked::Set(boxes) => boxes.clone(),
        };
        let on_both_sides: Vec<AddressSet> = asked
            .iter()
            .map(|flow| flow.sources.intersection(&flow.destinations))
            .collect();
        let on_both_sides = AddressSet::union_all(&on_both_sides);
        let prefixes = on_both_sides
            .intersection(&loopback().complement())
            .to_prefixes();
        let has_more = count(&prefixes) > TOLD_APART;
        Self {
            asked,
            itself: match has_more {
                true => Vec::new(),
                false => prefixes.iter().flat_map(hosts).collect(),
            },
            has_more,
        }
    }

    /// Those of which the addresses alone tell it: from an address to itself, and
    /// from or to the loopback's.
    pub fn by_address(&self) -> Vec<FlowBox> {
        let mut all = self.to_themselves();
        all.push(FlowBox::any().with_sources(loopback()));
        all.push(FlowBox::any().with_destinations(loopback()));
        self.concerned(all)
    }

    /// Those that the loopback certainly carries, on a machine with these addresses.
    pub fn on_loopback(&self, own: &AddressSet) -> Vec<FlowBox> {
        let mut all = self.to_themselves();
        all.push(between(&own.union(&loopback())));
        self.concerned(all)
    }

    /// Those between two of a machine's addresses.
    pub fn between(&self, own: &AddressSet) -> Vec<FlowBox> {
        self.concerned(vec![between(own)])
    }

    /// Those to an address of the machine that they come from.
    pub fn to(&self, own: &AddressSet) -> Vec<FlowBox> {
        self.concerned(vec![FlowBox::any().with_destinations(own.clone())])
    }

    /// Whether the addresses alone tell it of every packet.
    pub fn is_all(&self) -> bool {
        let loopback = loopback();
        self.asked.iter().all(|flow| {
            let is_one_to_itself = flow.sources == flow.destinations
                && matches!(self.itself.as_slice(), [one] if flow.sources == AddressSet::host(*one));
            is_one_to_itself
                || flow.sources.is_subset(&loopback)
                || flow.destinations.is_subset(&loopback)
        })
    }

    fn to_themselves(&self) -> Vec<FlowBox> {
        let hosts = self.itself.iter();
        hosts
            .map(|host| between(&AddressSet::host(*host)))
            .collect()
    }

    /// The boxes that have packets of the question.
    fn concerned(&self, mut boxes: Vec<FlowBox>) -> Vec<FlowBox> {
        boxes.retain(|flow| self.asked.iter().any(|asked| asked.may_intersect(flow)));
        boxes
    }
}

/// The addresses that lead to the loopback on every machine.
pub fn loopback() -> AddressSet {
    let v4 = AddressSet::range(
        Ipv4Addr::new(127, 0, 0, 0).into(),
        Ipv4Addr::new(127, 255, 255, 255).into(),
    );
    v4.union(&AddressSet::host(Ipv6Addr::LOCALHOST.into()))
}

fn between(addresses: &AddressSet) -> FlowBox {
    FlowBox::any()
        .with_sources(addresses.clone())
        .with_destinations(addresses.clone())
}

fn count(prefixes: &[IpNet]) -> u128 {
    let sizes = prefixes.iter().map(|prefix| {
        let bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
        1u128.checked_shl(bits).unwrap_or(u128::MAX)
    });
    sizes.fold(0, u128::saturating_add)
}

/// Every address of a small prefix, its first and last included.
fn hosts(prefix: &IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            (first..=last)
                .map(|bits| Ipv4Addr::from_bits(bits).into())
                .collect()
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            (first..=last)
                .map(|bits| Ipv6Addr::from_bits(bits).into())
                .collect()
        }
    }
}
