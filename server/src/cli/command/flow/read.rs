//! The files of a question.

use std::{fmt::Display, fs::File, io::Read, path::Path};

use naosu_engine::{Code, Error};
use naosu_flow::{
    iptables::{Family, Ruleset, TableName},
    nsg::{AdminPolicy, AdminRule, Nsg, NsgError, TagContext},
};

use super::{
    parameter::{invalid, networks},
    too_complex,
};
use crate::cli::args::{AdminRulesArg, KnownNetwork};

/// Larger than any file there is a use for; a device has no end.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// A network security group.
pub fn nsg(path: &Path) -> Result<Nsg, Error> {
    Nsg::from_arm_json(&text(path)?).map_err(|error| of_nsg(path, &error))
}

/// The security admin rules in force; none without a file.
pub fn admin_rules(argument: &AdminRulesArg, tags: &TagContext) -> Result<AdminPolicy, Error> {
    let Some(path) = &argument.file else {
        return Ok(AdminPolicy::default());
    };
    let next = "give what `az rest --method post` prints for the network's \
                listNetworkManagerEffectiveSecurityAdminRules";
    let list: serde_json::Value =
        serde_json::from_str(&text(path)?).map_err(|error| malformed(path, error, next))?;
    let token = list.get("skipToken").and_then(serde_json::Value::as_str);
    if token.is_some_and(|token| !token.is_empty()) {
        return Err(malformed(
            path,
            "it is one page of several: its \"skipToken\" stands for the next",
            "give all pages: post again with {\"skipToken\": \"...\"} as the body until none comes \
             back, and put the rules of all into one \"value\"",
        ));
    }
    let rules = match &list {
        serde_json::Value::Array(rules) => Some(rules),
        whole => whole.get("value").and_then(serde_json::Value::as_array),
    };
    let rules = rules.ok_or_else(|| malformed(path, "it is no list of rules", next))?;
    let rules: Result<Vec<AdminRule>, _> = rules.iter().map(AdminRule::from_arm).collect();
    let rules = rules.map_err(|error| malformed(path, error, next))?;
    AdminPolicy::new(&rules, tags).map_err(|error| malformed(path, error, next))
}

/// A table of nftables that is none of iptables.
pub struct ForeignTable {
    /// Its family and name, as `nft` shows them.
    pub name: String,
    family: String,
}

impl ForeignTable {
    /// Whether packets of a family may meet it.
    pub fn is_of(&self, family: Family) -> bool {
        match self.family.as_str() {
            "ip" => family == Family::Ipv4,
            "ip6" => family == Family::Ipv6,
            "arp" => false,
            _ => true,
        }
    }
}

/// The tables that `nft list tables` shows besides those of iptables.
pub fn foreign_tables(path: &Path) -> Result<Vec<ForeignTable>, Error> {
    let mut tables = Vec::new();
    for (at, line) in text(path)?.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["table", family, name] => {
                let is_of_iptables =
                    matches!(*family, "ip" | "ip6") && TableName::from_name(name).is_some();
                if !is_of_iptables {
                    tables.push(ForeignTable {
                        name: format!("{family} {name}"),
                        family: (*family).to_owned(),
                    });
                }
            }
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
    Ruleset::parse(family, &text(path)?).map_err(|error| {
        let next = format!("look at that line, or write the file again with {program}");
        malformed(path, error, next)
    })
}

/// What is known of service tags.
pub fn tags(network: &KnownNetwork) -> Result<TagContext, Error> {
    let mut tags = TagContext::new();
    let prefixes = networks("--vnet-prefix", &network.vnet_prefixes)?;
    if !prefixes.is_empty() {
        tags = tags.with_virtual_network(&prefixes);
    }
    if let Some(path) = &network.service_tags {
        let next = "give the file as `az network list-service-tags` prints it";
        let list: serde_json::Value =
            serde_json::from_str(&text(path)?).map_err(|error| malformed(path, error, next))?;
        tags = tags
            .with_service_tags(&list)
            .map_err(|error| malformed(path, error, next))?;
    }
    Ok(tags)
}

/// A security group of a file that cannot be read or analysed.
pub fn of_nsg(path: &Path, error: &NsgError) -> Error {
    match error {
        NsgError::TooComplex(error) => too_complex(error),
        other => malformed(
            path,
            other,
            "correct the file, or read the group again with `az rest`",
        ),
    }
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
