//! What ufw does to the kernel's rules, so that the packets of a change can be
//! computed from them.

use super::{parse, status::Listed};
use crate::{
    effect::{State, iptables::Chain, text},
    error::{Code, Error},
    model::{
        Effect,
        effect::{Access, Direction, IpFamily, UfwRuleEffect},
        query::FirewallRuleset,
    },
};

/// The kernel's rules after a change by ufw.
pub(in crate::effect) fn rules_after(
    effect: &Effect,
    status: &State,
    rules: &FirewallRuleset,
) -> Result<FirewallRuleset, Error> {
    let mut after = rules.clone();
    let dumps = [
        (&mut after.ipv4_nft, IpFamily::Ipv4),
        (&mut after.ipv4_legacy, IpFamily::Ipv4),
        (&mut after.ipv6_nft, IpFamily::Ipv6),
        (&mut after.ipv6_legacy, IpFamily::Ipv6),
    ];
    for (dump, family) in dumps {
        let Some(text) = dump else { continue };
        if !text.contains("ufw") {
            continue;
        }
        *text = match effect {
            Effect::UfwDisable { .. } => disabled(text),
            Effect::UfwRuleInsert(rule) => changed(text, family, rule, status, true)?,
            Effect::UfwRuleDelete(rule) => changed(text, family, rule, status, false)?,
            _ => return Err(unclear("the effect is not one that is modelled")),
        };
    }
    Ok(after)
}

fn unclear(why: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("what ufw does to the kernel's rules is not clear: {why}"),
        "judge the change by ufw's own list",
    )
}

/// Without the jumps into ufw's chains, everything accepted by default: what
/// `ufw disable` leaves.
fn disabled(dump: &str) -> String {
    let mut table = "";
    let mut lines = Vec::new();
    for line in dump.lines() {
        if let Some(name) = line.trim().strip_prefix('*') {
            table = name;
        }
        let builtin = ["INPUT", "FORWARD", "OUTPUT"].into_iter();
        let policy = builtin
            .clone()
            .find(|chain| table == "filter" && line.starts_with(&format!(":{chain} ")));
        let jump = builtin
            .clone()
            .any(|chain| line.contains(&format!("-A {chain} ")) && line.contains("-j ufw"));
        match policy {
            Some(chain) => lines.push(format!(":{chain} ACCEPT [0:0]")),
            None if jump => {}
            None => lines.push(line.to_owned()),
        }
    }
    text::lines(lines.iter().map(String::as_str))
}

/// How many kernel rules stand for one listed rule: a port without a protocol
/// is one for TCP and one for UDP.
fn kernel_rules(listed: &Listed) -> usize {
    let port = listed.to.rsplit(' ').next().unwrap_or_default();
    let is_port =
        port.starts_with(|c: char| c.is_ascii_digit()) && port.parse::<std::net::IpAddr>().is_err();
    if is_port && !port.contains('/') { 2 } else { 1 }
}

fn changed(
    dump: &str,
    family: IpFamily,
    rule: &UfwRuleEffect,
    status: &State,
    insert: bool,
) -> Result<String, Error> {
    let status = parse(status)?;
    let is_v6 = family == IpFamily::Ipv6;
    let (word, chain_name) = match (rule.direction, is_v6) {
        (Direction::Inbound, false) => ("IN", "ufw-user-input"),
        (Direction::Inbound, true) => ("IN", "ufw6-user-input"),
        (Direction::Outbound, false) => ("OUT", "ufw-user-output"),
        (Direction::Outbound, true) => ("OUT", "ufw6-user-output"),
    };
    let mut wanted = Listed::of(rule);
    if is_v6 != wanted.is_v6 {
        if !wanted.covers_both_families() {
            return Ok(dump.to_owned());
        }
        wanted = wanted.for_v6();
    }
    let chain = Chain::find(dump, "filter", chain_name)
        .ok_or_else(|| unclear(&format!("there is no chain {chain_name}")))?;
    // The listed rules of this chain, with their place in the whole list.
    let here: Vec<(usize, &Listed)> = status
        .rules
        .iter()
        .enumerate()
        .filter(|(_, r)| r.is_v6 == is_v6 && r.action.ends_with(&format!(" {word}")))
        .collect();
    let expected: usize = here.iter().map(|(_, r)| kernel_rules(r)).sum();
    if expected != chain.len() {
        return Err(unclear(&format!(
            "{chain_name} has {} rules, but the list stands for {expected}",
            chain.len()
        )));
    }
    let mut lines: Vec<String> = dump.lines().map(str::to_owned).collect();
    if insert {
        let position = match rule.position {
            0 => usize::MAX,
            position => position as usize - 1,
        };
        let before: usize = here
            .iter()
            .filter(|(place, _)| *place < position)
            .map(|(_, r)| kernel_rules(r))
            .sum();
        let at = chain.line_of(before).min(lines.len());
        for specification in specifications(rule).into_iter().rev() {
            lines.insert(at, format!("-A {chain_name} {specification}"));
        }
    } else if let Some(found) = here.iter().position(|(_, r)| r.is(&wanted)) {
        let first: usize = here.iter().take(found).map(|(_, r)| kernel_rules(r)).sum();
        for _ in 0..kernel_rules(&wanted) {
            let at = chain.line_of(first);
            if at < lines.len() {
                lines.remove(at);
            }
        }
    }
    Ok(text::lines(lines.iter().map(String::as_str)))
}

/// As ufw writes them.
fn specifications(rule: &UfwRuleEffect) -> Vec<String> {
    let is_any = |text: &str| text.is_empty() || text == "any";
    let mut ends = String::new();
    if !is_any(&rule.source) {
        ends.push_str(&format!("-s {} ", rule.source));
    }
    if !is_any(&rule.destination) {
        ends.push_str(&format!("-d {} ", rule.destination));
    }
    let target = match rule.access {
        Access::Allow => "ACCEPT",
        Access::Deny => "DROP",
    };
    let protocols: &[&str] = match (is_any(&rule.protocol), is_any(&rule.port)) {
        (false, _) => &[rule.protocol.as_str()],
        (true, false) => &["tcp", "udp"],
        (true, true) => &[],
    };
    if protocols.is_empty() {
        return vec![format!("{ends}-j {target}")];
    }
    let one = |protocol: &&str| {
        if is_any(&rule.port) {
            format!("{ends}-p {protocol} -j {target}")
        } else if rule.port.contains(',') {
            format!(
                "{ends}-p {protocol} -m multiport --dports {} -j {target}",
                rule.port
            )
        } else {
            format!(
                "{ends}-p {protocol} -m {protocol} --dport {} -j {target}",
                rule.port
            )
        }
    };
    protocols.iter().map(one).collect()
}
