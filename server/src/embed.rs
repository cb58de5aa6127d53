//! The engine in this process: store, plugins and drivers put together.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use naosu_engine::{
    Code, Error, Naosu,
    engine::{Engine, EngineConfig},
    model::Digest,
    plugin::{HostSettings, Limits, Origin, Plugin, PluginHost},
    store::SqliteStore,
};

use crate::{
    config::{Config, default_store},
    drivers::Drivers,
};

/// A running engine.
pub struct Embedded {
    engine: Arc<Engine>,
}

impl Embedded {
    /// Starts it. Nothing outside is asked yet: drivers connect when they are
    /// first used. Runs that have not ended go on.
    ///
    /// # Errors
    /// When the store, a plugin or a driver cannot be set up.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        let embedded = &config.engine;
        make_own_folder(&embedded.store)?;
        let store = SqliteStore::open(&embedded.store)?;
        let plugins = plugins(config).await?;
        let drivers = Arc::new(Drivers::connect(embedded.drivers.clone())?);
        let settings = EngineConfig {
            policy: embedded.policy.clone(),
            runs: embedded.runs,
            ..EngineConfig::default()
        };
        let engine = Engine::start(
            settings,
            Arc::new(store),
            plugins,
            Arc::clone(&drivers) as Arc<_>,
            drivers,
        )
        .await?;
        Ok(Self {
            engine: Arc::new(engine),
        })
    }

    /// The façade.
    pub fn naosu(&self) -> Arc<dyn Naosu> {
        Arc::clone(&self.engine) as Arc<dyn Naosu>
    }

    /// Finishes the effect in flight, journals it, and ends.
    pub async fn shutdown(self) {
        self.engine.shutdown().await;
    }
}

/// Makes the folder that Naosu keeps its store in by default. One that was named is
/// not made: a name that is mistyped would else be an empty store.
fn make_own_folder(store: &Path) -> Result<(), Error> {
    let Some(folder) = store.parent() else {
        return Ok(());
    };
    if store == default_store() {
        // What was read of clusters is nobody else's.
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        return made.map_err(|e| unusable(folder, &e));
    }
    // A bare file name is in the working directory, which is there.
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        return Err(Error::new(
            Code::InvalidConfiguration,
            format!("store.path: there is no folder {}", folder.display()),
            "make that folder, or correct `store.path`",
        ));
    }
    Ok(())
}

fn bundled_digest(component: &naosu_bundle::Component) -> Result<Digest, Error> {
    Digest::parse(component.digest).ok_or_else(|| {
        Error::new(
            Code::Internal,
            format!("plugin {} was bundled without its address", component.id),
            "report it",
        )
    })
}

/// The plugins that come with Naosu, then those of the folder by file name.
async fn plugins(config: &Config) -> Result<Vec<Arc<dyn Plugin>>, Error> {
    let embedded = &config.engine;
    let host = PluginHost::new(HostSettings {
        limits: Limits::default(),
        grants: embedded.grants.clone(),
        cache_directory: Some(embedded.plugin_cache.clone()),
    })?;
    let mut plugins = Vec::new();
    for component in naosu_bundle::COMPONENTS {
        let digest = bundled_digest(component)?;
        let loaded = host.load_addressed(component.bytes, digest, Origin::Bundled);
        plugins.push(loaded.await?);
        // Compiling takes seconds where nothing is cached; who is asked to end
        // meanwhile must hear it.
        tokio::task::yield_now().await;
    }
    if let Some(folder) = &embedded.plugin_folder {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| unusable(folder, &e))? {
            let path = entry.map_err(|e| unusable(folder, &e))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            plugins.push(host.load_file(&file).await?);
        }
    }
    let loaded: Vec<&str> = plugins.iter().map(|p| p.info().id.as_str()).collect();
    for id in embedded.grants.0.keys() {
        if !loaded.contains(&id.as_str()) {
            tracing::warn!(%id, "`plugins.grants` names a plugin that is not loaded");
        }
    }
    give_back_memory();
    Ok(plugins)
}

/// Gives memory that compiling plugins took, and that is free by now, back to the
/// system: a server that compiled at its start would else hold it for good.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim only releases pages that hold nothing; it may be called
    // at any time, by any thread.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

fn unusable(folder: &Path, error: &io::Error) -> Error {
    Error::new(
        Code::InvalidConfiguration,
        format!("{}: {error}", folder.display()),
        "name a folder that can be used: `store.path`, `plugins.folder`",
    )
}
