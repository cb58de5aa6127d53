//! What changes of ufw do to the kernel's rules.
//!
//! ufw keeps a user's rules in chains of its own, one for each direction; each
//! rule stands there as one or more of the kernel's. Where what stands there is
//! not what ufw's list stands for, the change is not computed but
//! [`UfwKernelError`].

use std::ops::Range;

use super::files::{Settings, UfwRules};
use super::rule::{UfwAction, UfwDirection, UfwRule};
use super::start;
use crate::iptables::{
    Backend, ChainPolicy, Edit, Family, NodeFirewall, PortRange, Rule, Ruleset, TableName, excerpt,
};

/// A change by ufw.
#[derive(Debug, Clone, Copy)]
pub enum UfwChange<'a> {
    /// `ufw insert`, or append for position 0.
    Insert {
        /// The number before which it goes, as `ufw status numbered` counts.
        position: usize,
        /// The rule.
        rule: &'a UfwRule,
    },
    /// `ufw delete`.
    Delete {
        /// The rule.
        rule: &'a UfwRule,
    },
    /// `ufw disable`.
    Disable {
        /// `/etc/default/ufw`.
        defaults: &'a str,
    },
    /// `ufw enable`.
    Enable {
        /// All of ufw's files.
        files: &'a UfwRules,
    },
}

/// What ufw does to the kernel's rules is not clear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what ufw does to the kernel's rules is not clear: {0}")]
pub struct UfwKernelError(pub(super) String);

impl UfwKernelError {
    /// The stable, machine-readable code of the error.
    pub fn code(&self) -> &'static str {
        "ufw_kernel_unclear"
    }
}

fn unclear(why: impl Into<String>) -> UfwKernelError {
    UfwKernelError(why.into())
}

/// The start of the names of ufw's chains.
pub(super) fn prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ufw",
        Family::Ipv6 => "ufw6",
    }
}

fn user_chain(family: Family, direction: UfwDirection) -> String {
    let word = match direction {
        UfwDirection::In => "input",
        UfwDirection::Out => "output",
        UfwDirection::Forward => "forward",
    };
    format!("{}-user-{word}", prefix(family))
}

/// A node's firewall after a change, `listed` being ufw's rules in the order of
/// their numbers.
///
/// # Errors
/// [`UfwKernelError`].
pub fn ufw_change(
    firewall: &NodeFirewall,
    listed: &[UfwRule],
    change: UfwChange<'_>,
) -> Result<NodeFirewall, UfwKernelError> {
    let mut after = firewall.clone();
    match change {
        UfwChange::Insert { position, rule } => {
            let added = |family| place(listed, family, position);
            each_family(&mut after, rule, |ruleset| {
                insert(ruleset, listed, rule, &added)
            })?;
        }
        UfwChange::Delete { rule } => {
            each_family(&mut after, rule, |ruleset| delete(ruleset, listed, rule))?;
        }
        UfwChange::Disable { defaults } => {
            let manages = Settings(defaults).is_yes("MANAGE_BUILTINS");
            let manages = manages.ok_or_else(|| {
                unclear("/etc/default/ufw does not say whether ufw manages the built-in chains")
            })?;
            let backend = backend(firewall)?;
            for loaded in &mut after.rulesets {
                if loaded.backend == backend {
                    stop(&mut loaded.ruleset, manages);
                }
            }
        }
        UfwChange::Enable { files } => {
            let backend = backend(firewall)?;
            start::enable(&mut after, backend, files)?;
        }
    }
    Ok(after)
}

/// The backend that ufw writes to: that of its chains, or the only one.
fn backend(firewall: &NodeFirewall) -> Result<Backend, UfwKernelError> {
    let of_family = || {
        let rulesets = firewall.rulesets.iter();
        rulesets.filter(|loaded| loaded.ruleset.family == Family::Ipv4)
    };
    let mut with_chains = of_family().filter(|loaded| has_chains(&loaded.ruleset));
    match (with_chains.next(), with_chains.next()) {
        (Some(one), None) => return Ok(one.backend),
        (Some(_), Some(_)) => return Err(unclear("both backends have chains of ufw")),
        (None, _) => {}
    }
    let mut all = of_family();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.backend),
        _ => Err(unclear("which backend ufw writes to is not known")),
    }
}

