//! The packets that a finding needs.

use ipnet::IpNet;
use naosu_flow::{
    field::parse_prefix,
    nsg::{Side, TagContext},
    policy::{RuleMatch, UnknownAddresses},
    set::{AddressSet, FlowBox, PacketSet, PortSet, Protocol, Space},
};

use super::too_complex;
use crate::{
    error::{Code, Error},
    model::Flow,
};

/// The union of the flows, either direction and any state. A service tag means
/// what it does in the rules: where it is unknown, it is the same unknown.
pub(super) fn packets(
    space: &mut Space,
    flows: &[Flow],
    tags: &TagContext,
) -> Result<PacketSet, Error> {
    let mut all = PacketSet::EMPTY;
    for flow in flows {
        let matches = match_of(flow, tags)?;
        let set = matches.packets(space).map_err(|e| too_complex(&e))?;
        all = space.union(all, set).map_err(|e| too_complex(&e))?;
    }
    Ok(all)
}

fn match_of(flow: &Flow, tags: &TagContext) -> Result<RuleMatch, Error> {
    let protocol = match flow.protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        _ => return Err(misbehaved("protocol", &flow.protocol)),
    };
    let (sources, unknown_sources) = addresses(&flow.source_prefixes, tags, Side::Source)?;
    let (destinations, unknown_destinations) =
        addresses(&flow.destination_prefixes, tags, Side::Destination)?;
    let flow = FlowBox::any()
        .with_protocol(protocol)
        .with_sources(sources)
        .with_destinations(destinations)
        .with_destination_ports(ports(&flow.destination_ports)?);
    Ok(RuleMatch {
        unknown_sources,
        unknown_destinations,
        ..RuleMatch::from(flow)
    })
}

/// Prefixes, single addresses, "*" or service tags.
fn addresses(
    texts: &[String],
    tags: &TagContext,
    side: Side,
) -> Result<(AddressSet, Vec<UnknownAddresses>), Error> {
    let (mut known, mut unknown) = (AddressSet::empty(), Vec::new());
    for text in texts {
        let host = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        if let Some(net) = parse_prefix(text).or_else(host) {
            known = known.union(&AddressSet::prefix(net));
        } else if text == "*" {
            known = AddressSet::any();
        } else if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (set, addresses) = tags.tag(text, side).parts();
            known = known.union(&set);
            unknown.extend(addresses);
        } else {
            return Err(misbehaved("prefix", text));
        }
    }
    Ok((known, unknown))
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
