//! One rule of iptables, compared and written under the xtables lock.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use naosu_engine::{
    error::{Code, Error},
    model::{
        Observation,
        effect::{IpFamily, IptablesBackend, IptablesRuleEffect},
        query::FirewallRuleset,
    },
};

use super::{Planned, observed, sha256, specification};
use crate::drivers::node::{
    NodeError,
    script::{Script, body},
};

const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

pub(super) fn insert(
    rule: &IptablesRuleEffect,
    before: &Observation,
    dry: bool,
) -> Result<Planned, Error> {
    check(rule)?;
    let chain = chain(rule, before)?;
    let line = format!("-I {} {} {}", rule.chain, rule.position, rule.specification);
    let mut after = chain.clone();
    let index = (rule.position as usize).saturating_sub(1).min(after.len());
    after.insert(index, appended(rule));
    planned(rule, "insert", &line, &chain, &after, dry)
}

pub(super) fn delete(
    rule: &IptablesRuleEffect,
    before: &Observation,
    dry: bool,
) -> Result<Planned, Error> {
    check(rule)?;
    let chain = chain(rule, before)?;
    let wanted = appended(rule);
    // By specification the kernel itself compares; only among equal rules does
    // the number have to tell which.
    let is_unique = chain.iter().filter(|line| **line == wanted).count() <= 1;
    let line = if is_unique {
        format!("-D {} {}", rule.chain, rule.specification)
    } else {
        format!("-D {} {}", rule.chain, rule.position)
    };
    let mut after = chain.clone();
    let index = (rule.position as usize).saturating_sub(1);
    if after.get(index) == Some(&wanted) {
        after.remove(index);
    }
    planned(rule, "delete", &line, &chain, &after, dry)
}

fn planned(
    rule: &IptablesRuleEffect,
    operation: &'static str,
    line: &str,
    chain: &[String],
    after: &[String],
    dry: bool,
) -> Result<Planned, Error> {
    let (prefix, backend) = names(rule);
    let text = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let restore = format!("{prefix}-{backend}-restore");
    let script = Script::new(
        body::IPTABLES_RULE,
        &[
            ("save_program", &format!("{prefix}-{backend}-save")),
            ("restore_program", &restore),
            ("generic_save_program", &format!("{prefix}-save")),
            ("generic_restore_program", &format!("{prefix}-restore")),
            ("table", &rule.table),
            ("chain", &rule.chain),
            ("position", &rule.position.to_string()),
            ("operation", operation),
            ("rule_base64", &STANDARD.encode(appended(rule))),
            ("line_base64", &STANDARD.encode(line)),
            ("chain_sha256", &sha256(&text(chain))),
            ("iptables_dry", if dry { "yes" } else { "no" }),
        ],
    )?;
    let test = if dry { " --test" } else { "" };
    Ok(Planned {
        node: rule.node.clone(),
        script,
        request: format!(
            "node/{}: {restore} --noflush{test}, table {}: {line}",
            rule.node, rule.table
        ),
        before: text(chain),
        after: Some(text(after)),
    })
}

fn names(rule: &IptablesRuleEffect) -> (&'static str, &'static str) {
    let prefix = match rule.family {
        IpFamily::Ipv4 => "iptables",
        IpFamily::Ipv6 => "ip6tables",
    };
    let backend = match rule.backend {
        IptablesBackend::Nft => "nft",
        IptablesBackend::Legacy => "legacy",
    };
    (prefix, backend)
}

/// The rule as `iptables-save` prints it.
fn appended(rule: &IptablesRuleEffect) -> String {
    format!("-A {} {}", rule.chain, rule.specification)
}

/// The chain's lines as they were read.
fn chain(rule: &IptablesRuleEffect, before: &Observation) -> Result<Vec<String>, Error> {
    let ruleset: FirewallRuleset = observed(before)?;
    let dump = match (rule.family, rule.backend) {
        (IpFamily::Ipv4, IptablesBackend::Nft) => ruleset.ipv4_nft,
        (IpFamily::Ipv4, IptablesBackend::Legacy) => ruleset.ipv4_legacy,
        (IpFamily::Ipv6, IptablesBackend::Nft) => ruleset.ipv6_nft,
        (IpFamily::Ipv6, IptablesBackend::Legacy) => ruleset.ipv6_legacy,
    };
    let dump = dump.ok_or_else(|| {
        let (prefix, backend) = names(rule);
        Error::new(
            Code::Unsupported,
            format!("node {} has no {prefix}-{backend}", rule.node),
            "diagnose again",
        )
    })?;
    let mut table = "";
    let mut lines = Vec::new();
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim_end();
        }
        let mut words = line.split(' ');
        let here = words.next() == Some("-A") && words.next() == Some(rule.chain.as_str());
        if here && table == rule.table {
            lines.push(line.to_owned());
        }
    }
    Ok(lines)
}

