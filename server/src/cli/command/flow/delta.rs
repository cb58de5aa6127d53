//! `naosu flow delta`.

use std::{collections::BTreeSet, path::Path};

use naosu_engine::Error;
use naosu_flow::{
    delta::{DeltaReport, FlowDelta},
    iptables::{Family, NodeFirewall, changed_rules, node_delta},
    nsg::nsg_delta_behind,
    policy::{Rule, Verdict},
    set::{AddressSet, AnalysisTooComplex, Direction, FlowBox, Space},
};

use super::{
    answer::DeltaAnswer,
    node,
    parameter::invalid,
    read, too_complex,
    ufw::{UfwFiles, UfwWords},
};
use crate::cli::args::{DeltaArgs, RulesetKind};

/// For which packets the verdict changes.
pub fn delta(args: &DeltaArgs) -> Result<DeltaAnswer, Error> {
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
    let takes_status = matches!(
        args.kind,
        RulesetKind::UfwAdded | RulesetKind::UfwUserRules | RulesetKind::UfwUser6Rules
    );
    if args.ufw_status.is_some() && !takes_status {
        return Err(invalid(
            "--ufw-status does not go with this --kind",
            "give it with --kind ufw-added, ufw-user-rules or ufw-user6-rules",
        ));
    }
    let family = match args.kind {
        RulesetKind::Nsg => {
            let report = of_groups(args)?;
            let notes = Vec::new();
            return Ok(DeltaAnswer { report, notes });
        }
        RulesetKind::Iptables => Family::Ipv4,
        RulesetKind::Ip6tables => Family::Ipv6,
        RulesetKind::UfwStatus
        | RulesetKind::UfwAdded
        | RulesetKind::UfwUserRules
        | RulesetKind::UfwUser6Rules => return of_ufw(args),
    };
    let knowledge = node::knowledge(&args.node, "--", node::Way::In)?;
    let firewall = |path| -> Result<NodeFirewall, Error> {
        let ruleset = read::ruleset(path, family)?;
        Ok(NodeFirewall::new([ruleset], knowledge.clone()))
    };
    let before = firewall(&args.before)?;
    let after = firewall(&args.after)?;
    let report = of_firewalls(family, &before, &after).map_err(|error| too_complex(&error))?;
    let loaded = before.rulesets.iter().chain(&after.rulesets);
    let notes = node::note_of_fragments(loaded.map(|loaded| &loaded.ruleset));
    Ok(DeltaAnswer {
        report,
        notes: notes.into_iter().collect(),
    })
}

fn of_ufw(args: &DeltaArgs) -> Result<DeltaAnswer, Error> {
    if args.node.socket_mark.is_some() {
        return Err(invalid(
            "--socket-mark does not go with what ufw says",
            "give it with rules of iptables, which may ask for marks",
        ));
    }
    let knowledge = node::knowledge(&args.node, "--", node::Way::In)?;
    let words = |path: &Path| {
        let mut files = UfwFiles {
            status: args.ufw_status.as_deref(),
            ..UfwFiles::default()
        };
        let file = match args.kind {
            RulesetKind::UfwAdded => &mut files.added,
            RulesetKind::UfwUserRules => &mut files.user_rules,
            RulesetKind::UfwUser6Rules => &mut files.user6_rules,
            RulesetKind::UfwStatus
            | RulesetKind::Nsg
            | RulesetKind::Iptables
            | RulesetKind::Ip6tables => &mut files.status,
        };
        *file = Some(path);
        files.words(&knowledge).map(UfwWords::unnumbered)
    };
    let mut before = words(&args.before)?;
    let mut after = words(&args.after)?;
    if before.passed_on != after.passed_on {
        // What is not judged is unknown for another reason on each side.
        for (words, when) in [(&mut before, "before"), (&mut after, "after")] {
            words.policy.rules.push(Rule {
                name: format!("packets that the node passes on, {when} the change"),
                matches: FlowBox::any().with_direction(Direction::Forwarded).into(),
                verdict: Verdict::Unknown,
            });
        }
    }
    let mut space = Space::new();
    let report = FlowDelta::of_policies(&mut space, &before.policy, &after.policy)
        .and_then(|delta| delta.report(&space))
        .map_err(|error| too_complex(&error))?;
    let mut notes = before.notes;
    notes.extend(after.notes);
    notes.push(
        "only what ufw says was judged: the kernel may have other rules, and files in /etc/ufw \
         may say otherwise; compare outputs of iptables-save for an exact answer"
            .to_owned(),
    );
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    Ok(DeltaAnswer { report, notes })
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
