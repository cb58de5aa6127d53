//! What the handlers share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::operations::Operations;
use super::run_command::RunCommands;
use super::service_tags::ServiceTags;
use super::store::Store;
use super::tokens::Tokens;
use crate::data_plane::{ArmResources, DataPlane, DataPlaneError};

/// The emulator's state.
pub(super) struct State {
    pub store: Mutex<Store>,
    pub operations: Operations,
    pub tokens: Tokens,
    pub metrics: Metrics,
    pub run_commands: RunCommands,
    pub service_tags: ServiceTags,
    pub kubeconfig: Mutex<String>,
    pub data_plane: Arc<dyn DataPlane>,
    pub endpoint: OnceLock<String>,
    pub operation_duration: Duration,
    pub retry_after_seconds: u32,
    pub page_size: usize,
    /// Groups, in lower case, in which only reading is allowed.
    pub locked_groups: Mutex<BTreeSet<String>>,
    /// Patterns over request paths on which the caller has no rights.
    pub forbidden: Mutex<Vec<String>>,
    /// How many conditional writes still find that someone wrote before them.
    pub etag_conflicts: AtomicU32,
    /// One enforcement at a time, so that the newest snapshot is the last.
    pub enforcing: tokio::sync::Mutex<()>,
    pub stop: CancellationToken,
}

impl State {
    /// The store, locked; never across an await.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where clients reach the emulator.
    pub fn endpoint(&self) -> &str {
        self.endpoint.get().map(String::as_str).unwrap_or_default()
    }

    /// Everything, as Azure shows it.
    pub fn snapshot(&self) -> ArmResources {
        let store = self.store();
        store.all().map(|stored| store.render(stored)).collect()
    }

    /// Makes the packets follow the resources.
    pub async fn enforce(&self) -> Result<(), DataPlaneError> {
        let _one_at_a_time = self.enforcing.lock().await;
        let snapshot = self.snapshot();
        self.data_plane.enforce(&snapshot).await
    }

    /// Takes one from a counter of misbehaviour; `false` when none is left.
    pub fn take_one(counter: &AtomicU32) -> bool {
        counter
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}
