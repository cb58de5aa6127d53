//! Who asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An authenticated person, program or assistant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Principal {
    /// Stable name: "alice", "os-user:root", "mcp:session".
    pub name: String,
    /// An assistant may diagnose, plan and apply what is approved; it can
    /// never approve (promise 6).
    pub is_assistant: bool,
    /// The person that it acts for, where its name does not say so: one person may
    /// hold a token and be a user of the server's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts_for: Option<String>,
}

/// What Naosu puts before a person's name when it makes a principal's name of it.
const PREFIXES: [&str; 2] = ["mcp:", "os-user:"];

impl Principal {
    /// A person or a program acting for one.
    pub fn person(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_assistant: false,
            acts_for: None,
        }
    }

    /// An AI assistant.
    pub fn assistant(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_assistant: true,
            acts_for: None,
        }
    }

    /// The same principal, acting for this person.
    #[must_use]
    pub fn acting_for(mut self, person: Option<&str>) -> Self {
        self.acts_for = person.map(str::to_owned);
        self
    }

    /// The person behind it: `alice` for the token of alice, for `os-user:alice`, and
    /// for her assistant `mcp:os-user:alice`. Where two people go by one name they
    /// count as one: that asks for an approval too many, never for one too few.
    pub fn person_behind(&self) -> &str {
        let mut person = self.acts_for.as_deref().unwrap_or(&self.name);
        for prefix in PREFIXES {
            person = person.strip_prefix(prefix).unwrap_or(person);
        }
        person
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_stands_behind_a_token_a_user_and_an_assistant() {
        let token = Principal::person("a.smith").acting_for(Some("alice"));
        let principals = [
            Principal::person("alice"),
            Principal::person("os-user:alice"),
            Principal::assistant("mcp:os-user:alice"),
            Principal::assistant("bot").acting_for(Some("alice")),
            token,
        ];
        for principal in principals {
            assert_eq!(principal.person_behind(), "alice", "{principal:?}");
        }
        assert_eq!(Principal::person("bob").person_behind(), "bob");
    }

    #[test]
    fn a_principal_that_acts_for_nobody_else_is_stored_as_before() {
        let stored = serde_json::to_string(&Principal::person("alice")).unwrap();
        assert_eq!(stored, r#"{"name":"alice","is_assistant":false}"#);
    }
}
