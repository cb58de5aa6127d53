//! The host of all plugins: loads components and checks them before any runs.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Semaphore;
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use super::{
    Plugin,
    bindings::PluginPre,
    cache::Cache,
    compile::compile,
    component::{Callable, ComponentPlugin, Shared},
    error::PluginError,
    grants::Grants,
    imports,
    limits::Limits,
    sandbox,
    state::{self, State},
    ticker::Ticker,
};
use crate::{
    error::{Code, Error},
    model::{Capability, Digest, PluginInfo},
};

/// The contract that this host speaks.
pub const CONTRACT: &str = "naosu:plugin@0.1.0";

/// First bytes of a component; a core module has other ones from the fifth on.
const COMPONENT_PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const WASM_MAGIC: [u8; 4] = *b"\0asm";

/// Where a component came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built into the server.
    Bundled,
    /// Read from this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("bundled"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How the host is set up.
#[derive(Clone, Debug, Default)]
pub struct HostSettings {
    /// What one call may use.
    pub limits: Limits,
    /// What plugins may read.
    pub grants: Grants,
    /// Where compiled code is kept; `None` compiles at every start.
    pub cache_directory: Option<PathBuf>,
}

/// Loads plugins.
pub struct PluginHost {
    shared: Arc<Shared>,
    linker: Linker<State>,
    grants: Grants,
    cache: Option<Cache>,
}