fn check(rule: &IptablesRuleEffect) -> Result<(), NodeError> {
    if !TABLES.contains(&rule.table.as_str()) {
        return Err(NodeError::invalid(
            "table",
            &rule.table,
            "filter, nat, mangle, raw or security",
        ));
    }
    let is_chain = !rule.chain.is_empty()
        && rule.chain.len() <= 28
        && !rule.chain.starts_with('-')
        && rule
            .chain
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.:+".contains(c));
    if !is_chain {
        return Err(NodeError::invalid(
            "chain",
            &rule.chain,
            "the name of a chain",
        ));
    }
    if rule.position == 0 {
        return Err(NodeError::invalid("position", "0", "1 or more"));
    }
    // In the input of iptables-restore a line is a command.
    let is_one_line = !rule.specification.is_empty()
        && rule.specification.len() <= 2_000
        && !rule.specification.chars().any(char::is_control)
        && rule.specification.starts_with(['-', '!']);
    if !is_one_line {
        return Err(NodeError::invalid(
            "specification",
            &rule.specification,
            "one line as iptables-save prints it, without \"-A CHAIN\"",
        ));
    }
    specification::check(&rule.specification)
}

#[cfg(test)]
mod tests {
    use naosu_engine::model::{Digest, Query, query::NodeObservation};

    use super::*;

    fn rule(specification: &str, position: u32) -> IptablesRuleEffect {
        IptablesRuleEffect {
            node: "n".into(),
            family: IpFamily::Ipv4,
            backend: IptablesBackend::Nft,
            table: "filter".into(),
            chain: "INPUT".into(),
            specification: specification.into(),
            position,
        }
    }

    fn before(dump: &str) -> Observation {
        let ruleset = FirewallRuleset {
            ipv4_nft: Some(dump.into()),
            ..FirewallRuleset::default()
        };
        Observation {
            query: Query::Node {
                node: "n".into(),
                what: NodeObservation::FirewallRuleset,
            },
            answer: Ok(serde_json::to_string(&ruleset).unwrap().into()),
            version: None,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            digest: Digest::of_bytes(b""),
        }
    }

    const DUMP: &str = "*nat\n-A INPUT -j X\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j KUBE\n-A INPUT -p tcp -j DROP\n-A INPUT2 -j DROP\n-A INPUT -p tcp -j DROP\nCOMMIT\n";

    #[test]
    fn only_this_chain_of_this_table_is_compared() {
        assert_eq!(
            chain(&rule("-j X", 1), &before(DUMP)).unwrap(),
            [
                "-A INPUT -j KUBE",
                "-A INPUT -p tcp -j DROP",
                "-A INPUT -p tcp -j DROP"
            ]
        );
    }

    #[test]
    fn among_equal_rules_the_number_tells_which_goes() {
        let unique = delete(&rule("-j KUBE", 1), &before(DUMP), false).unwrap();
        assert!(unique.request.ends_with("-D INPUT -j KUBE"));
        let double = delete(&rule("-p tcp -j DROP", 3), &before(DUMP), false).unwrap();
        assert!(double.request.ends_with("-D INPUT 3"));
        assert_eq!(
            double.after.as_deref(),
            Some("-A INPUT -j KUBE\n-A INPUT -p tcp -j DROP\n")
        );
    }

    #[test]
    fn a_specification_cannot_become_a_second_command() {
        let modprobe = "-j DROP --modprobe=/tmp/x";
        for bad in ["", "-j DROP\nCOMMIT", "COMMIT", "-j DROP\u{0}", modprobe] {
            assert!(
                delete(&rule(bad, 1), &before(DUMP), false).is_err(),
                "{bad:?}"
            );
        }
    }
}
