//! What the text of a symptom says, as far as it is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of text that are told apart. Their names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HintKind {
    /// No answer to packets: `i/o timeout`, `getsockopt: connection timed out`.
    DialTimeout,
    /// What was connected broke off: `EOF`, `http2: client connection lost`.
    ConnectionLost,
    /// `No agent available`.
    NoAgent,
    /// Packets were turned away: `connection refused`, `no route to host`.
    Refused,
    /// The kubelet's port ends the TLS handshake, or shows a certificate that
    /// is not accepted.
    KubeletTls,
    /// `http: server gave HTTP response to HTTPS client`.
    PlainHttp,
    /// Somebody may not do what was asked.
    NotAuthorized,
    /// The API server itself was not reached.
    ApiServer,
    /// An admission webhook or an aggregated API did not answer.
    Webhook,
    /// The pod or container is not there, or does not run yet.
    Workload,
    /// Nothing of the above, or no text at all.
    Unrecognized,
}

impl HintKind {
    /// Each of them.
    pub const ALL: [Self; 11] = [
        Self::DialTimeout,
        Self::ConnectionLost,
        Self::NoAgent,
        Self::Refused,
        Self::KubeletTls,
        Self::PlainHttp,
        Self::NotAuthorized,
        Self::ApiServer,
        Self::Webhook,
        Self::Workload,
        Self::Unrecognized,
    ];
}

/// Whether a text speaks for a fault of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// It speaks for one.
    Tunnel,
    /// It speaks against one: something answered, or was not asked through the
    /// tunnel.
    Elsewhere,
    /// It fits both.
    Open,
}

/// What the text of a symptom says. Orders what is found; decides nothing: a
/// text is copied by hand, may be old, and may be anybody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hint {
    /// Which kind of text it is.
    pub kind: HintKind,
    /// Whether it speaks for a fault of the tunnel.
    pub bearing: Bearing,
    /// One sentence.
    pub meaning: String,
    /// The next thing to do.
    pub next: String,
    /// Causes that it speaks for, the likeliest first. Among findings of one
    /// judgement they come first.
    pub causes: Vec<String>,
    /// Nodes of the cluster that the symptom names, by name or by address.
    /// Evidence about them comes first.
    pub nodes: Vec<String>,
    /// Addresses in the text.
    pub addresses: Vec<String>,
    /// Ports in the text.
    pub ports: Vec<u16>,
    /// What was given as a node and is none of the cluster's.
    pub unknown_nodes: Vec<String>,
    /// What the probes of this diagnosis say to it. They decide.
    pub probe: String,
}
