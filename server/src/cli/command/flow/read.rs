//! The files of a question.

use std::{
    fmt::Display,
    fs::File,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
};

use naosu_engine::{Code, Error};
use naosu_flow::{
    field::parse_json,
    firewall::{Firewall, FirewallError, RouteTable, ip_group_addresses},
    iptables::{Backend, Family, Ruleset, TableName},
    nsg::{AdminPolicy, AdminRule, Nsg, NsgError, TagContext},
    ufw::{UfwError, UfwRule, UfwStatus, parse_added, parse_user_rules},
};
use serde_json::Value;

use super::{
    parameter::{invalid, networks},
    resource::Kind,
    too_complex,
};
use crate::cli::args::KnownNetwork;

/// Larger than any file there is a use for; a device has no end.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// A network security group.
pub fn nsg(path: &Path) -> Result<Nsg, Error> {
    let value = resource(path, &Kind::SECURITY_GROUP)?;
    Nsg::from_arm(&value).map_err(|error| of_nsg(path, &error))
}

/// The security admin rules in force; none without a file.
pub fn admin_rules(path: Option<&PathBuf>, tags: &TagContext) -> Result<AdminPolicy, Error> {
    let Some(path) = path else {
        return Ok(AdminPolicy::default());
    };
    let next = "give what `az rest --method post --url \
                \"ID/listNetworkManagerEffectiveSecurityAdminRules?api-version=2025-05-01\"` \
                prints, with the virtual network's resource id for ID";
    let list = json(path, next)?;
    let token = list.get("skipToken").and_then(Value::as_str);
    if token.is_some_and(|token| !token.is_empty()) {
        return Err(malformed(
            path,
            "it is one page of several: its \"skipToken\" stands for the next",
            "give all pages: post again with {\"skipToken\": \"...\"} as the body until none comes \
             back, and put the rules of all into one \"value\"",
        ));
    }
    let rules = match &list {
        Value::Array(rules) => Some(rules),
        whole => whole.get("value").and_then(Value::as_array),
    };
    let rules = rules.ok_or_else(|| malformed(path, "it is no list of rules", next))?;
    let rules: Result<Vec<AdminRule>, _> = rules.iter().map(AdminRule::from_arm).collect();
    let rules = rules.map_err(|error| malformed(path, error, next))?;
    AdminPolicy::new(&rules, tags).map_err(|error| malformed(path, error, next))
}

/// A table of nftables.
pub struct NftTable {
    family: String,
    name: String,
}

impl NftTable {
    /// Whether packets of a family may meet it.
    pub fn is_of(&self, family: Family) -> bool {
        match self.family.as_str() {
            "ip" => family == Family::Ipv4,
            "ip6" => family == Family::Ipv6,
            "arp" => false,
            _ => true,
        }
    }

    /// Whether iptables-nft would show it.
    pub fn is_of_iptables(&self) -> bool {
        matches!(self.family.as_str(), "ip" | "ip6") && TableName::from_name(&self.name).is_some()
    }

    /// Whether a dump shows it, or names it as one that it cannot show.
    pub fn is_told_in(&self, ruleset: &Ruleset) -> bool {
        let name = TableName::from_name(&self.name);
        self.is_of_iptables()
            && self.is_of(ruleset.family)
            && ruleset.backend.unwrap_or(Backend::Nft) == Backend::Nft
            && (name.is_some_and(|name| ruleset.table(name).is_some())
                || ruleset.unreadable_tables.contains(&self.name))
    }
}

/// Its family and name, as `nft` shows them.
impl Display for NftTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// The tables that `nft list tables` shows.
pub fn nft_tables(path: &Path) -> Result<Vec<NftTable>, Error> {
    let mut tables = Vec::new();
    for (at, line) in text(path)?.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["table", family, name] => tables.push(NftTable {
                family: (*family).to_owned(),
                name: (*name).to_owned(),
            }),
            _ => {
                let what = format!("line {}: it is not \"table FAMILY NAME\"", at + 1);
                return Err(malformed(
                    path,
                    what,
                    "write the file again with nft list tables",
                ));
            }
        }
    }
    Ok(tables)
}

/// What iptables-save or ip6tables-save wrote.
pub fn ruleset(path: &Path, family: Family) -> Result<Ruleset, Error> {
    let program = match family {
        Family::Ipv4 => "iptables-save",
        Family::Ipv6 => "ip6tables-save",
    };
    let ruleset = Ruleset::parse(family, &text(path)?).map_err(|error| {
        let next = format!("look at that line, or write the file again with {program}");
        malformed(path, error, next)
    })?;
    // What a program that failed leaves behind looks like a node without rules.
    let tells_something = !ruleset.tables.is_empty()
        || ruleset.legacy_tables_present
        || !ruleset.unreadable_tables.is_empty();
    match tells_something {
        true => Ok(ruleset),
        false => Err(malformed(
            path,
            "it has no table",
            format!(
                "write it again with {program} as root; for a node that has no rules, give a \
                 file of the two lines *filter and COMMIT"
            ),
        )),
    }
}

