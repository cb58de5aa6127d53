//! `naosu flow delta`.

use naosu_engine::Error;
use naosu_flow::{
    delta::DeltaReport,
    iptables::{Family, NodeFirewall, changed_rules, node_delta},
    nsg::nsg_delta_behind,
    set::{AddressSet, AnalysisTooComplex, FlowBox, Space},
};

use super::{node, parameter::invalid, read, too_complex};
use crate::cli::args::{DeltaArgs, RulesetKind};

/// For which packets the verdict changes.
pub fn delta(args: &DeltaArgs) -> Result<DeltaReport, Error> {
    if args.admin_rules.file.is_some() && !matches!(args.kind, RulesetKind::Nsg) {
        return Err(invalid(
            "--admin-rules does not go with rules of a node",
            "give it with --kind nsg: they come before security groups",
        ));
    }
    if node::is_told(&args.node) && matches!(args.kind, RulesetKind::Nsg) {
        return Err(invalid(
            "what is known of a node does not go with security groups",
            "give --node-address, --interface and --socket-mark with rules of iptables",
        ));
    }
    let family = match args.kind {
        RulesetKind::Nsg => return of_groups(args),
        RulesetKind::Iptables => Family::Ipv4,
        RulesetKind::Ip6tables => Family::Ipv6,
    };
    let knowledge = node::knowledge(&args.node, "--", node::Way::In)?;
    let firewall = |path| -> Result<NodeFirewall, Error> {
        let ruleset = read::ruleset(path, family)?;
        Ok(NodeFirewall::new([ruleset], knowledge.clone()))
    };
    let before = firewall(&args.before)?;
    let after = firewall(&args.after)?;
    of_firewalls(family, &before, &after).map_err(|error| too_complex(&error))
}

fn of_groups(args: &DeltaArgs) -> Result<DeltaReport, Error> {
    let before = read::nsg(&args.before)?;
    let after = read::nsg(&args.after)?;
    let tags = read::tags(&args.network)?;
    let admin = read::admin_rules(args.admin_rules.file.as_ref(), &tags)?;
    let mut space = Space::new();
    let delta = nsg_delta_behind(&mut space, &before, &after, &tags, &admin)
        .map_err(|error| read::of_nsg(&args.after, &error))?;
    delta.report(&space).map_err(|error| too_complex(&error))
}

fn of_firewalls(
    family: Family,
    before: &NodeFirewall,
    after: &NodeFirewall,
) -> Result<DeltaReport, AnalysisTooComplex> {
    let mut space = Space::new();
    // The files say nothing of the other family.
    let addresses = match family {
        Family::Ipv4 => AddressSet::any_v4(),
        Family::Ipv6 => AddressSet::any_v6(),
    };
    let within = space.flow(&FlowBox::any().with_sources(addresses))?;
    let delta = node_delta(&mut space, before, after, within)?;
    let report = delta.report(&space);
    report.map_err(|error| error.naming(changed_rules(before, after)))
}
