//! The fields that every kind of rule has, read from ARM's JSON.

use serde_json::Value;

use super::read::text;
use super::verdict::Protocol;
use crate::estate::Direction;

/// A rule that is being read; what is wrong with it is said with its name.
pub(super) struct RuleFields<'a> {
    rule: &'a Value,
    kind: &'static str,
    name: &'a str,
}

impl<'a> RuleFields<'a> {
    /// Of a rule of a kind, such as "security rule".
    pub fn of(rule: &'a Value, kind: &'static str, name: &'a str) -> Self {
        Self { rule, kind, name }
    }

    /// An error of this rule.
    pub fn say(&self, reason: impl std::fmt::Display) -> String {
        format!("{} {}: {reason}", self.kind, self.name)
    }

    /// A field that is a word, in lower case.
    pub fn word(&self, field: &str) -> Result<String, String> {
        text(self.rule, &["properties", field])
            .ok_or_else(|| self.say(format!("it has no {field}")))
            .map(str::to_ascii_lowercase)
    }

    /// Which way it looks.
    pub fn direction(&self) -> Result<Direction, String> {
        match self.word("direction")?.as_str() {
            "inbound" => Ok(Direction::Inbound),
            "outbound" => Ok(Direction::Outbound),
            other => Err(self.say(format!("{other} is no direction"))),
        }
    }

    /// Where it stands.
    pub fn priority(&self) -> Result<u32, String> {
        self.rule
            .pointer("/properties/priority")
            .and_then(Value::as_u64)
            .and_then(|priority| u32::try_from(priority).ok())
            .ok_or_else(|| self.say("it has no priority"))
    }

    /// Its protocols; none means every one, as does the word `any`.
    pub fn protocols(&self, any: &str) -> Result<Vec<Protocol>, String> {
        let word = self.word("protocol")?;
        if word == any {
            return Ok(Vec::new());
        }
        let protocol = Protocol::from_name(&word);
        Ok(vec![protocol.ok_or_else(|| {
            self.say(format!("{word} is no protocol"))
        })?])
    }
}
