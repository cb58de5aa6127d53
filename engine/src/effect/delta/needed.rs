//! The packets that a finding needs.

use ipnet::IpNet;
use naosu_flow::set::{AddressSet, FlowBox, PacketSet, PortSet, Protocol, Space};

use super::too_complex;
use crate::{
    error::{Code, Error},
    model::Flow,
};

/// The union of the flows, either direction and any state.
pub(super) fn packets(space: &mut Space, flows: &[Flow]) -> Result<PacketSet, Error> {
    let mut all = PacketSet::EMPTY;
    for flow in flows {
        let set = space.flow(&box_of(flow)?).map_err(|e| too_complex(&e))?;
        all = space.union(all, set).map_err(|e| too_complex(&e))?;
    }
    Ok(all)
}

fn box_of(flow: &Flow) -> Result<FlowBox, Error> {
    let protocol = match flow.protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        _ => return Err(misbehaved("protocol", &flow.protocol)),
    };
    Ok(FlowBox::any()
        .with_protocol(protocol)
        .with_sources(addresses(&flow.source_prefixes)?)
        .with_destinations(addresses(&flow.destination_prefixes)?)
        .with_destination_ports(ports(&flow.destination_ports)?))
}

/// Prefixes or single addresses.
pub(super) fn addresses(texts: &[String]) -> Result<AddressSet, Error> {
    let parse = |text: &String| {
        let host = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        let net: Option<IpNet> = text.parse().ok().or_else(host);
        net.ok_or_else(|| misbehaved("prefix", text))
    };
    let nets = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(AddressSet::prefixes(&nets))
}

fn ports(texts: &[String]) -> Result<PortSet, Error> {
    let mut ranges = Vec::new();
    for text in texts {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last => {
                ranges.push((u128::from(first), u128::from(last)));
            }
            _ => return Err(misbehaved("port", text)),
        }
    }
    Ok(PortSet::from_ranges(ranges))
}

fn misbehaved(what: &str, value: &str) -> Error {
    Error::new(
        Code::PluginMisbehaved,
        format!("a required flow has {what} {value:?}"),
        "report it to the plugin's author",
    )
}
