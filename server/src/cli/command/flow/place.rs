//! `naosu flow place`.

use std::collections::BTreeSet;

use ipnet::IpNet;
use naosu_engine::Error;
use naosu_flow::{
    nsg::{self, Nsg, NsgError, NsgRule, Placement, PlacementError, PlacementRequest},
    set::{AddressSet, FlowBox, port_texts},
};

use super::{
    answer::{NoFreePriority, PlaceAnswer, Placed, PlacedRule},
    asked::{self, Asked},
    parameter::invalid,
    read, too_complex,
};
use crate::cli::args::{AccessArg, PlaceArgs};

/// Which priority a new rule must have.
pub fn place(args: &PlaceArgs) -> Result<PlaceAnswer, Error> {
    let boxes = Asked::of_new_connections(&args.packets)?;
    let rule = rule(args, &boxes)?;
    let group = read::nsg(&args.nsg)?;
    for name in &args.pinned {
        if group.rule(name).is_none() {
            return Err(invalid(
                format!("--pin {name:?} is no rule of {}", args.nsg.display()),
                "give the name of one of its rules",
            ));
        }
    }
    let tags = read::tags(&args.network)?;
    let request = PlacementRequest {
        rule,
        required: boxes,
        pinned: args.pinned.iter().cloned().collect::<BTreeSet<_>>(),
    };
    match nsg::place(&group, &request, &tags) {
        Ok(placement) => Ok(PlaceAnswer::Placed(Box::new(placed(&group, placement)))),
        Err(error) => without_priority(args, error),
    }
}

fn placed(group: &Nsg, placement: Placement) -> Placed {
    let direction = placement.rule.direction;
    let found = |name: &String| {
        let rule = group.evaluated(direction).find(|rule| rule.name == *name);
        PlacedRule {
            rule: name.clone(),
            priority: rule.map_or(0, |rule| rule.priority),
        }
    };
    Placed {
        before: found(&placement.blocking),
        after: placement.stricter.iter().map(found).collect(),
        rule: placement.rule,
        renumbered: placement.renumbered,
        is_fewest: placement.is_fewest,
        room_left: placement.room_left,
        delta: placement.delta,
    }
}

/// Why a rule gets no priority: an answer of its own, or a question that cannot be asked.
fn without_priority(args: &PlaceArgs, error: PlacementError) -> Result<PlaceAnswer, Error> {
    match error {
        PlacementError::AlreadyInForce => Ok(PlaceAnswer::AlreadyInForce),
        PlacementError::NoFreePriority {
            blocking,
            stricter,
            still_stopped,
            wrongly_decided,
            all_were_tried,
        } => Ok(PlaceAnswer::NoFreePriority(NoFreePriority {
            before: blocking,
            after: stricter,
            still_stopped,
            wrongly_decided,
            all_were_tried,
        })),
        PlacementError::TooManyRules { rules, maximum } => {
            Ok(PlaceAnswer::GroupIsFull { rules, maximum })
        }
        PlacementError::NothingRequired => Err(invalid(
            "no security group decides any of these packets: the platform's own are not filtered",
            "name packets between other addresses",
        )),
        PlacementError::NotCovered { .. } => Err(not_covered(args, &error)),
        PlacementError::Nsg(NsgError::DuplicateName { name }) if name == args.name => Err(invalid(
            format!(
                "--name {name:?}: {} has a rule of that name",
                args.nsg.display()
            ),
            "give the new rule another name",
        )),
        PlacementError::Nsg(NsgError::TooComplex(error)) => Err(too_complex(&error)),
        PlacementError::Nsg(error) => Err(read::of_nsg(&args.nsg, &error)),
    }
}

/// The rule has the packets' own addresses but where others are given for it.
fn not_covered(args: &PlaceArgs, error: &PlacementError) -> Error {
    let sides = [
        ("--rule-from", &args.rule_from),
        ("--rule-to", &args.rule_to),
    ];
    let given = sides.iter().filter(|(_, texts)| !texts.is_empty());
    let given: Vec<String> = given
        .map(|(option, texts)| format!("{option} {}", texts.join(",")))
        .collect();
    invalid(
        format!("{}: {error}", given.join(" and ")),
        "give addresses that have all of the packets', or the tag's prefixes with --service-tags \
         or --vnet-prefix",
    )
}

