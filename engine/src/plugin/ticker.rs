//! The clock that interrupts guests: it advances the engine's epoch while
//! calls are running and sleeps while none are.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// Length of an epoch.
pub(super) const TICK: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Shared {
    running: Mutex<usize>,
    changed: Condvar,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Advances epochs as long as at least one [`Running`] is held. Ends with the engine.
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

impl Ticker {
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (weak, engine) = (Arc::downgrade(&shared), engine.weak());
        std::thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || tick(&weak, &engine))?;
        Ok(Self { shared })
    }

    pub fn run(&self) -> Running {
        *self.shared.running() += 1;
        self.shared.changed.notify_one();
        Running(Arc::clone(&self.shared))
    }
}

/// A call in progress.
pub(super) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.0.running();
        *running = running.saturating_sub(1);
    }
}

fn tick(shared: &Weak<Shared>, engine: &EngineWeak) {
    // Waits are bounded so that the thread ends soon after the host is dropped.
    while let Some(shared) = shared.upgrade() {
        let running = shared.running();
        if *running == 0 {
            let idle = Duration::from_secs(1);
            let (_running, _) = shared
                .changed
                .wait_timeout(running, idle)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        drop(running);
        drop(shared);
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
    }
}
