//! The engine in this process: store, plugins and drivers put together.

use std::sync::Arc;

use naosu_engine::{Code, Error, Naosu};

use crate::config::Config;

/// A running engine.
pub struct Embedded {
    naosu: Arc<dyn Naosu>,
}

impl Embedded {
    /// Starts it.
    ///
    /// # Errors
    /// When the store, a plugin or a driver cannot be set up.
    pub async fn start(_config: &Config) -> Result<Self, Error> {
        Err(Error::new(
            Code::Unsupported,
            "this build has no engine of its own",
            "name a server by --server",
        ))
    }

    /// The façade.
    pub fn naosu(&self) -> Arc<dyn Naosu> {
        Arc::clone(&self.naosu)
    }

    /// Finishes the effect in flight, journals it, and ends.
    pub async fn shutdown(self) {}
}
