//! From sections to what the program uses: what serde cannot know is checked here.

mod drivers;
mod files;
mod limits;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use naosu_engine::{Error, plugin::Grants, policy::Policy, run::RunSettings};

use super::{
    Problem,
    document::Document,
    error_of_problems,
    nearest::nearest,
    origin::Origin,
    read,
    sections::{RoleName, Sections, TokensFile},
};
use crate::{
    auth::{Authenticator, Role, TokenHolder, Tokens},
    drivers::DriverConfig,
    grpc::{client::ServerAddress, limits::Limits, serve::Listen},
    log::LogConfig,
};

/// A configuration in which everything has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server to talk to; absent, the engine runs in this process.
    pub server: Option<ServerAddress>,
    /// Where `naosu serve` listens.
    pub listen: Listen,
    /// Who may call it.
    pub authenticator: Authenticator,
    /// What is written to standard error.
    pub log: LogConfig,
    /// What the engine in this process works with.
    pub engine: EmbeddedConfig,
}

/// What the engine in this process works with.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// SQLite file.
    pub store: PathBuf,
    /// Folder whose `*.wasm` files are loaded.
    pub plugin_folder: Option<PathBuf>,
    /// Folder of compiled code.
    pub plugin_cache: PathBuf,
    /// What plugins may read.
    pub grants: Grants,
    /// Who may approve, how many must, and until when.
    pub policy: Policy,
    /// How long runs wait.
    pub runs: RunSettings,
    /// How Azure, API servers and nodes are reached.
    pub drivers: DriverConfig,
}

pub(super) fn check(sections: &Sections, document: Document) -> Result<Config, Error> {
    let mut checker = Checker { document };
    let config = Config {
        server: checker.server(sections),
        listen: checker.listen(sections),
        authenticator: checker.authenticator(sections),
        log: checker.log(sections),
        engine: checker.engine(sections),
    };
    if checker.document.problems.is_empty() {
        Ok(config)
    } else {
        Err(error_of_problems(&checker.document.problems))
    }
}

struct Checker {
    document: Document,
}

