//! The files that ufw loads its rules from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one observation of a node's ufw files holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UfwRules {
    /// Whether the program is there at all.
    pub installed: bool,
    /// `ufw show added`.
    pub added: String,
    /// `/etc/ufw/user.rules`.
    pub user_rules: String,
    /// `/etc/ufw/user6.rules`.
    pub user6_rules: String,
    /// `/etc/default/ufw`.
    pub defaults: String,
    /// `/etc/ufw/before.rules`.
    pub before_rules: String,
    /// `/etc/ufw/before6.rules`.
    pub before6_rules: String,
    /// `/etc/ufw/after.rules`.
    pub after_rules: String,
    /// `/etc/ufw/after6.rules`.
    pub after6_rules: String,
    /// Programs that ufw runs when it starts and stops, one a line.
    pub hooks: String,
}

/// What `/etc/default/ufw` sets.
pub(super) struct Settings<'a>(pub(super) &'a str);

impl<'a> Settings<'a> {
    /// The value of a variable, quotes taken off; the last one counts, as in a
    /// shell. None where it is not set plainly.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let line = self.0.lines().rev().find_map(|line| {
            let value = line.trim().strip_prefix(name)?;
            value.strip_prefix('=')
        })?;
        let value = line.trim();
        let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric());
        is_plain.then_some(value)
    }

    pub(super) fn is_yes(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        Some(value == "yes" || value == "YES")
    }
}
