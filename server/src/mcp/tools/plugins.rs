//! Plugins.

use naosu_engine::model::PluginInfo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::catalog::{Entry, LOOK};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Plugins {
    /// One for each cause and its fix.
    plugins: Vec<PluginInfo>,
}

/// `list_plugins`
pub(super) fn list() -> Result<Entry, String> {
    Entry::new(
        "list_plugins",
        "List plugins",
        "Lists the plugins: the cause each one judges, the fix it can plan, and that fix's \
         parameters.",
        LOOK,
        |call, _: Nothing| async move {
            let plugins = call.naosu.plugins().await?;
            Ok(Plugins { plugins })
        },
    )
}
