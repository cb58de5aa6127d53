//! Which packets a question is about, read from text.

use std::collections::BTreeMap;

use naosu_engine::Error;
use naosu_flow::{
    field::parse_prefix,
    set::{AddressSet, ConnectionState, FlowBox, Packet, PortSet, Protocol, ProtocolSet},
};

use super::parameter::{invalid, protocol_without_ports};
use crate::cli::args::PacketArgs;

/// What a question is about.
pub enum Asked {
    /// One packet.
    Packet(Packet),
    /// All packets of these boxes.
    Set(Vec<FlowBox>),
}

impl Asked {
    /// What the options name.
    pub fn of(args: &PacketArgs) -> Result<Self, Error> {
        let parts = Parts::of(args)?;
        Ok(match parts.one_packet(args) {
            Some(packet) => Self::Packet(packet),
            None => Self::Set(parts.boxes(args)),
        })
    }

    /// What the options name, as boxes, a single port of the source only where one is
    /// given.
    pub fn of_new_connections(args: &PacketArgs) -> Result<Vec<FlowBox>, Error> {
        Ok(Parts::of(args)?.boxes(args))
    }
}

/// The parts of the packets, each a set.
struct Parts {
    sources: AddressSet,
    destinations: AddressSet,
    ports: BTreeMap<Protocol, PortSet>,
    source_ports: Option<PortSet>,
}

impl Parts {
    fn of(args: &PacketArgs) -> Result<Self, Error> {
        let sources = addresses("--from", &args.from)?;
        let destinations = addresses("--to", &args.to)?;
        of_one_family(&sources, &destinations, args)?;
        let ports = match &args.protocol {
            Some(name) => {
                let without = protocol_without_ports(name)?;
                BTreeMap::from([(without, PortSet::full())])
            }
            None => ports_by_protocol(&args.port)?,
        };
        let source_ports = match args.source_port.as_slice() {
            [] => None,
            given => Some(port_set("--source-port", given)?),
        };
        Ok(Self {
            sources,
            destinations,
            ports,
            source_ports,
        })
    }

    /// A box for each protocol.
    fn boxes(&self, args: &PacketArgs) -> Vec<FlowBox> {
        let source_ports = self.source_ports.clone().unwrap_or_else(PortSet::full);
        let boxes = self.ports.iter().map(|(protocol, ports)| {
            let flow = FlowBox::any()
                .with_direction(args.direction.into())
                .with_state(ConnectionState::New)
                .with_protocols(ProtocolSet::single(protocol.0))
                .with_sources(self.sources.clone())
                .with_destinations(self.destinations.clone());
            match protocol.has_ports() {
                true => flow
                    .with_source_ports(source_ports.clone())
                    .with_destination_ports(ports.clone()),
                false => flow,
            }
        });
        boxes.collect()
    }

    /// The packet, where every part has one value.
    fn one_packet(&self, args: &PacketArgs) -> Option<Packet> {
        let host = |set: &AddressSet| match set.to_prefixes().as_slice() {
            [one] if one.prefix_len() == one.max_prefix_len() => Some(one.addr()),
            _ => None,
        };
        let (Some((&protocol, ports)), 1) = (self.ports.first_key_value(), self.ports.len()) else {
            return None;
        };
        let (destination_port, source_port) = match protocol.has_ports() {
            false => (0, 0),
            true => {
                let source_ports = self.source_ports.as_ref();
                let source_port = source_ports.map_or(Some(CLIENT_PORT), one_port);
                (one_port(ports)?, source_port?)
            }
        };
        Some(Packet {
            direction: args.direction.into(),
            state: ConnectionState::New,
            protocol,
            source: host(&self.sources)?,
            destination: host(&self.destinations)?,
            source_port,
            destination_port,
        })
    }
}

/// A port that systems open connections from.
const CLIENT_PORT: u16 = 49_152;

fn one_port(ports: &PortSet) -> Option<u16> {
    match ports.ranges() {
        [(first, last)] if first == last => u16::try_from(*first).ok(),
        _ => None,
    }
}