impl Checker {
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let offset = self.document.offset_of(key);
        let place = offset.and_then(|offset| self.document.sources.place(offset));
        self.document.problems.push(Problem {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn server(&mut self, sections: &Sections) -> Option<ServerAddress> {
        let client = &sections.client;
        let token = client
            .token_file
            .as_ref()
            .and_then(|path| self.text("client.token_file", path))
            .map(|text| text.trim().to_owned());
        self.certificates("client.ca_file", client.ca_file.as_ref());
        let url = sections.server.clone().filter(|url| !url.is_empty())?;
        let path = url.strip_prefix("unix://");
        let parsed = url::Url::parse(&url).ok();
        let host = parsed.as_ref().and_then(url::Url::host);
        match (path, parsed.as_ref().map(url::Url::scheme)) {
            (Some(path), _) if path.starts_with('/') => {}
            (None, Some("https")) if host.is_some() => {
                if client.ca_file.is_none() {
                    self.wrong("server", "https needs `client.ca_file`");
                }
            }
            (None, Some("http")) if host.as_ref().is_some_and(is_loopback) => {}
            (None, Some("http")) if host.is_some() => self.wrong(
                "server",
                format!("{url:?} would send the token in the clear; use https"),
            ),
            _ => self.wrong(
                "server",
                format!(
                    "{url:?} is not unix:///<path>, http://<host>:<port> or https://<host>:<port>"
                ),
            ),
        }
        Some(ServerAddress {
            url,
            token,
            ca_file: client.ca_file.clone(),
        })
    }

    fn listen(&mut self, sections: &Sections) -> Listen {
        let listen = &sections.listen;
        let unix_mode = match u32::from_str_radix(&listen.unix_mode, 8) {
            Ok(mode) if mode <= 0o777 => mode,
            _ => {
                let message = format!("{:?} is not octal, such as \"0660\"", listen.unix_mode);
                self.wrong("listen.unix_mode", message);
                0o600
            }
        };
        self.nobody_approves_by_default(sections, unix_mode);
        self.certificates("listen.tls_certificate", listen.tls_certificate.as_ref());
        self.file("listen.tls_key", listen.tls_key.as_ref());
        let tls = match (&listen.tls_certificate, &listen.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("listen.tls_certificate", "needs `listen.tls_key` too");
                None
            }
            (None, Some(_)) => {
                self.wrong("listen.tls_key", "needs `listen.tls_certificate` too");
                None
            }
        };
        if let Some(address) = listen.tcp
            && !address.ip().is_loopback()
            && tls.is_none()
        {
            self.wrong(
                "listen.tcp",
                format!(
                    "{address} is not loopback, and tokens would travel in the clear; \
                     give `listen.tls_certificate` and `listen.tls_key`"
                ),
            );
        }
        Listen {
            unix: listen.unix.clone(),
            unix_mode,
            tcp: listen.tcp,
            tls,
            limits: Limits::default(),
        }
    }

    /// That every user of this machine is an approver rests on the socket's being
    /// its owner's alone. Who lets others in has to say what they may do.
    fn nobody_approves_by_default(&mut self, sections: &Sections, unix_mode: u32) {
        let is_said = self.document.offset_of("auth.other_os_users").is_some();
        if sections.listen.unix.is_some() && unix_mode & 0o077 != 0 && !is_said {
            self.wrong(
                "listen.unix_mode",
                format!(
                    "{unix_mode:04o} lets other users connect, and each who is not named would \
                     be an approver; say what they are by `auth.other_os_users`, such as \
                     \"requester\" or \"none\""
                ),
            );
        }
    }

    fn authenticator(&mut self, sections: &Sections) -> Authenticator {
        let auth = &sections.auth;
        let tokens = match &auth.tokens_file {
            Some(path) => self.tokens(path),
            None => Tokens::default(),
        };
        let mut os_users = BTreeMap::new();
        for (name, role) in &auth.os_users {
            match role_of_name(*role) {
                Some(role) => {
                    os_users.insert(name.clone(), role);
                }
                None => {
                    let key = format!("auth.os_users.{name}");
                    self.wrong(&key, "\"none\" refuses nobody by name; leave the user out");
                }
            }
        }
        if role_of_name(auth.loopback) == Some(Role::Approver) {
            self.wrong(
                "auth.loopback",
                "anyone on this machine could approve; an approver needs a token or the socket",
            );
        }
        Authenticator {
            tokens,
            os_users,
            other_os_users: role_of_name(auth.other_os_users),
            loopback: role_of_name(auth.loopback),
        }
    }

    /// Problems in the tokens file name its own lines.
    fn tokens(&mut self, path: &Path) -> Tokens {
        let mut tokens = Tokens::default();
        let Some(text) = self.text("auth.tokens_file", path) else {
            return tokens;
        };
        let mut file = Document::new();
        file.lay(Origin::File(path.to_owned()), &text);
        let holders: TokensFile = read::sections(&mut file);
        let mut inner = Self { document: file };
        for (name, holder) in holders {
            match role_of_name(holder.role) {
                None => inner.wrong(&format!("{name}.role"), "\"none\" is no role for a token"),
                Some(role) => {
                    let key = name.clone();
                    let (sha256, os_user) = (holder.sha256, holder.os_user);
                    let holder = TokenHolder {
                        name,
                        role,
                        os_user,
                    };
                    if let Err(e) = tokens.insert(holder, &sha256) {
                        inner.wrong(&key, e.to_string());
                    }
                }
            }
        }
        self.document.problems.extend(inner.document.problems);
        tokens
    }

    fn engine(&mut self, sections: &Sections) -> EmbeddedConfig {
        for (setting, reason) in sections.policy.faults() {
            self.wrong(&format!("policy.{setting}"), reason);
        }
        let plugins = &sections.plugins;
        self.folder("plugins.folder", plugins.folder.as_ref());
        self.grants(sections);
        self.runs(&sections.runs);
        self.azure(&sections.azure);
        self.kubernetes(&sections.kubernetes);
        self.node(&sections.node);
        let store = sections.store.path.clone();
        let cache = plugins.cache.clone();
        EmbeddedConfig {
            store: store.unwrap_or_else(default_store),
            plugin_folder: plugins.folder.clone(),
            plugin_cache: cache.unwrap_or_else(|| user_folder(CACHE).join("plugins")),
            grants: plugins.grants.clone(),
            policy: sections.policy.clone(),
            runs: RunSettings {
                verify_for: Duration::from_secs(sections.runs.verify_for_seconds),
                verify_pause: Duration::from_millis(sections.runs.verify_pause_ms),
                retry_pause: Duration::from_millis(sections.runs.retry_pause_ms),
            },
            drivers: DriverConfig {
                azure: sections.azure.clone(),
                kubernetes: sections.kubernetes.clone(),
                node: sections.node.clone(),
            },
        }
    }

    /// Ids of plugins in a folder are known only when they are loaded.
    fn grants(&mut self, sections: &Sections) {
        let plugins = &sections.plugins;
        if plugins.folder.is_some() {
            return;
        }
        let known: Vec<&str> = naosu_bundle::COMPONENTS.iter().map(|c| c.id).collect();
        for id in plugins.grants.0.keys() {
            if known.contains(&id.as_str()) {
                continue;
            }
            let message = match nearest(id, &known) {
                Some(near) => format!("no plugin has this id; did you mean {near:?}?"),
                None => format!(
                    "no plugin has this id, and `plugins.folder` names none; there are {}",
                    known.join(", ")
                ),
            };
            self.wrong(&format!("plugins.grants.{id}"), message);
        }
    }

    fn log(&mut self, sections: &Sections) -> LogConfig {
        let log = &sections.log;
        if let Err(e) = tracing_subscriber::EnvFilter::try_new(&log.level) {
            self.wrong("log.level", format!("{:?}: {e}", log.level));
        }
        LogConfig {
            level: log.level.clone(),
            format: log.format,
        }
    }
}

/// Variable and usual place of the user's state.
const STATE: (&str, &str) = ("XDG_STATE_HOME", ".local/state");

/// Variable and usual place of what the user can lose.
const CACHE: (&str, &str) = ("XDG_CACHE_HOME", ".cache");

/// The folder of a user without a home is the system's.
/// Where the store is unless a place is named.
pub fn default_store() -> PathBuf {
    user_folder(STATE).join("naosu.sqlite")
}

fn user_folder((variable, below_home): (&str, &str)) -> PathBuf {
    let base = env::var_os(variable)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(below_home)));
    base.unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("naosu")
}

fn role_of_name(name: RoleName) -> Option<Role> {
    match name {
        RoleName::None => None,
        RoleName::Requester => Some(Role::Requester),
        RoleName::Approver => Some(Role::Approver),
        RoleName::Assistant => Some(Role::Assistant),
    }
}

fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => *name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    }
}