/// What ufw says of itself.
pub fn ufw_status(path: &Path) -> Result<UfwStatus, Error> {
    let text = text(path)?;
    let status = UfwStatus::parse(&text).map_err(|error| of_ufw(path, &error, "ufw status"))?;
    // ufw writes a heading only over rules.
    let is_heading = |line: &str| line.split_whitespace().eq(["To", "Action", "From"]);
    if let UfwStatus::Active(report) = &status
        && report.rules.is_empty()
        && let Some(at) = text.lines().position(is_heading)
    {
        return Err(malformed(
            path,
            format!("line {}: no rule follows; the output is cut short", at + 1),
            "write the file again with ufw status verbose",
        ));
    }
    Ok(status)
}

/// The rules that `ufw show added` shows.
pub fn ufw_added(path: &Path) -> Result<Vec<UfwRule>, Error> {
    let text = text(path)?;
    // Also of an ufw without rules it says so in words.
    if text.trim().is_empty() {
        return Err(malformed(
            path,
            "line 1: there is no output",
            "write the file again with ufw show added, as root",
        ));
    }
    parse_added(&text).map_err(|error| of_ufw(path, &error, "ufw show added"))
}

/// The rules of a file that ufw loads.
pub fn ufw_user_rules(path: &Path, family: Family) -> Result<Vec<UfwRule>, Error> {
    parse_user_rules(family, &text(path)?).map_err(|error| {
        let next = "look at that line, or give the file as it is in /etc/ufw";
        malformed(path, error, next)
    })
}

fn of_ufw(path: &Path, error: &UfwError, program: &str) -> Error {
    let next = format!("look at that line, or write the file again with LC_ALL=C {program}");
    malformed(path, error, next)
}

/// What is known of service tags.
pub fn tags(network: &KnownNetwork) -> Result<TagContext, Error> {
    let mut tags = TagContext::new();
    let prefixes = networks("--vnet-prefix", &network.vnet_prefixes)?;
    if !prefixes.is_empty() {
        tags = tags.with_virtual_network(&prefixes);
    }
    if let Some(path) = &network.service_tags {
        let list = json(path, SERVICE_TAGS)?;
        tags = tags
            .with_service_tags(&list)
            .map_err(|error| malformed(path, error, SERVICE_TAGS))?;
    }
    Ok(tags)
}

/// A firewall with rules of its own, and its private address where it says one.
pub fn firewall(path: &Path) -> Result<(Firewall, Option<IpAddr>), Error> {
    let kind = Kind::FIREWALL;
    let value = resource(path, &kind)?;
    let firewall = Firewall::from_classic(&value);
    let firewall = firewall.map_err(|error| of_firewall(path, &kind, &error))?;
    // Older versions of the command line spell it the second way.
    let address = ["privateIPAddress", "privateIpAddress"]
        .iter()
        .find_map(|field| {
            let field = format!("/properties/ipConfigurations/0/properties/{field}");
            value.pointer(&field)?.as_str()?.parse().ok()
        });
    Ok((firewall, address))
}

/// The policies of a firewall, each with its list of rule collection groups.
pub fn firewall_policies(policies: &[PathBuf], groups: &[PathBuf]) -> Result<Firewall, Error> {
    if policies.len() != groups.len() {
        return Err(invalid(
            format!(
                "--firewall-policy is given {} and --rule-collections {} times",
                policies.len(),
                groups.len()
            ),
            "give the rule collection groups of each policy",
        ));
    }
    let mut read = Vec::new();
    for (policy, groups) in policies.iter().zip(groups) {
        let groups = rule_collection_groups(groups)?;
        read.push((resource(policy, &Kind::FIREWALL_POLICY)?, groups));
    }
    let levels: Vec<_> = read
        .iter()
        .map(|(policy, groups)| (policy, groups.as_slice()))
        .collect();
    Firewall::from_policies(&levels).map_err(|error| {
        let files = policies.iter().chain(groups);
        let files = files.map(|path| path.display().to_string());
        let message = format!("{}: {error}", files.collect::<Vec<_>>().join(", "));
        let next = match error {
            FirewallError::ParentMissing { .. } => format!(
                "give the parent's file as --firewall-policy, too, and its groups as \
                 --rule-collections: {}",
                Kind::FIREWALL_POLICY.next()
            ),
            FirewallError::ForeignGroup { .. } => {
                "give that policy as --firewall-policy, too, or leave its group out".to_owned()
            }
            FirewallError::GroupMissing { .. } => format!(
                "give all groups of the policy: {}",
                Kind::RULE_COLLECTION_GROUP.next()
            ),
            FirewallError::PoliciesUnrelated { .. } => {
                "give the policy of the firewall and its parents, and no other".to_owned()
            }
            _ => Kind::FIREWALL_POLICY.next(),
        };
        Error::new(Code::RulesetMalformed, message, next)
    })
}

