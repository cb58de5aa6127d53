//! The addresses and ports that rules of `nat` give packets.

use hashbrown::HashMap;

use super::condition::Extension;
use super::decision::DecidedBy;
use super::hook::{Hook, Stage};
use super::knowledge::Knowledge;
use super::ruleset::{Family, TableName};
use super::target::Target;
use super::value;
use super::walk::IndexedTable;
use crate::set::{AddressSet, FlowBox, PortSet, Translation};

/// Where a rule sends packets.
#[derive(Debug, Clone)]
pub(super) struct Image {
    destinations: AddressSet,
    /// None where a packet keeps its port.
    ports: Option<PortSet>,
}

/// What a rule that matches a packet at a stage makes of it.
pub(super) fn translation(
    target: &Extension,
    (family, stage): (Family, Stage),
    knowledge: &Knowledge,
) -> Translation {
    if stage.rewrites_destination() {
        let image = Image::given_by(target, family);
        return Translation {
            destinations: Some(image.destinations),
            destination_ports: image.ports,
            ..Translation::default()
        };
    }
    let image = Image::of_source(target, family, knowledge);
    Translation {
        sources: Some(image.destinations),
        // A port that another connection has already is changed.
        source_ports: Some(image.ports.unwrap_or_else(PortSet::full)),
        ..Translation::default()
    }
}

/// What a target that is not modelled may make of a packet's addresses.
pub(super) fn unmodelled_translation(target: &Extension) -> Option<Translation> {
    let any = Some(AddressSet::any());
    match target.name.as_str() {
        "SNPT" => Some(Translation {
            sources: any,
            ..Translation::default()
        }),
        "DNPT" => Some(Translation {
            destinations: any,
            ..Translation::default()
        }),
        _ => None,
    }
}