impl PluginHost {
    /// Sets up the sandbox.
    ///
    /// A cache directory that cannot be trusted is not used, and a log line says so.
    ///
    /// # Errors
    /// When the process may not reserve the address space that the limits ask for.
    pub fn new(settings: HostSettings) -> Result<Self, Error> {
        let sandbox = |reason: String| PluginError::Sandbox { reason };
        let engine = sandbox::engine(&settings.limits)?;
        let mut linker = Linker::new(&engine);
        state::link(&mut linker).map_err(|e| sandbox(format!("{e:#}")))?;
        let ticker = Ticker::start(&engine).map_err(|e| sandbox(e.to_string()))?;
        let cache = settings
            .cache_directory
            .as_deref()
            .and_then(|directory| open_cache(directory, &engine));
        let slots = Semaphore::new(settings.limits.concurrent_calls.max(1) as usize);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                ticker,
                limits: settings.limits,
                slots,
            }),
            linker,
            grants: settings.grants,
            cache,
        })
    }

    /// Loads a component file.
    ///
    /// # Errors
    /// As [`Self::load`]; a file that cannot be read is `invalid_configuration`.
    pub async fn load_file(&self, path: &Path) -> Result<Arc<dyn Plugin>, Error> {
        let limit = self.shared.limits.component_bytes as u64;
        let unreadable = |e: std::io::Error| {
            Error::new(
                Code::InvalidConfiguration,
                format!("the plugin {} cannot be read: {e}", path.display()),
                "check the path and its permissions",
            )
        };
        let metadata = tokio::fs::metadata(path).await.map_err(unreadable)?;
        let origin = Origin::File(path.to_owned());
        if metadata.len() > limit {
            return Err(too_large(&origin, metadata.len(), limit).into());
        }
        let bytes = tokio::fs::read(path).await.map_err(unreadable)?;
        self.load(&bytes, origin).await
    }

    /// Loads a component: content address, compilation or cache, type check,
    /// imports, description, grants.
    ///
    /// # Errors
    /// `plugin_not_a_component`, `plugin_wrong_world`, `plugin_import_undeclared`,
    /// `plugin_capability_not_granted`, `plugin_limit_exceeded`, `plugin_trapped`
    /// or `plugin_misbehaved`, each naming what is wrong.
    pub async fn load(&self, bytes: &[u8], origin: Origin) -> Result<Arc<dyn Plugin>, Error> {
        self.load_addressed(bytes, Digest::of_bytes(bytes), origin)
            .await
    }

    /// [`Self::load`] of a component whose content address is known: where its
    /// compiled code is in the cache, its own bytes are hardly touched, and so not
    /// held in memory.
    ///
    /// # Errors
    /// As [`Self::load`]; `plugin_misbehaved` where it is not the address of what is
    /// to be compiled.
    pub async fn load_addressed(
        &self,
        bytes: &[u8],
        digest: Digest,
        origin: Origin,
    ) -> Result<Arc<dyn Plugin>, Error> {
        let limits = &self.shared.limits;
        if bytes.len() > limits.component_bytes {
            let (size, limit) = (bytes.len() as u64, limits.component_bytes as u64);
            return Err(too_large(&origin, size, limit).into());
        }
        check_preamble(bytes, &origin)?;
        let component = self.compiled(bytes, &digest, &origin).await?;
        let imports = imports::of(&self.shared.engine, &component);
        let undeclared: Vec<String> = imports
            .iter()
            .filter(|import| !imports::is_allowed(import))
            .cloned()
            .collect();
        if !undeclared.is_empty() {
            return Err(PluginError::ImportUndeclared {
                origin: origin.to_string(),
                imports: undeclared,
            }
            .into());
        }
        let pre = self
            .linker
            .instantiate_pre(&component)
            .and_then(PluginPre::new)
            .map_err(|e| PluginError::WrongWorld {
                origin: origin.to_string(),
                reason: format!("{e:#}"),
            })?;
        let mut callable = Callable {
            shared: Arc::clone(&self.shared),
            pre,
            name: origin.to_string(),
            granted: Arc::new(BTreeSet::new()),
        };
        let description = callable.describe().await?;
        let granted = self.grants.of(&description.id, &origin, &digest);
        let asked: BTreeSet<Capability> = description.capabilities.iter().copied().collect();
        let capabilities: Vec<Capability> = asked.difference(&granted).copied().collect();
        if !capabilities.is_empty() {
            let id = description.id;
            return Err(PluginError::CapabilityNotGranted { id, capabilities }.into());
        }
        callable.name.clone_from(&description.id);
        // What it did not ask for it cannot read, granted or not.
        callable.granted = Arc::new(asked);
        Ok(Arc::new(ComponentPlugin {
            callable,
            info: PluginInfo {
                id: description.id,
                version: description.version,
                digest,
                contract: CONTRACT.to_owned(),
                cause: description.cause,
                summary: description.summary,
                fix: description.fix,
                parameters: description.parameters,
                capabilities: description.capabilities,
                effects: description.effects,
                imports,
                source: origin.to_string(),
            },
        }))
    }

    /// From the cache, else compiled and put there.
    async fn compiled(
        &self,
        bytes: &[u8],
        digest: &Digest,
        origin: &Origin,
    ) -> Result<Component, PluginError> {
        let engine = &self.shared.engine;
        if let Some(cache) = &self.cache {
            match cache.load(engine, digest) {
                Ok(Some(component)) => return Ok(component),
                Ok(None) => {}
                Err(e) => tracing::warn!("compiled plugin is rebuilt: {e}"),
            }
        }
        let found = Digest::of_bytes(bytes);
        if found != *digest {
            return Err(PluginError::Misbehaved {
                plugin: origin.to_string(),
                field: "digest".to_owned(),
                reason: format!("its bytes have the address {found}, not {digest}"),
            });
        }
        let compiled = compile(engine, bytes, &self.shared.limits, origin).await?;
        if let Some(cache) = &self.cache
            && let Err(e) = cache.store(digest, &compiled.code)
        {
            tracing::warn!("compiled plugin is not kept: {e}");
        }
        Ok(compiled.component)
    }
}

fn open_cache(directory: &Path, engine: &Engine) -> Option<Cache> {
    Cache::open(directory, engine)
        .inspect_err(|e| tracing::warn!("plugins are compiled at every start: {e}"))
        .ok()
}

fn too_large(origin: &Origin, size: u64, limit: u64) -> PluginError {
    PluginError::LimitExceeded {
        plugin: origin.to_string(),
        what: format!("the file has {size} bytes, at most {limit} are allowed"),
    }
}

fn check_preamble(bytes: &[u8], origin: &Origin) -> Result<(), PluginError> {
    if bytes.starts_with(&COMPONENT_PREAMBLE) {
        return Ok(());
    }
    let reason = if bytes.starts_with(&WASM_MAGIC) {
        "it is a core module, or a component of another version"
    } else if bytes.is_empty() {
        "it is empty"
    } else {
        "it does not begin like one"
    };
    Err(PluginError::NotAComponent {
        origin: origin.to_string(),
        reason: reason.to_owned(),
    })
}
