//! The sections of the file, as written. Checked and resolved in `check`.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use naosu_engine::{plugin::Grants, policy::Policy};
use serde::{Deserialize, Serialize};

use crate::drivers::config::{AzureConfig, KubernetesConfig, NodeConfig};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sections {
    /// The server that commands talk to; absent, they run the engine themselves.
    pub server: Option<String>,
    /// How commands are known to that server.
    pub client: ClientSection,
    /// Where `naosu serve` listens.
    pub listen: ListenSection,
    /// Who may call it.
    pub auth: AuthSection,
    /// What it writes to standard error.
    pub log: LogSection,
    /// Where diagnoses, plans and journals are kept.
    pub store: StoreSection,
    /// Plugins beside the bundled ones, and what each may read.
    pub plugins: PluginsSection,
    /// Who may approve, how many must, and until when.
    pub policy: Policy,
    /// How long runs wait.
    pub runs: RunsSection,
    /// How Azure is reached.
    pub azure: AzureConfig,
    /// How API servers are reached.
    pub kubernetes: KubernetesConfig,
    /// How nodes are commanded.
    pub node: NodeConfig,
}

/// Where diagnoses, plans and journals are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// SQLite file; absent means the user's state folder.
    pub path: Option<PathBuf>,
}

/// Plugins beside the bundled ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsSection {
    /// Folder whose `*.wasm` files are loaded.
    pub folder: Option<PathBuf>,
    /// Folder of compiled code; absent means the user's cache folder.
    pub cache: Option<PathBuf>,
    /// What plugins may read, by id. Bundled ones may read everything unless
    /// they are named.
    pub grants: Grants,
}

/// How long runs wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunsSection {
    /// How long a change may take until verification sees it, in seconds.
    pub verify_for_seconds: u64,
    /// Between two looks of a verification, in milliseconds.
    pub verify_pause_ms: u64,
    /// Before a target that could not be read is read again, in milliseconds.
    pub retry_pause_ms: u64,
}

impl Default for RunsSection {
    fn default() -> Self {
        Self {
            verify_for_seconds: 120,
            verify_pause_ms: 2_000,
            retry_pause_ms: 2_000,
        }
    }
}

/// How commands are known to the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSection {
    /// File that holds the bearer token.
    pub token_file: Option<PathBuf>,
    /// Certificates to trust, in PEM, for https.
    pub ca_file: Option<PathBuf>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSection {
    /// Unix-domain socket.
    pub unix: Option<PathBuf>,
    /// Its permission bits, in octal.
    pub unix_mode: String,
    /// TCP address.
    pub tcp: Option<SocketAddr>,
    /// Certificate chain for TCP, in PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub tls_key: Option<PathBuf>,
}

impl Default for ListenSection {
    fn default() -> Self {
        Self {
            unix: None,
            unix_mode: "0600".to_owned(),
            tcp: None,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSection {
    /// File of bearer tokens.
    pub tokens_file: Option<PathBuf>,
    /// Roles of users of this machine, by name.
    pub os_users: BTreeMap<String, RoleName>,
    /// Role of the users of this machine who are not named, or "none".
    pub other_os_users: RoleName,
    /// Role of callers by TCP from this machine without a token, or "none".
    pub loopback: RoleName,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            tokens_file: None,
            os_users: BTreeMap::new(),
            // The socket's permission bits let only its owner and root in.
            other_os_users: RoleName::Approver,
            loopback: RoleName::None,
        }
    }
}

/// A role, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// Refused.
    None,
    /// Diagnoses, plans and applies what is approved.
    Requester,
    /// The same, and approves and rejects.
    Approver,
    /// A requester that can never become an approver.
    Assistant,
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// Level, or directives such as "info,naosu_engine=debug".
    pub level: String,
    /// "text" or "json".
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: "warn,kube_client=off".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The file of bearer tokens: a table a holder.
pub type TokensFile = BTreeMap<String, TokenSection>;

/// One holder of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// SHA-256 of the token, 64 hex digits.
    pub sha256: String,
    /// What the holder may do.
    pub role: RoleName,
    /// The user of the server's machine who is the same person, or whose assistant
    /// it is; without it, the user of the holder's name.
    #[serde(default)]
    pub os_user: Option<String>,
}
