//! `naosu flow explain`.

use std::path::{Path, PathBuf};

use naosu_engine::Error;
use naosu_flow::{
    delta::UnknownAtom,
    iptables::{Backend, Family, NodeFirewall},
    nsg::{AdminPolicy, TagContext},
    path::follow_path,
    policy::Verdict,
    set::{AnalysisTooComplex, Direction, FlowBox, Membership, Packet, Space},
};

use super::{
    answer::{Explanation, HopExplanation, HopRule},
    hop::Hop,
    node,
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
    let mut explanation = answer(&packet, &hops).map_err(|error| too_complex(&error))?;
    explanation.notes = notes(args, &packet, &hops);
    Ok(explanation)
}

/// The rules that were given, in the order the packet meets them.
fn hops<'a>(
    args: &ExplainArgs,
    packet: &Packet,
    tags: &TagContext,
    admin: &'a AdminPolicy,
) -> Result<Vec<Hop<'a>>, Error> {
    // A network without such rules answers with an empty list, which was given too.
    let admin_rules = args.admin_rules.file.is_some().then_some(Hop::Admin(admin));
    let mut groups = Vec::new();
    for (name, path) in [
        ("security group", &args.nsg),
        ("subnet security group", &args.subnet_nsg),
        ("interface security group", &args.nic_nsg),
    ] {
        if let Some(path) = path {
            groups.push(group(name, path, tags, admin)?);
        }
    }
    let firewall = firewall(args, packet)?.map(|firewall| Hop::Node(Box::new(firewall)));
    // Azure asks its security admin rules before any group, in both directions.
    let azure = |groups: Vec<Hop<'a>>| admin_rules.into_iter().chain(groups);
    Ok(match packet.direction {
        Direction::Inbound | Direction::Forwarded => azure(groups).chain(firewall).collect(),
        Direction::Outbound => {
            groups.reverse();
            firewall.into_iter().chain(azure(groups)).collect()
        }
    })
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

fn firewall(args: &ExplainArgs, packet: &Packet) -> Result<Option<NodeFirewall>, Error> {
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
        return match args.nft_tables {
            None => Ok(None),
            Some(_) => Err(invalid(
                "--nft-tables does not go without rules of the node",
                "give what iptables-save or ip6tables-save shows there as well",
            )),
        };
    }
    if let Some(path) = &args.nft_tables {
        for table in read::foreign_tables(path)? {
            let concerned = rulesets.iter_mut().filter(|set| table.is_of(set.family));
            // One of a family's rulesets says it for all.
            let mut told = Vec::new();
            for ruleset in concerned {
                if !told.contains(&ruleset.family) {
                    told.push(ruleset.family);
                    ruleset.unreadable_tables.push(table.name.clone());
                }
            }
        }
    }
    let knowledge = node::knowledge(&args.node, Some(packet))?;
    Ok(Some(NodeFirewall::new(rulesets, knowledge)))
}

/// What the answer takes for granted.
fn notes(args: &ExplainArgs, packet: &Packet, hops: &[Hop<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    if !hops.iter().any(|hop| matches!(hop, Hop::Node(_))) {
        return notes;
    }
    if args.nft_tables.is_none() {
        notes.push(
            "of the node, only what iptables-save shows was judged: its other tables of nftables \
             may stop the packet, too; give --nft-tables"
                .to_owned(),
        );
    }
    let is_told = args.node.interface.is_some() || !args.node.addresses.is_empty();
    if !is_told && !node::stays(packet) {
        notes.push(
            "the packet is taken for one between two machines; give every --node-address, so that \
             one between two addresses of the node is known"
                .to_owned(),
        );
    }
    notes
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
        notes: Vec::new(),
    })
}

/// Where every hop lets the packet pass, the last that says so itself decides;
/// where one certainly does not, that one; else all of which it is not known.
fn deciding_rules(verdict: Verdict, hops: &[HopExplanation]) -> Vec<HopRule> {
    let decides = |hop: &&HopExplanation| hop.rules.iter().any(|rule| !rule.hands_on);
    let deciding = match verdict {
        Verdict::Allow => hops.iter().rfind(decides).or(hops.last()),
        Verdict::Deny => hops.iter().find(|hop| hop.verdict == Verdict::Deny),
        Verdict::Unknown => None,
    };
    match deciding {
        Some(hop) => hop.rules.clone(),
        None => rules_of_all(hops.iter().filter(|hop| hop.verdict != Verdict::Allow)),
    }
}

/// The rules of several hops, each once. A group shows the security admin rules that
/// come before it, and stands for what those leave to it.
fn rules_of_all<'a>(hops: impl Iterator<Item = &'a HopExplanation>) -> Vec<HopRule> {
    let mut all: Vec<HopRule> = Vec::new();
    for rule in hops.flat_map(|hop| &hop.rules) {
        if !all.contains(rule) {
            all.push(rule.clone());
        }
    }
    let handing_on = all.iter().find(|rule| rule.hands_on);
    let is_left_to_another =
        handing_on.is_some_and(|handing_on| all.iter().any(|rule| rule.hop != handing_on.hop));
    if is_left_to_another {
        all.retain(|rule| !rule.hands_on);
    }
    all
}
