//! Groups packed as estates pack them, and how many of their renumberings are proved
//! to be the fewest.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::meaning::rule;
use crate::nsg::{Access, Nsg, PlacementError, PlacementRequest, TagContext, place};
use crate::set::{AddressSet, FlowBox, PortSet};

/// Numbers that look random and are the same in every run.
pub(in crate::nsg) struct Random(pub(in crate::nsg) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(in crate::nsg) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

const PORTS: [&str; 12] = [
    "22",
    "443",
    "80",
    "3389",
    "10250",
    "10000-10300",
    "*",
    "30000-32767",
    "53",
    "1433",
    "8000-9000",
    "9000-11000",
];

fn address(random: &mut Random, wide: u64) -> String {
    if random.below(100) < wide {
        let wide = [
            "*",
            "10.0.0.0/8",
            "10.224.0.0/16",
            "10.9.0.0/16",
            "VirtualNetwork",
            "172.16.0.0/12",
            "10.224.0.0/18",
            "10.128.0.0/9",
        ];
        return random.of(&wide).to_owned();
    }
    let second = [224, 224, 9, 10, 20][random.below(5) as usize];
    let (third, fourth) = (random.below(200), random.below(250));
    match random.below(3) {
        0 => format!("10.{second}.{third}.{fourth}/32"),
        1 => format!("10.{second}.{}.0/22", third / 4 * 4),
        _ => format!("10.{second}.{third}.0/24"),
    }
}

/// A group of so many rules, in runs of consecutive numbers, `wide` of a hundred
/// prefixes overlapping many others.
pub(in crate::nsg) fn estate(random: &mut Random, count: u64, wide: u64) -> Nsg {
    let run = [8, 30, 120, 1_000][random.below(4) as usize];
    let mut number = 100 + u16::from(random.one_in(3)) * random.below(10) as u16;
    let mut rules = Vec::new();
    for index in 0..count {
        let access = if random.below(10) < 4 {
            Access::Deny
        } else {
            Access::Allow
        };
        let source = address(random, wide);
        let ports = random.of(&PORTS).to_owned();
        let mut made = rule(&format!("rule-{index}"), number, access, &source, &ports);
        made.destination_prefixes = vec![address(random, wide)];
        if random.one_in(5) {
            made.protocol = "*".to_owned();
        }
        if index + 1 == count {
            made = rule("deny-all", number, Access::Deny, "*", "*");
            made.protocol = "*".to_owned();
            if random.one_in(2) {
                made.priority = 4096;
            }
        }
        rules.push(made);
        number += 1;
        if random.one_in(run) && u64::from(number) + (count - index) < 4_000 {
            number += 1 + random.below(5) as u16;
        }
    }
    Nsg::new("packed", rules).unwrap()
}

pub(in crate::nsg) fn question(random: &mut Random, group: &Nsg) -> PlacementRequest {
    let nodes = || AddressSet::prefix("10.224.0.0/16".parse().unwrap());
    let source = random.of(&["10.0.0.0/8", "10.224.0.0/16", "VirtualNetwork", "*"]);
    let access = if random.one_in(5) {
        Access::Deny
    } else {
        Access::Allow
    };
    let ports = random.of(&["10250", "10250", "10200-10300"]);
    let mut new = rule("naosu", 0, access, source, ports);
    new.destination_prefixes = vec!["10.224.0.0/16".to_owned()];
    let mut pinned = BTreeSet::new();
    if random.one_in(3) {
        for rule in &group.rules {
            if random.one_in(10) {
                pinned.insert(rule.name.clone());
            }
        }
    }
    let from = match random.below(3) {
        0 => nodes(),
        1 => AddressSet::prefix("10.224.0.0/24".parse().unwrap()),
        _ => AddressSet::host("10.224.1.4".parse().unwrap()),
    };
    PlacementRequest {
        rule: new,
        required: vec![FlowBox::new_tcp(from, nodes(), PortSet::single(10_250_u16))],
        pinned,
    }
}

pub(in crate::nsg) fn tags() -> TagContext {
    let prefix: IpNet = "10.224.0.0/12".parse().unwrap();
    TagContext::new().with_virtual_network([&prefix])
}

/// So many rules in a row from a number on, none of which may pass the next, and a
/// question that belongs right before the one of a place.
pub(in crate::nsg) fn row(first: u16, count: u16, place: u16) -> (Nsg, PlacementRequest) {
    let rules = (0..count).map(|at| {
        let access = if (at + place).is_multiple_of(2) {
            Access::Deny
        } else {
            Access::Allow
        };
        let ports = format!("{}-10260", 10_250 - at);
        rule(&format!("r{at}"), first + at, access, "*", &ports)
    });
    let group = Nsg::new("row", rules.collect()).unwrap();
    let port = 10_250 - place;
    let new = rule("new", 0, Access::Allow, "*", &format!("{port}-10260"));
    let nodes = || AddressSet::prefix("10.224.0.0/16".parse().unwrap());
    let request = PlacementRequest {
        rule: new,
        required: vec![FlowBox::new_tcp(nodes(), nodes(), PortSet::single(port))],
        pinned: BTreeSet::new(),
    };
    (group, request)
}

/// What became of placements that had no free number.
#[derive(Debug, Default)]
struct Tally {
    fewest: u32,
    perhaps_fewer: u32,
    never: u32,
    not_all_tried: u32,
    other: u32,
}

impl Tally {
    fn of(count: u64, wide: u64, cases: u32) -> Self {
        let mut random = Random(count * 1_000 + wide);
        let mut tally = Self::default();
        while tally.fewest + tally.perhaps_fewer + tally.never + tally.not_all_tried < cases {
            let group = estate(&mut random, count, wide);
            let request = question(&mut random, &group);
            match place(&group, &request, &tags()) {
                Ok(placement) if placement.renumbered.is_empty() => continue,
                Ok(placement) if placement.is_fewest => tally.fewest += 1,
                Ok(_) => tally.perhaps_fewer += 1,
                Err(PlacementError::NoFreePriority { all_were_tried, .. }) if all_were_tried => {
                    tally.never += 1;
                }
                Err(PlacementError::NoFreePriority { .. }) => tally.not_all_tried += 1,
                Err(PlacementError::Nsg(_)) => tally.other += 1,
                Err(_) => continue,
            }
        }
        tally
    }

    fn is_proved(&self) -> bool {
        self.perhaps_fewer + self.not_all_tried + self.other == 0
    }
}

#[test]
fn in_packed_groups_the_fewest_moves_are_proved() {
    for (count, cases) in [(10, 40), (30, 40), (100, 20), (300, 8), (900, 3)] {
        for wide in [5, 20, 50, 95] {
            let tally = Tally::of(count, wide, cases);
            assert!(tally.is_proved(), "{count} rules, {wide}% wide: {tally:?}");
        }
    }
}