/// The groups of one policy: a list, or the only one there is.
fn rule_collection_groups(path: &Path) -> Result<Vec<Value>, Error> {
    let kind = Kind::RULE_COLLECTION_GROUP;
    let list = json(path, &kind.next())?;
    if list.get("nextLink").is_some_and(|next| !next.is_null()) {
        return Err(malformed(
            path,
            "it is one page of several: its \"nextLink\" stands for the next",
            "put the groups of all pages into one \"value\"",
        ));
    }
    let is_group = |value: &Value| {
        let members = ["properties", "ruleCollections"];
        members.iter().any(|member| value.get(member).is_some())
    };
    let groups = match list {
        Value::Array(groups) => groups,
        mut whole => match whole.get_mut("value").map(Value::take) {
            Some(Value::Array(groups)) => groups,
            None if is_group(&whole) => vec![whole],
            _ => return Err(malformed(path, "it is no list of groups", kind.next())),
        },
    };
    let groups = groups.into_iter().map(|group| kind.as_arm(group));
    let groups: Result<Vec<Value>, _> = groups.collect();
    groups.map_err(|error| malformed(path, error, kind.next()))
}

/// A route table.
pub fn route_table(path: &Path, tags: &TagContext) -> Result<RouteTable, Error> {
    let kind = Kind::ROUTE_TABLE;
    let value = resource(path, &kind)?;
    RouteTable::from_arm(&value, tags).map_err(|error| of_firewall(path, &kind, &error))
}

/// What is known, with the IP groups of these files besides.
pub fn ip_groups(paths: &[PathBuf], mut tags: TagContext) -> Result<TagContext, Error> {
    let kind = Kind::IP_GROUP;
    for path in paths {
        let value = resource(path, &kind)?;
        let addresses = ip_group_addresses(&value);
        let addresses = addresses.map_err(|error| malformed(path, error, kind.next()))?;
        let id = value.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| malformed(path, "the IP group has no id", kind.next()))?;
        tags = tags.with_ip_group(id, addresses);
    }
    Ok(tags)
}

/// A firewall or route table of a file that cannot be read or analysed.
pub fn of_firewall(path: &Path, kind: &Kind, error: &FirewallError) -> Error {
    match error {
        FirewallError::TooComplex(error) => too_complex(error),
        FirewallError::GovernedByPolicy { .. } => malformed(
            path,
            error,
            "give its policy as --firewall-policy with --rule-collections",
        ),
        FirewallError::RouteTagUnknown { .. } => malformed(
            path,
            error,
            format!("give a list that has the tag as --service-tags: {SERVICE_TAGS}"),
        ),
        FirewallError::RouteConflict { .. } => malformed(
            path,
            error,
            "correct the file: Azure takes one route for each prefix",
        ),
        other => malformed(path, other, kind.next()),
    }
}

/// A security group of a file that cannot be read or analysed.
pub fn of_nsg(path: &Path, error: &NsgError) -> Error {
    match error {
        NsgError::TooComplex(error) => too_complex(error),
        other => malformed(
            path,
            other,
            format!("correct the file, or {}", Kind::SECURITY_GROUP.next()),
        ),
    }
}

/// A resource as ARM returns it, in whichever form its file has it.
fn resource(path: &Path, kind: &Kind) -> Result<Value, Error> {
    let value = json(path, &kind.next())?;
    kind.as_arm(value)
        .map_err(|error| malformed(path, error, kind.next()))
}

const SERVICE_TAGS: &str = "give what `az network list-service-tags --location REGION` prints";

/// JSON in which no field is given twice: one of the values would win in silence.
fn json(path: &Path, next: &str) -> Result<Value, Error> {
    parse_json(&text(path)?).map_err(|error| malformed(path, error, next))
}

fn malformed(path: &Path, error: impl Display, next: impl Into<String>) -> Error {
    let message = format!("{}: {error}", path.display());
    Error::new(Code::RulesetMalformed, message, next)
}

fn text(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            invalid(message, "give a file that exists and that you may read")
        })?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        let message = format!(
            "{} is larger than {} MiB",
            path.display(),
            FILE_LIMIT_BYTES >> 20
        );
        return Err(invalid(message, "give a file of rules"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        malformed(
            path,
            format!("line {line}: not UTF-8"),
            "give the file as it was printed",
        )
    })
}