/// Packets have both their addresses of one family, so that what one side names of a
/// family that the other does not would be asked about in vain.
fn of_one_family(
    sources: &AddressSet,
    destinations: &AddressSet,
    args: &PacketArgs,
) -> Result<(), Error> {
    let differs = sources.v4.is_empty() != destinations.v4.is_empty()
        || sources.v6.is_empty() != destinations.v6.is_empty();
    if !differs {
        return Ok(());
    }
    Err(invalid(
        format!(
            "--from {} and --to {} are of two address families",
            args.from.join(","),
            args.to.join(",")
        ),
        "give both as IPv4 or both as IPv6",
    ))
}

/// The addresses of an option that takes several.
pub fn addresses(option: &str, texts: &[String]) -> Result<AddressSet, Error> {
    let read: Result<Vec<AddressSet>, Error> = texts
        .iter()
        .map(|text| address_or_more(option, text.trim()))
        .collect();
    Ok(AddressSet::union_all(&read?))
}

fn address_or_more(option: &str, text: &str) -> Result<AddressSet, Error> {
    let unreadable = || {
        invalid(
            format!("{option} {text:?} is no IP address, prefix or range of addresses"),
            "write it like 10.224.0.5, 10.224.0.0/16 or 10.224.0.4-10.224.0.9",
        )
    };
    if let Some((first, last)) = text.split_once('-') {
        let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else {
            return Err(unreadable());
        };
        let range = AddressSet::range(first, last);
        return match range.is_empty() {
            true => Err(invalid(
                format!("{option} {text:?} ends before it begins"),
                "write the first address before the last, both of one family",
            )),
            false => Ok(range),
        };
    }
    if let Ok(address) = text.parse() {
        return Ok(AddressSet::host(address));
    }
    let prefix = parse_prefix(text).ok_or_else(unreadable)?;
    if prefix != prefix.trunc() {
        return Err(invalid(
            format!("{option} {prefix} has host bits set"),
            format!(
                "write {}, or {} for one address",
                prefix.trunc(),
                prefix.addr()
            ),
        ));
    }
    Ok(AddressSet::prefix(prefix))
}

fn ports_by_protocol(texts: &[String]) -> Result<BTreeMap<Protocol, PortSet>, Error> {
    let mut all: BTreeMap<Protocol, PortSet> = BTreeMap::new();
    for text in texts {
        let (ports, protocol) = ports_and_protocol(text.trim())?;
        let known = all.entry(protocol).or_insert_with(PortSet::empty);
        *known = known.union(&ports);
    }
    Ok(all)
}

fn ports_and_protocol(text: &str) -> Result<(PortSet, Protocol), Error> {
    let Some((ports, name)) = text.split_once('/') else {
        return Err(invalid(
            format!("--port {text:?} has no protocol"),
            "write it like 10250/tcp or 9000-9100/tcp",
        ));
    };
    let protocol = match name.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        _ => {
            return Err(invalid(
                format!("--port {text:?}: {name:?} is not tcp, udp or sctp"),
                "write it like 10250/tcp",
            ));
        }
    };
    Ok((port_or_range("--port", ports)?, protocol))
}

fn port_set(option: &str, texts: &[String]) -> Result<PortSet, Error> {
    let mut all = PortSet::empty();
    for text in texts {
        all = all.union(&port_or_range(option, text.trim())?);
    }
    Ok(all)
}

fn port_or_range(option: &str, text: &str) -> Result<PortSet, Error> {
    let Some((first, last)) = text.split_once('-') else {
        return Ok(PortSet::single(port(option, text)?));
    };
    let (first, last) = (port(option, first)?, port(option, last)?);
    if last < first {
        return Err(invalid(
            format!("{option} {text:?} ends before it begins"),
            "write the smaller port first",
        ));
    }
    Ok(PortSet::range(first, last))
}

fn port(option: &str, text: &str) -> Result<u16, Error> {
    text.parse().map_err(|_| {
        invalid(
            format!("{option}: {text:?} is not a port"),
            "give a number from 0 to 65535",
        )
    })
}