/// The rules that may change a packet's destination at a stage, by what decides.
pub(super) fn images(
    tables: &[IndexedTable<'_>],
    (hook, stage): (Hook, Stage),
    knowledge: &Knowledge,
) -> HashMap<DecidedBy, Image> {
    let mut images = HashMap::new();
    for table in tables
        .iter()
        .filter(|table| table.table.name == TableName::Nat)
    {
        let reachable = table.reached([stage.chain]);
        for chain in reachable.into_iter().filter_map(|name| table.chain(name)) {
            for (index, rule) in chain.rules.iter().enumerate() {
                let Target::Translate(extension) = &rule.target else {
                    continue;
                };
                let mut image = Image::given_by(extension, table.family);
                if hook == Hook::Input {
                    // Only what the node itself receives comes to INPUT.
                    let own = knowledge.local_addresses.local(table.family);
                    let own = own.certain.union(&own.possible);
                    image.destinations = image.destinations.intersection(&own);
                }
                if !image.destinations.is_empty() {
                    let place = table.rule_place(chain, index, rule);
                    images.insert(DecidedBy::Rule(place), image);
                }
            }
        }
    }
    images
}

impl Image {
    fn given_by(target: &Extension, family: Family) -> Self {
        let any = Self {
            destinations: AddressSet::any(),
            ports: Some(PortSet::full()),
        };
        match target.name.as_str() {
            "DNAT" => Self::of_options(target, "--to-destination", family).unwrap_or(any),
            "REDIRECT" => Self {
                ports: target
                    .value("--to-ports")
                    .map(|text| ports(text).unwrap_or_else(PortSet::full)),
                ..any
            },
            _ => any,
        }
    }

    /// Where a rule says that packets come from, told as a destination.
    fn of_source(target: &Extension, family: Family, knowledge: &Knowledge) -> Self {
        let any = Self {
            destinations: AddressSet::any(),
            ports: None,
        };
        match target.name.as_str() {
            "SNAT" => Self::of_options(target, "--to-source", family).unwrap_or(any),
            // The first address of the interface that the packet leaves by.
            "MASQUERADE" => Self {
                destinations: knowledge.local_addresses.masquerading(family),
                ports: target.value("--to-ports").and_then(ports),
            },
            _ => any,
        }
    }

    fn of_options(target: &Extension, name: &str, family: Family) -> Option<Self> {
        let options = target.options.iter().filter(|option| option.name == name);
        let images = options.map(|option| {
            let text = option.values.first().map(String::as_str);
            text.and_then(|text| Self::of_destination(text, family))
        });
        images.reduce(|a, b| Some(a?.joined(b?))).flatten()
    }

    /// `address[-address][:port[-port]]`, an address of IPv6 with a port in brackets.
    fn of_destination(text: &str, family: Family) -> Option<Self> {
        let (addresses, after) = match (family, text.strip_prefix('[')) {
            (_, Some(bracketed)) => {
                let (addresses, rest) = bracketed.split_once(']')?;
                (addresses, rest.strip_prefix(':'))
            }
            (Family::Ipv4, None) => match text.split_once(':') {
                Some((addresses, after)) => (addresses, Some(after)),
                None => (text, None),
            },
            (Family::Ipv6, None) => (text, None),
        };
        let destinations = if addresses.is_empty() {
            AddressSet::any()
        } else {
            let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
            let (first, last) = (
                value::address(family, first).ok()?,
                value::address(family, last).ok()?,
            );
            if first > last {
                return None;
            }
            AddressSet::range(first, last)
        };
        Some(Self {
            destinations,
            ports: match after {
                Some(text) => Some(ports(text)?),
                None => None,
            },
        })
    }

    fn joined(self, other: Self) -> Self {
        Self {
            destinations: self.destinations.union(&other.destinations),
            ports: match (self.ports, other.ports) {
                (Some(a), Some(b)) => Some(a.union(&b)),
                (None, None) => None,
                _ => Some(PortSet::full()),
            },
        }
    }

    /// The packets that may be sent on.
    pub(super) fn flow(&self) -> FlowBox {
        let flow = FlowBox::any().with_destinations(self.destinations.clone());
        match &self.ports {
            Some(ports) => flow.with_destination_ports(ports.clone()),
            None => flow,
        }
    }

    /// A box around what packets inside one become.
    pub(super) fn of(&self, packets: &FlowBox) -> FlowBox {
        FlowBox {
            destinations: self.destinations.clone(),
            destination_ports: match &self.ports {
                Some(ports) => ports.clone(),
                None => packets.destination_ports.clone(),
            },
            ..packets.clone()
        }
    }

    /// A box around the packets that may become those of `seen`.
    pub(super) fn before(&self, seen: &FlowBox) -> FlowBox {
        FlowBox {
            destinations: AddressSet::any(),
            destination_ports: match self.ports {
                Some(_) => PortSet::full(),
                None => seen.destination_ports.clone(),
            },
            ..seen.clone()
        }
    }
}

fn ports(text: &str) -> Option<PortSet> {
    // A base of a shifted range may follow: the range itself says where.
    let text = text.split('/').next()?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first <= last).then(|| PortSet::range(first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Option<String> {
        let family = match text.contains('[') || text.contains("::") {
            true => Family::Ipv6,
            false => Family::Ipv4,
        };
        Image::of_destination(text, family).map(|image| {
            let ports = image.ports.map(|ports| crate::set::port_texts(&ports));
            format!("{} {ports:?}", image.destinations)
        })
    }

    #[test]
    fn destinations_are_read_with_and_without_ports_and_ranges() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(image("10.0.0.1:80"), some("10.0.0.1 Some([\"80\"])"));
        assert_eq!(image("10.0.0.1"), some("10.0.0.1 None"));
        assert_eq!(
            image("10.0.0.0-10.0.0.3:80-81"),
            some("10.0.0.0/30 Some([\"80-81\"])")
        );
        assert_eq!(image("[fd00::1]:443"), some("fd00::1 Some([\"443\"])"));
        assert_eq!(image("fd00::1"), some("fd00::1 None"));
        for wrong in ["10.0.0.9-10.0.0.1", "10.0.0.1:http", "x:1", "[fd00::1:1"] {
            assert_eq!(image(wrong), None, "{wrong}");
        }
    }
}
