//! The engine: everything that a face can ask for, in this process.

mod applying;
mod deciding;
mod diagnosing;
mod making;
mod serving;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    clock::{Clock, SystemClock},
    driver::{Effector, Observer},
    error::{Code, Error},
    plugin::Plugin,
    policy::Policy,
    run::{Executor, RunSettings, Tools},
    store::Store,
};

/// How many diagnoses, plans or runs a list shows.
const LISTED_AT_MOST: u32 = 200;

/// How the engine behaves.
#[derive(Clone)]
pub struct EngineConfig {
    /// Who may approve, how many must, and until when.
    pub policy: Policy,
    /// How long runs wait for things.
    pub runs: RunSettings,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            runs: RunSettings::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Diagnoses, plans and executes. Implements [`crate::Naosu`].
pub struct Engine {
    tools: Arc<Tools>,
    executor: Executor,
    is_executor: AtomicBool,
}

impl Engine {
    /// Starts it. When no other process executes the store's runs, those that
    /// have not ended go on.
    ///
    /// # Errors
    /// `invalid_configuration`, `plugin_duplicate`, or the store's errors.
    pub async fn start(
        config: EngineConfig,
        store: Arc<dyn Store>,
        plugins: Vec<Arc<dyn Plugin>>,
        observer: Arc<dyn Observer>,
        effector: Arc<dyn Effector>,
    ) -> Result<Self, Error> {
        config.policy.check()?;
        let mut by_id = BTreeMap::new();
        for plugin in plugins {
            let id = plugin.info().id.clone();
            if by_id.insert(id.clone(), plugin).is_some() {
                return Err(Error::new(
                    Code::PluginDuplicate,
                    format!("two plugins have the id {id:?}"),
                    "remove one of them",
                ));
            }
        }
        let tools = Arc::new(Tools {
            store,
            observer,
            effector,
            clock: config.clock,
            plugins: by_id,
            policy: config.policy,
            settings: config.runs,
        });
        let engine = Self {
            executor: Executor::new(Arc::clone(&tools)),
            tools,
            is_executor: AtomicBool::new(false),
        };
        engine.try_become_executor().await?;
        Ok(engine)
    }

    /// Finishes and journals the effects in flight, and stops. What is left of
    /// the runs goes on at the next start.
    pub async fn shutdown(&self) {
        self.executor.shutdown().await;
    }

    /// Whether this process executes the store's runs now; the first time, it
    /// goes on with those that have not ended.
    async fn try_become_executor(&self) -> Result<bool, Error> {
        if self.is_executor.load(Ordering::Acquire) {
            return Ok(true);
        }
        if !self.tools.store.try_become_executor()? {
            return Ok(false);
        }
        self.executor.resume().await?;
        self.is_executor.store(true, Ordering::Release);
        Ok(true)
    }

    async fn require_executor(&self) -> Result<(), Error> {
        self.executor.require_open()?;
        if self.try_become_executor().await? {
            return Ok(());
        }
        let who = match self.tools.store.executor() {
            Some(process) => format!("process {process}"),
            None => "another process".to_owned(),
        };
        Err(Error::new(
            Code::ExecutorElsewhere,
            format!("{who} executes the runs of this store"),
            "ask it (`--server`, when it is `naosu serve`), or end it first",
        ))
    }

    fn store(&self) -> &dyn Store {
        self.tools.store.as_ref()
    }
}