/// The rule for exactly the wanted packets.
fn rule(args: &PlaceArgs, boxes: &[FlowBox]) -> Result<NsgRule, Error> {
    let [flow] = boxes else {
        return Err(invalid(
            "one rule of a security group is for one protocol",
            "ask for each protocol on its own",
        ));
    };
    if !nsg::is_rule_name(&args.name) {
        return Err(invalid(
            format!("--name {:?} is no name of a rule", args.name),
            "give 1 to 80 letters, digits, '.', '_' or '-', beginning with a letter or digit and \
             not ending with '.' or '-'",
        ));
    }
    let protocols = flow.protocols.ranges();
    let protocol = match protocols {
        [(6, 6)] => "Tcp",
        [(17, 17)] => "Udp",
        [(1, 1)] => "Icmp",
        [(50, 50)] => "Esp",
        [(51, 51)] => "Ah",
        _ => {
            return Err(invalid(
                "rules of a security group know only tcp, udp, icmp, esp and ah",
                "ask for one of those",
            ));
        }
    };
    Ok(NsgRule {
        name: args.name.clone(),
        // The first there is; the answer's is calculated.
        priority: nsg::MIN_PRIORITY,
        direction: match args.packets.direction {
            crate::cli::args::DirectionArg::Inbound => nsg::Direction::Inbound,
            crate::cli::args::DirectionArg::Outbound => nsg::Direction::Outbound,
            crate::cli::args::DirectionArg::Forwarded => {
                return Err(invalid(
                    "--direction forwarded does not go with security groups",
                    "ask for inbound: to Azure, what a machine is to pass on comes in to it",
                ));
            }
        },
        access: match args.access {
            AccessArg::Allow => nsg::Access::Allow,
            AccessArg::Deny => nsg::Access::Deny,
        },
        protocol: protocol.to_owned(),
        source_prefixes: matched(("--from", &flow.sources), ("--rule-from", &args.rule_from))?,
        source_ports: port_texts(&flow.source_ports),
        source_groups: Vec::new(),
        destination_prefixes: matched(("--to", &flow.destinations), ("--rule-to", &args.rule_to))?,
        destination_ports: port_texts(&flow.destination_ports),
        destination_groups: Vec::new(),
        description: String::new(),
    })
}

/// One side of the rule: what is given for it, else the packets' own.
fn matched(
    (option, addresses): (&str, &AddressSet),
    (rule_option, given): (&str, &[String]),
) -> Result<Vec<String>, Error> {
    let is_tag = |text: &String| {
        let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        is_word && text.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    match given {
        [] => prefixes(option, addresses),
        // The portal says "Any" for what ARM writes as "*".
        [all] if all == "*" || all.eq_ignore_ascii_case("any") => Ok(vec!["*".to_owned()]),
        [tag] if is_tag(tag) => Ok(vec![tag.clone()]),
        texts => match texts.iter().find(|text| is_tag(text) || *text == "*") {
            Some(tag) => Err(invalid(
                format!("{rule_option} {tag:?} stands beside other values"),
                "a rule takes one service tag or \"*\" alone; give only that, or only addresses",
            )),
            None => prefixes(rule_option, &asked::addresses(rule_option, texts)?),
        },
    }
}

fn prefixes(option: &str, addresses: &AddressSet) -> Result<Vec<String>, Error> {
    if !addresses.v4.is_empty() && !addresses.v6.is_empty() {
        return Err(invalid(
            format!("{option} names addresses of both families, of which one rule takes one"),
            "ask for each family on its own",
        ));
    }
    let written = |prefix: &IpNet| match prefix.prefix_len() == prefix.max_prefix_len() {
        true => prefix.addr().to_string(),
        false => prefix.to_string(),
    };
    Ok(addresses.to_prefixes().iter().map(written).collect())
}