fn has_chains(ruleset: &Ruleset) -> bool {
    let name = format!("{}-before-input", prefix(ruleset.family));
    ruleset
        .table(TableName::Filter)
        .is_some_and(|table| table.chain(&name).is_some())
}

/// Changes the rulesets that hold ufw's rules of the families of a rule.
fn each_family(
    firewall: &mut NodeFirewall,
    rule: &UfwRule,
    mut change: impl FnMut(&mut Ruleset) -> Result<(), UfwKernelError>,
) -> Result<(), UfwKernelError> {
    let chain = |family| user_chain(family, rule.direction);
    let mut found = false;
    for loaded in &mut firewall.rulesets {
        let ruleset = &mut loaded.ruleset;
        let filter = ruleset.table(TableName::Filter);
        let there = filter.is_some_and(|table| table.chain(&chain(ruleset.family)).is_some());
        if there && rule.family.is_none_or(|family| family == ruleset.family) {
            change(ruleset)?;
            found = true;
        }
    }
    if found {
        Ok(())
    } else {
        let family = rule.family.unwrap_or(Family::Ipv4);
        Err(unclear(format!("there is no chain {}", chain(family))))
    }
}

/// Whether a listed rule is of a family; rules of both are listed twice.
fn is_of(rule: &UfwRule, family: Family) -> bool {
    rule.family.unwrap_or(Family::Ipv4) == family
}

/// How many of the listed rules of a family come before a new one.
fn place(listed: &[UfwRule], family: Family, position: usize) -> usize {
    let of = |family| listed.iter().filter(move |rule| is_of(rule, family));
    let (v4, all) = (of(Family::Ipv4).count(), of(family).count());
    let Some(index) = position.checked_sub(1) else {
        return all;
    };
    match family {
        Family::Ipv4 => index.min(all),
        Family::Ipv6 if index >= v4 => (index - v4).min(all),
        // The number is that of a rule of IPv4: before its twin, or at the end.
        Family::Ipv6 => {
            let twin = of(Family::Ipv4).nth(index).map(|rule| UfwRule {
                family: Some(Family::Ipv6),
                ..rule.clone()
            });
            let found = twin.and_then(|twin| of(family).position(|rule| *rule == twin));
            found.unwrap_or(all)
        }
    }
}

fn insert(
    ruleset: &mut Ruleset,
    listed: &[UfwRule],
    rule: &UfwRule,
    place: &dyn Fn(Family) -> usize,
) -> Result<(), UfwKernelError> {
    let family = ruleset.family;
    let standing = standing(ruleset, listed, rule.direction)?;
    let before = place(family);
    let at = standing
        .iter()
        .filter(|stands| stands.place < before)
        .map(|stands| stands.rules.end)
        .next_back()
        .unwrap_or_default();
    for (offset, new) in kernel_rules(rule, family)?.into_iter().enumerate() {
        let edit = Edit::Insert {
            table: TableName::Filter,
            chain: user_chain(family, rule.direction),
            number: at + offset + 1,
            rule: new,
        };
        let edited = ruleset.edited(&edit);
        *ruleset = edited.map_err(|error| unclear(error.to_string()))?.0;
    }
    Ok(())
}

fn delete(ruleset: &mut Ruleset, listed: &[UfwRule], rule: &UfwRule) -> Result<(), UfwKernelError> {
    let family = ruleset.family;
    let standing = standing(ruleset, listed, rule.direction)?;
    // A rule of both families is listed once for each, and goes from both.
    let rule = UfwRule {
        family: Some(family),
        ..rule.clone()
    };
    let Some(found) = standing.iter().find(|stands| stands.rule.is_same(&rule)) else {
        return Ok(());
    };
    let chain = user_chain(family, rule.direction);
    let tables = ruleset.tables.iter_mut();
    let chains = tables
        .filter(|table| table.name == TableName::Filter)
        .flat_map(|table| &mut table.chains);
    for chain in chains.filter(|candidate| candidate.name == chain) {
        chain.rules.drain(found.rules.clone());
    }
    Ok(())
}

/// Where a listed rule stands in the chain of its direction.
struct Stands<'a> {
    rule: &'a UfwRule,
    /// Its place among the listed rules of its family.
    place: usize,
    /// The kernel's rules, by their index.
    rules: Range<usize>,
}

