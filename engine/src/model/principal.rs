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
}

impl Principal {
    /// A person or a program acting for one.
    pub fn person(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_assistant: false,
        }
    }

    /// An AI assistant.
    pub fn assistant(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_assistant: true,
        }
    }
}
