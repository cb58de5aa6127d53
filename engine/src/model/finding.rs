//! A cause judged on a cluster.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How sure a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// The evidence shows the cause at work.
    Confirmed,
    /// The evidence fits the cause, and others.
    Suspected,
    /// What decides could not be read or is not modelled.
    Unknown,
    /// The evidence excludes the cause.
    RuledOut,
}

/// The value that decides, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// ARM id, `node/<name>`, `pod/<namespace>/<name>`.
    pub resource: String,
    /// Path of the field.
    pub field: String,
    /// Its value, as read.
    pub value: String,
    /// When it was read.
    pub observed_at: Timestamp,
    /// What it means for the cause.
    pub meaning: String,
}

/// Packets that the tunnel needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// "Tcp" or "Udp".
    pub protocol: String,
    /// Prefixes in CIDR notation.
    pub source_prefixes: Vec<String>,
    /// Prefixes in CIDR notation.
    pub destination_prefixes: Vec<String>,
    /// "10250" or "30000-32767".
    pub destination_ports: Vec<String>,
}

/// A cause judged on a cluster, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Id of the plugin that judged.
    pub plugin: String,
    /// Stable id of the cause.
    pub cause: String,
    /// How sure.
    pub judgement: Judgement,
    /// One sentence.
    pub summary: String,
    /// What decides.
    pub evidence: Vec<Evidence>,
    /// What a fix must let pass, and no more.
    pub required_flows: Vec<Flow>,
    /// Why the fix cannot be done here and what can, if so.
    pub infeasible: Option<String>,
    /// The plugin's own notes for planning; opaque to everyone else.
    pub subject: serde_json::Value,
}