/// Finds the rules of ufw's list in the kernel's chain, one after the other.
fn standing<'a>(
    ruleset: &Ruleset,
    listed: &'a [UfwRule],
    direction: UfwDirection,
) -> Result<Vec<Stands<'a>>, UfwKernelError> {
    let family = ruleset.family;
    let name = user_chain(family, direction);
    let filter = ruleset.table(TableName::Filter);
    let chain = filter.and_then(|table| table.chain(&name));
    let rules = chain.map_or(&[][..], |chain| chain.rules.as_slice());
    let of_family = listed.iter().filter(|rule| is_of(rule, family));
    let mut standing = Vec::new();
    let mut next = 0;
    for (place, rule) in of_family.enumerate() {
        if rule.direction != direction {
            continue;
        }
        let expected = kernel_rules(rule, family)?;
        let end = next + expected.len();
        let there = rules.get(next..end).unwrap_or_default();
        let is_there = there.len() == expected.len()
            && there
                .iter()
                .zip(&expected)
                .all(|(there, expected)| there.same_specification(expected));
        if !is_there {
            return Err(unclear(format!(
                "rule {} of {name} is not what ufw makes of its rule \"{rule}\"",
                next + 1
            )));
        }
        standing.push(Stands {
            rule,
            place,
            rules: next..end,
        });
        next = end;
    }
    match rules.get(next) {
        None => Ok(standing),
        Some(rule) => Err(unclear(format!(
            "rule {} of {name} is none of ufw's list: {}",
            next + 1,
            excerpt(rule.to_string().trim())
        ))),
    }
}

fn port_list(ports: &[PortRange]) -> String {
    let texts: Vec<String> = ports.iter().map(ToString::to_string).collect();
    texts.join(",")
}

/// The kernel's rules that ufw makes of one, as `iptables-save` shows them.
fn kernel_rules(rule: &UfwRule, family: Family) -> Result<Vec<Rule>, UfwKernelError> {
    let has_name = |end: &super::rule::UfwEnd| end.application.is_some();
    if has_name(&rule.from) || has_name(&rule.to) {
        return Err(unclear(format!(
            "the ports of \"{rule}\" are in the node's application profiles"
        )));
    }
    let has_ports = !rule.from.ports.is_empty() || !rule.to.ports.is_empty();
    let protocols: Vec<Option<String>> = match rule.protocol {
        Some(number) => vec![Some(number.to_string())],
        None if has_ports => vec![Some("6".to_owned()), Some("17".to_owned())],
        None => vec![None],
    };
    let chains = chain_names(family);
    let chains: Vec<&str> = chains.iter().map(String::as_str).collect();
    let mut rules = Vec::new();
    for protocol in protocols {
        let matched = matched(rule, protocol.as_deref());
        for target in targets(rule, family, protocol.as_deref()) {
            let text = format!("{matched} {target}");
            let parsed = Rule::parse(family, text.trim(), &chains);
            rules.push(parsed.map_err(|error| unclear(format!("\"{rule}\": {error}")))?);
        }
    }
    Ok(rules)
}

fn matched(rule: &UfwRule, protocol: Option<&str>) -> String {
    let mut text = String::new();
    for (option, name) in [("-i", &rule.in_interface), ("-o", &rule.out_interface)] {
        if let Some(name) = name {
            text.push_str(&format!("{option} {name} "));
        }
    }
    let module = match protocol {
        Some("6") => Some("tcp"),
        Some("17") => Some("udp"),
        _ => None,
    };
    if let Some(protocol) = protocol {
        text.push_str(&format!("-p {} ", module.unwrap_or(protocol)));
    }
    for (option, end) in [("-d", &rule.to), ("-s", &rule.from)] {
        if let Some(net) = end.address {
            text.push_str(&format!("{option} {net} "));
        }
    }
    let ends = [("dport", &rule.to.ports), ("sport", &rule.from.ports)];
    // One rule with several ports or a range writes both ends with multiport.
    let is_multi = ends
        .iter()
        .any(|(_, ports)| ports.len() > 1 || ports.iter().any(|range| range.first != range.last));
    for (option, ports) in ends {
        match (ports.is_empty(), is_multi, module) {
            (true, ..) => {}
            (false, true, _) => {
                text.push_str(&format!("-m multiport --{option}s {} ", port_list(ports)));
            }
            (false, false, Some(module)) => {
                text.push_str(&format!("-m {module} --{option} {} ", port_list(ports)));
            }
            (false, false, None) => {}
        }
    }
    text
}

