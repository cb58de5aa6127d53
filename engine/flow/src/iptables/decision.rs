//! What decided about a packet.

use std::fmt;

use super::ruleset::{Backend, Family, TableName};
use crate::policy::Verdict;

/// Where a rule stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulePlace {
    /// The family of the ruleset.
    pub family: Family,
    /// The backend of the ruleset.
    pub backend: Backend,
    /// The table.
    pub table: TableName,
    /// The chain.
    pub chain: String,
    /// The 1-based number of the rule in its chain.
    pub number: usize,
    /// The line of the dump.
    pub line: usize,
    /// The rule as `iptables-save` writes it, without `-A CHAIN`.
    pub specification: String,
}

impl fmt::Display for RulePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} rule {} (line {}): {}",
            program(self.family, self.backend),
            self.table.as_str(),
            printable(&self.chain),
            self.number,
            self.line,
            printable(&self.specification),
        )
    }
}

/// A node's text without what a terminal would act on.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => printable.push(c),
            _ => printable.extend(c.escape_debug()),
        }
    }
    printable
}

/// The program that shows a backend's rules of a family.
pub(super) fn program(family: Family, backend: Backend) -> &'static str {
    match (family, backend) {
        (Family::Ipv4, Backend::Legacy) => "iptables-legacy",
        (Family::Ipv4, Backend::Nft) => "iptables-nft",
        (Family::Ipv6, Backend::Legacy) => "ip6tables-legacy",
        (Family::Ipv6, Backend::Nft) => "ip6tables-nft",
    }
}

/// What decides about packets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecidedBy {
    /// A rule.
    Rule(RulePlace),
    /// The policy of a built-in chain.
    ChainPolicy {
        /// The family of the ruleset.
        family: Family,
        /// The backend of the ruleset.
        backend: Backend,
        /// The table.
        table: TableName,
        /// The chain.
        chain: String,
    },
    /// No table filters the packet.
    NoFilter,
    /// Rules that exist but were not shown.
    Unread {
        /// Which rules they are.
        what: String,
    },
}

impl DecidedBy {
    /// The same words wherever in its chain a rule stands.
    pub(super) fn without_number(&self) -> String {
        match self {
            Self::Rule(place) => format!(
                "{} {} {}: {}",
                program(place.family, place.backend),
                place.table.as_str(),
                printable(&place.chain),
                printable(&place.specification)
            ),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(place) => place.fmt(f),
            Self::ChainPolicy {
                family,
                backend,
                table,
                chain,
            } => write!(
                f,
                "{} {} {chain} policy",
                program(*family, *backend),
                table.as_str()
            ),
            Self::NoFilter => f.write_str("no rule filters it"),
            Self::Unread { what } => f.write_str(what),
        }
    }
}

/// One decision and what made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// What happens to the packets.
    pub verdict: Verdict,
    /// What decides so.
    pub by: DecidedBy,
    /// Why the verdict is unknown, where it is.
    pub reason: Option<String>,
}
