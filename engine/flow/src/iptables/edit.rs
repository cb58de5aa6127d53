//! Changes of a ruleset: what `iptables --insert` and `--delete` do.

use super::error::excerpt;
use super::ruleset::{Rule, Ruleset, TableName};

/// A change of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts a rule at a place.
    Insert {
        /// The table.
        table: TableName,
        /// The chain.
        chain: String,
        /// The number the rule will have, from 1 to one more than there are.
        number: usize,
        /// The rule.
        rule: Rule,
    },
    /// Removes the first rule with the same specification.
    Delete {
        /// The table.
        table: TableName,
        /// The chain.
        chain: String,
        /// A rule that matches and does the same.
        rule: Rule,
    },
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such chain.
    #[error("there is no chain {chain:?} in table {table:?}; read the rules again")]
    NoChain {
        /// The table.
        table: &'static str,
        /// The chain.
        chain: String,
    },
    /// The number is neither that of a rule nor the next one.
    #[error("chain {chain:?} has {count} rules, so none can be put at {number}")]
    NoPlace {
        /// The chain.
        chain: String,
        /// How many rules it has.
        count: usize,
        /// The number asked for.
        number: usize,
    },
    /// No rule of the chain has that specification.
    #[error("chain {chain:?} has no rule {specification:?}; it may be deleted already")]
    NoRule {
        /// The chain.
        chain: String,
        /// The specification asked for.
        specification: String,
    },
}

impl EditError {
    /// The stable, machine-readable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoChain { .. } => "no_such_chain",
            Self::NoPlace { .. } => "no_such_rule_number",
            Self::NoRule { .. } => "no_such_rule",
        }
    }
}

impl Ruleset {
    /// The ruleset after a change, and the number the rule has or had.
    ///
    /// # Errors
    /// [`EditError`] when the chain, place or rule is not there.
    pub fn edited(&self, edit: &Edit) -> Result<(Self, usize), EditError> {
        let mut edited = self.clone();
        let (table, chain) = match edit {
            Edit::Insert { table, chain, .. } | Edit::Delete { table, chain, .. } => (table, chain),
        };
        let rules = edited
            .tables
            .iter_mut()
            .find(|candidate| candidate.name == *table)
            .and_then(|table| {
                table
                    .chains
                    .iter_mut()
                    .find(|candidate| candidate.name == *chain)
            })
            .map(|chain| &mut chain.rules)
            .ok_or_else(|| EditError::NoChain {
                table: table.as_str(),
                chain: excerpt(chain),
            })?;
        let number = match edit {
            Edit::Insert { number, rule, .. } => {
                let count = rules.len();
                let at = number.checked_sub(1).filter(|at| *at <= count);
                let Some(at) = at else {
                    return Err(EditError::NoPlace {
                        chain: excerpt(chain),
                        count,
                        number: *number,
                    });
                };
                rules.insert(at, rule.clone());
                *number
            }
            Edit::Delete { rule, .. } => {
                let Some(at) = rules
                    .iter()
                    .position(|other| other.same_specification(rule))
                else {
                    return Err(EditError::NoRule {
                        chain: excerpt(chain),
                        specification: excerpt(rule.to_string().trim_start()),
                    });
                };
                rules.remove(at);
                at + 1
            }
        };
        Ok((edited, number))
    }
}
