//! Routes and an Azure Firewall between two machines.

use std::net::IpAddr;

use naosu_engine::Error;
use naosu_flow::{
    firewall::{RouteTable, reached_by_all},
    nsg::TagContext,
    set::{Direction, FlowBox},
};

use super::{
    hop::{Hop, Rules},
    parameter::{self, invalid},
    read,
    resource::Kind,
};
use crate::cli::args::{BetweenArgs, KnownNetwork};

/// Whether anything between two machines is given.
pub fn is_given(args: &BetweenArgs) -> bool {
    args.route_table.is_some() || has_firewall(args)
}

fn has_firewall(args: &BetweenArgs) -> bool {
    args.firewall.is_some() || !args.firewall_policies.is_empty()
}

/// Routes first, then the firewall that they lead to; but for packets that stay.
pub fn hops<'a>(
    args: &BetweenArgs,
    network: &KnownNetwork,
    tags: &TagContext,
    staying: &[FlowBox],
) -> Result<Vec<Hop<'a>>, Error> {
    let between = |name: &str, policy| Hop {
        staying: staying.to_vec(),
        notes: Vec::new(),
        name: name.to_owned(),
        direction: Direction::Outbound,
        rules: Rules::Ordered(Box::new(policy)),
    };
    let given = args.firewall_address.as_deref();
    let given = given.map(|text| parameter::address("--firewall-address", text));
    let mut address = given.transpose()?;
    let firewall = match &args.firewall {
        Some(path) => {
            let (firewall, own) = read::firewall(path)?;
            address = address.or(own);
            Some((path, firewall))
        }
        None => match args.firewall_policies.last() {
            Some(path) => {
                let policies =
                    read::firewall_policies(&args.firewall_policies, &args.rule_collections)?;
                Some((path, policies))
            }
            None => None,
        },
    };
    let policy = match firewall {
        Some((path, firewall)) => {
            let tags = read::ip_groups(&args.ip_groups, tags.clone())?;
            let kind = match args.firewall {
                Some(_) => Kind::FIREWALL,
                None => Kind::RULE_COLLECTION_GROUP,
            };
            let policy = firewall.policy(&tags);
            Some(policy.map_err(|error| read::of_firewall(path, &kind, &error))?)
        }
        None if args.ip_groups.is_empty() && address.is_none() => None,
        None => {
            return Err(invalid(
                "--firewall-address and --ip-group do not go without a firewall",
                "give --firewall, or --firewall-policy with --rule-collections",
            ));
        }
    };
    let mut hops = Vec::new();
    let table = match &args.route_table {
        Some(path) => Some(routes(path, network, tags)?),
        None => None,
    };
    if let Some(table) = &table {
        let firewall = policy.is_some().then(|| address_of(address)).transpose()?;
        hops.push(between("routes of the source", table.policy(firewall)));
    }
    match (policy, table) {
        (Some(policy), Some(table)) => {
            let behind = table.to_firewall(address_of(address)?, policy);
            hops.push(between("Azure Firewall", behind));
        }
        (Some(policy), None) => hops.push(between("Azure Firewall", reached_by_all(policy))),
        (None, _) => {}
    }
    Ok(hops)
}

fn routes(
    path: &std::path::Path,
    network: &KnownNetwork,
    tags: &TagContext,
) -> Result<RouteTable, Error> {
    let prefixes = parameter::networks("--vnet-prefix", &network.vnet_prefixes)?;
    let table = read::route_table(path, tags)?.with_system_routes(&prefixes);
    Ok(table.with_reserved_routes(&prefixes))
}

fn address_of(firewall: Option<IpAddr>) -> Result<IpAddr, Error> {
    firewall.ok_or_else(|| {
        invalid(
            "it is not known which routes lead to the firewall",
            "give its private address as --firewall-address",
        )
    })
}
