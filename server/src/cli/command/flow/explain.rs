//! `naosu flow explain`.

use std::path::{Path, PathBuf};

use naosu_engine::Error;
use naosu_flow::{
    delta::UnknownAtom,
    iptables::{Backend, Family, InterfaceKnowledge, Knowledge, LocalAddresses, NodeFirewall},
    nsg::{AdminPolicy, TagContext},
    path::follow_path,
    policy::Verdict,
    set::{AnalysisTooComplex, Direction, FlowBox, Membership, Packet, Space},
};

use super::{
    answer::{Explanation, HopExplanation, HopRule},
    hop::Hop,
    parameter::{self, invalid},
    read, too_complex,
};
use crate::cli::args::ExplainArgs;

/// What happens to the packet, and why.
pub fn explain(args: &ExplainArgs) -> Result<Explanation, Error> {
    let packet = parameter::packet(&args.packet)?;
    let tags = read::tags(&args.network)?;
    let admin = read::admin_rules(&args.admin_rules, &tags)?;
    let hops = hops(args, &packet, &tags, &admin)?;
    if hops.is_empty() {
        return Err(invalid(
            "no rules are given",
            "give --nsg, --subnet-nsg, --nic-nsg, --admin-rules, --iptables or --ip6tables",
        ));
    }
    answer(&packet, &hops).map_err(|error| too_complex(&error))
}

/// The rules that were given, in the order the packet meets them.
fn hops<'a>(
    args: &ExplainArgs,
    packet: &Packet,
    tags: &TagContext,
    admin: &'a AdminPolicy,
) -> Result<Vec<Hop<'a>>, Error> {
    let mut hops = Vec::new();
    if !admin.is_empty() {
        hops.push(Hop::Admin(admin));
    }
    for (name, path) in [
        ("security group", &args.nsg),
        ("subnet security group", &args.subnet_nsg),
        ("interface security group", &args.nic_nsg),
    ] {
        if let Some(path) = path {
            hops.push(group(name, path, tags, admin)?);
        }
    }
    if let Some(firewall) = node(args, packet)? {
        hops.push(Hop::Node(Box::new(firewall)));
    }
    if packet.direction == Direction::Outbound {
        hops.reverse();
    }
    Ok(hops)
}

fn group<'a>(
    name: &'static str,
    path: &Path,
    tags: &TagContext,
    admin: &'a AdminPolicy,
) -> Result<Hop<'a>, Error> {
    let group = read::nsg(path)?;
    let policy = group
        .policy(tags)
        .map_err(|error| read::of_nsg(path, &error))?;
    Ok(Hop::Group {
        name,
        group: Box::new(group),
        policy: admin.before(policy),
        admin,
    })
}

fn node(args: &ExplainArgs, packet: &Packet) -> Result<Option<NodeFirewall>, Error> {
    let mut rulesets = Vec::new();
    for (option, family, paths) in [
        ("--iptables", Family::Ipv4, &args.iptables),
        ("--ip6tables", Family::Ipv6, &args.ip6tables),
    ] {
        let mut seen: Vec<(Backend, &PathBuf)> = Vec::new();
        for path in paths {
            let ruleset = read::ruleset(path, family)?;
            let backend = ruleset.backend.unwrap_or(Backend::Nft);
            if let Some((_, other)) = seen.iter().find(|(known, _)| *known == backend) {
                return Err(invalid(
                    format!(
                        "{option}: {} and {} are rules of the same backend",
                        other.display(),
                        path.display()
                    ),
                    "give one file of iptables-nft-save and one of iptables-legacy-save",
                ));
            }
            seen.push((backend, path));
            rulesets.push(ruleset);
        }
    }
    if rulesets.is_empty() {
        return Ok(None);
    }
    Ok(Some(NodeFirewall::new(rulesets, knowledge(args, packet)?)))
}

fn knowledge(args: &ExplainArgs, packet: &Packet) -> Result<Knowledge, Error> {
    let addresses = parameter::prefixes("--node-address", &args.node_addresses)?;
    // What a node sends to itself takes the loopback.
    let stays = packet.source == packet.destination
        || packet.source.is_loopback()
        || packet.destination.is_loopback();
    let interface = match &args.interface {
        Some(name) => InterfaceKnowledge::Named(name.clone()),
        None if stays => InterfaceKnowledge::Unknown,
        None => InterfaceKnowledge::NotLoopback,
    };
    Ok(Knowledge {
        in_interface: interface.clone(),
        out_interface: interface,
        local_addresses: match addresses.as_slice() {
            [] => LocalAddresses::default(),
            all => LocalAddresses::all(all),
        },
        ..Knowledge::default()
    })
}

fn answer(packet: &Packet, hops: &[Hop<'_>]) -> Result<Explanation, AnalysisTooComplex> {
    let mut space = Space::new();
    let on_path: Vec<_> = hops
        .iter()
        .map(|hop| hop.on_path(packet.direction))
        .collect();
    let path = follow_path(&mut space, &on_path, &FlowBox::one(packet))?;
    let mut explained = Vec::with_capacity(hops.len());
    for (hop, answered) in hops.iter().zip(&path.hops) {
        let here = answered.decisions.answer(&mut space, packet)?;
        explained.push(HopExplanation {
            hop: hop.name().to_owned(),
            verdict: here.verdict,
            rules: hop.rules(&mut space, packet, &here.rules)?,
        });
    }
    let unknown = match space.contains(path.partition.passing, packet) {
        Membership::Yes | Membership::No => Vec::new(),
        Membership::Depends(atoms) => atoms
            .into_iter()
            .filter_map(|atom| space.atom_of(atom))
            .map(|atom| UnknownAtom {
                name: atom.name.clone(),
                reason: atom.reason.clone(),
            })
            .collect(),
    };
    let verdict = path.verdict();
    Ok(Explanation {
        packet: packet.to_string(),
        verdict,
        deciding_rules: deciding_rules(verdict, &explained),
        unknown,
        hops: explained,
    })
}

/// Where every hop lets the packet pass, the last decides; where one certainly
/// does not, that one; else all of which it is not known.
fn deciding_rules(verdict: Verdict, hops: &[HopExplanation]) -> Vec<HopRule> {
    let deciding = match verdict {
        Verdict::Allow => hops.last(),
        Verdict::Deny => hops.iter().find(|hop| hop.verdict == Verdict::Deny),
        Verdict::Unknown => None,
    };
    match deciding {
        Some(hop) => hop.rules.clone(),
        None => hops
            .iter()
            .filter(|hop| hop.verdict != Verdict::Allow)
            .flat_map(|hop| hop.rules.clone())
            .collect(),
    }
}