/// What follows a rule's match, one for each of the kernel's rules.
fn targets(rule: &UfwRule, family: Family, protocol: Option<&str>) -> Vec<String> {
    let prefix = prefix(family);
    let mut targets = Vec::new();
    if rule.logged {
        let chain = user_chain(family, rule.direction);
        targets.push(format!("-j {}", chain.replace("-user-", "-user-logging-")));
    }
    match rule.action {
        UfwAction::Allow => targets.push("-j ACCEPT".to_owned()),
        UfwAction::Deny => targets.push("-j DROP".to_owned()),
        UfwAction::Reject if protocol == Some("6") => {
            targets.push("-j REJECT --reject-with tcp-reset".to_owned());
        }
        UfwAction::Reject => targets.push(match family {
            Family::Ipv4 => "-j REJECT --reject-with icmp-port-unreachable".to_owned(),
            Family::Ipv6 => "-j REJECT --reject-with icmp6-port-unreachable".to_owned(),
        }),
        UfwAction::Limit => {
            let mask = match family {
                Family::Ipv4 => "255.255.255.255",
                Family::Ipv6 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            };
            let shown = format!("--name DEFAULT --mask {mask} --rsource");
            targets.push(format!(
                "-m conntrack --ctstate NEW -m recent --set {shown}"
            ));
            targets.push(format!(
                "-m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 \
                 {shown} -j {prefix}-user-limit"
            ));
            targets.push(format!("-j {prefix}-user-limit-accept"));
        }
    }
    targets
}

/// Every chain that ufw makes, in the order in which it empties them.
pub(super) fn chain_names(family: Family) -> Vec<String> {
    const MORE: [&str; 5] = [
        "logging-deny",
        "logging-allow",
        "not-local",
        "user-limit-accept",
        "user-limit",
    ];
    let prefix = prefix(family);
    let mut names: Vec<String> = MORE.iter().map(|name| format!("{prefix}-{name}")).collect();
    for kind in PRIMARY.iter().chain(&SECONDARY) {
        for way in WAYS {
            names.push(format!("{prefix}-{kind}-{way}"));
        }
    }
    names
}

pub(super) const WAYS: [&str; 3] = ["input", "output", "forward"];

/// The kinds of chains that built-in ones jump to; they stay when ufw stops.
pub(super) const PRIMARY: [&str; 6] = [
    "before-logging",
    "before",
    "after",
    "after-logging",
    "reject",
    "track",
];

const SECONDARY: [&str; 3] = ["user", "user-logging", "skip-to-policy"];

/// What `ufw disable` leaves: its chains empty, everything accepted by default.
fn stop(ruleset: &mut Ruleset, manages_built_in: bool) {
    let own = chain_names(ruleset.family);
    let primary = |name: &str| {
        let rest = name.strip_prefix(prefix(ruleset.family));
        let rest = rest.and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| {
            PRIMARY.iter().any(|kind| {
                let way = rest.strip_prefix(kind).and_then(|w| w.strip_prefix('-'));
                way.is_some_and(|way| WAYS.contains(&way))
            })
        })
    };
    for table in &mut ruleset.tables {
        let is_flushed = manages_built_in
            && match table.name {
                TableName::Filter | TableName::Mangle => true,
                TableName::Nat => ruleset.family == Family::Ipv4,
                TableName::Raw | TableName::Security => false,
            };
        for chain in &mut table.chains {
            if is_flushed || table.name == TableName::Filter && own.contains(&chain.name) {
                chain.rules.clear();
            }
            let is_opened = is_flushed || table.name == TableName::Filter;
            if is_opened && chain.policy.is_some() {
                chain.policy = Some(ChainPolicy::Accept);
            }
        }
        if table.name == TableName::Filter {
            table
                .chains
                .retain(|chain| primary(&chain.name) || !own.contains(&chain.name));
        }
    }
}
