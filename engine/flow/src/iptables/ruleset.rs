//! What one dump of a node's rules says: tables, chains and rules.

use std::ops::Deref;
use std::sync::Arc;

use super::condition::Condition;
use super::target::Target;

/// The address family of a ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Rules of `iptables`.
    Ipv4,
    /// Rules of `ip6tables`.
    Ipv6,
}

/// The kernel interface a ruleset is loaded through. Both are in force at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// `ip_tables` and `ip6_tables`, written by `iptables-legacy`.
    Legacy,
    /// `nf_tables`, written by `iptables-nft`.
    Nft,
}

/// A table of iptables, in the order in which one hook consults them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    /// Before connection tracking.
    Raw,
    /// Packet alteration.
    Mangle,
    /// Address translation, consulted for the first packet of a connection.
    Nat,
    /// The usual place for verdicts.
    Filter,
    /// Mandatory access control, after `filter`.
    Security,
}

impl TableName {
    /// Every table.
    pub const ALL: [Self; 5] = [
        Self::Raw,
        Self::Mangle,
        Self::Nat,
        Self::Filter,
        Self::Security,
    ];

    /// The name as iptables writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Filter => "filter",
            Self::Security => "security",
        }
    }

    /// The table of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }

    /// The chains the kernel itself calls in this table.
    pub fn built_in_chains(self) -> &'static [&'static str] {
        match self {
            Self::Raw => &["PREROUTING", "OUTPUT"],
            Self::Mangle => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            Self::Nat => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            Self::Filter | Self::Security => &["INPUT", "FORWARD", "OUTPUT"],
        }
    }
}

/// Everything one `iptables-save` or `ip6tables-save` wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The family the rules apply to.
    pub family: Family,
    /// The backend named in the dump's header, where there is one.
    pub backend: Option<Backend>,
    /// Whether the dump warns of legacy tables that it does not show.
    pub legacy_tables_present: bool,
    /// Tables the dump names as unreadable by iptables: they hold rules that
    /// only `nft` can show.
    pub unreadable_tables: Vec<String>,
    /// The tables, in the order of the dump.
    pub tables: Vec<Table>,
}

impl Ruleset {
    /// A ruleset without tables, as on a node where nothing was ever loaded.
    pub fn empty(family: Family) -> Self {
        Self {
            family,
            backend: None,
            legacy_tables_present: false,
            unreadable_tables: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// The table of that name, where the dump has it.
    pub fn table(&self, name: TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The number of rules in all tables.
    pub fn rule_count(&self) -> usize {
        self.tables
            .iter()
            .flat_map(|table| &table.chains)
            .map(|chain| chain.rules.len())
            .sum()
    }
}

/// One table of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which table it is.
    pub name: TableName,
    /// The chains in the order of the dump.
    pub chains: Vec<Chain>,
}

impl Table {
    /// The chain of that name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

/// What a built-in chain does with a packet that no rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainPolicy {
    /// The packet goes on.
    Accept,
    /// The packet is dropped.
    Drop,
}

/// One chain of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The chain's name.
    pub name: String,
    /// The policy of a built-in chain; none for a chain that is jumped to.
    pub policy: Option<ChainPolicy>,
    /// The counters of the policy, where the dump has them.
    pub counters: Option<Counters>,
    /// The line that declares the chain.
    pub line: usize,
    /// The rules in order.
    pub rules: Vec<Rule>,
}

/// Packets and bytes counted by a rule or a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The line of the dump it was read from.
    pub line: usize,
    /// Its counters, where the dump has them.
    pub counters: Option<Counters>,
    /// What it matches and does. Rules that are written alike, on one node or
    /// on many, may share it.
    pub specification: Arc<Specification>,
}

/// What a rule says after `-A CHAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specification {
    /// What a packet must be like, all of it.
    pub conditions: Vec<Condition>,
    /// What happens to such a packet.
    pub target: Target,
}

impl Deref for Rule {
    type Target = Specification;

    fn deref(&self) -> &Specification {
        &self.specification
    }
}

impl Rule {
    /// Whether two rules match and do the same, wherever they were read from:
    /// the comparison `iptables --delete` makes.
    pub fn same_specification(&self, other: &Self) -> bool {
        if self.target != other.target {
            return false;
        }
        let essential = |rule: &Self| -> Vec<Condition> {
            let mut conditions: Vec<Condition> = rule
                .conditions
                .iter()
                .filter(|c| !c.is_vacuous())
                .cloned()
                .collect();
            conditions.sort();
            conditions
        };
        essential(self) == essential(other)
    }

    /// The text of the rule's comment, where it has one.
    pub fn comment(&self) -> Option<&str> {
        self.conditions
            .iter()
            .find_map(|condition| match condition {
                Condition::Comment(text) => Some(text.as_str()),
                _ => None,
            })
    }
}
