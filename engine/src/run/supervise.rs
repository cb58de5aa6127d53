//! Keeps runs going: a live server drives each run until its journal says that it
//! has ended, whatever comes in between.

use std::{
    any::Any,
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;

use super::{Driving, log::RunLog};
use crate::{
    error::{Code, Error},
    model::{Event, RunId},
};

/// Before a run that stopped is driven again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a run may fail by a fault of Naosu's own before a person must look.
const FAULTS_AT_MOST: u32 = 3;

/// The runs that are driven, and whether more was asked of one meanwhile.
#[derive(Clone, Default)]
pub(super) struct Driven(Arc<Mutex<HashMap<RunId, bool>>>);

impl Driven {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<RunId, bool>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nobody drives the run yet. Who does is told that there is more.
    pub(super) fn begin(&self, id: &RunId) -> Option<Hold> {
        self.with(|runs| match runs.get_mut(id) {
            Some(more) => {
                *more = true;
                None
            }
            None => {
                runs.insert(id.clone(), false);
                Some(Hold {
                    driven: self.clone(),
                    id: id.clone(),
                    is_let_go: false,
                })
            }
        })
    }
}

/// Held by who drives a run; let go however that ends.
pub(super) struct Hold {
    driven: Driven,
    id: RunId,
    is_let_go: bool,
}

impl Hold {
    /// Whether there is nothing more to drive; then the run is let go, in one.
    fn is_done(&mut self) -> bool {
        self.is_let_go = self.driven.with(|runs| match runs.get_mut(&self.id) {
            Some(more) if *more => {
                *more = false;
                false
            }
            _ => {
                runs.remove(&self.id);
                true
            }
        });
        self.is_let_go
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Once let go it may be another's.
        if !self.is_let_go {
            self.driven.with(|runs| runs.remove(&self.id));
        }
    }
}

impl Driving {
    /// Drives a run to its end: again when the store fails, and to *stuck* when
    /// Naosu itself does.
    pub(super) async fn supervise(&self, mut hold: Hold) {
        let id = &hold.id.clone();
        let (mut pause, mut faults) = (FIRST_PAUSE, 0);
        loop {
            let Err(mut error) = self.drive_once(id).await else {
                self.tell();
                if hold.is_done() {
                    return;
                }
                continue;
            };
            self.tell();
            match error.code {
                // The next start goes on, or who executes the runs now.
                Code::ShuttingDown | Code::ExecutorElsewhere => return,
                Code::Internal | Code::StoreCorrupt => faults += 1,
                _ => {}
            }
            tracing::error!(run = %id.0, code = error.code.as_str(), "the run stopped: {error}");
            if faults >= FAULTS_AT_MOST {
                match self.stick(id, error).await {
                    Ok(()) => continue,
                    // Its journal cannot even be read: whoever looks is told so.
                    Err(unreadable) if unreadable.code == Code::StoreCorrupt => return,
                    Err(failed) => error = failed,
                }
            }
            tracing::info!(run = %id.0, ?pause, code = error.code.as_str(), "it is driven again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.cancelled() => return,
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn drive_once(&self, id: &RunId) -> Result<(), Error> {
        // What a panic left half done is gone with the future: each try begins
        // with what the journal says.
        let driven = AssertUnwindSafe(self.drive(id)).catch_unwind().await;
        driven.unwrap_or_else(|panic| {
            Err(Error::new(
                Code::Internal,
                format!("executing the run failed: {}", said(panic.as_ref())),
                "report this; the log has more",
            ))
        })
    }

    /// Journals that a person must look.
    async fn stick(&self, id: &RunId, error: Error) -> Result<(), Error> {
        let store = &self.tools.store;
        let record = super::record(store.as_ref(), id).await?;
        let mut log = RunLog::new(Arc::clone(store), Arc::clone(&self.tools.clock), record)?;
        if log.status().is_final() {
            return Ok(());
        }
        log.append(Event::Stuck { error }).await
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_driven_by_one_and_what_is_asked_meanwhile_is_not_forgotten() {
        let driven = Driven::default();
        let id = RunId("run-1".into());
        let mut hold = driven.begin(&id).unwrap();
        assert!(driven.begin(&id).is_none());
        assert!(!hold.is_done(), "more was asked");
        assert!(hold.is_done());
        // Another drives it by now, which the end of the first must not end.
        let _other = driven.begin(&id).unwrap();
        drop(hold);
        assert!(driven.begin(&id).is_none());
    }

    #[test]
    fn a_hold_that_unwinds_lets_the_run_go() {
        let driven = Driven::default();
        let id = RunId("run-1".into());
        let hold = driven.begin(&id).unwrap();
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let _held = hold;
            panic!("on purpose");
        }));
        assert!(unwound.is_err());
        assert!(driven.begin(&id).is_some());
    }
}
