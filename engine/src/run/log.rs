//! A run's journal while it is executed: every entry durable before the next
//! move.

use std::sync::Arc;

use crate::{
    clock::Clock,
    error::Error,
    journal::{Status, fold},
    model::{Entry, Event, TunnelAnswers, journal::Way},
    store::{Activity, RunRecord, Store},
};

/// The journal of one run and its fold.
pub(super) struct RunLog {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    record: RunRecord,
    status: Status,
}

impl RunLog {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        record: RunRecord,
    ) -> Result<Self, Error> {
        let status = fold(record.step_count, &record.entries)?;
        Ok(Self {
            store,
            clock,
            record,
            status,
        })
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    pub(super) fn record(&self) -> &RunRecord {
        &self.record
    }

    /// What the tunnel answered before the first step, when it was asked.
    pub(super) fn tunnel_before(&self) -> Option<&TunnelAnswers> {
        let mut entries = self.record.entries.iter();
        entries.find_map(|entry| match &entry.event {
            Event::Probed {
                way: Way::Forward,
                tunnel,
            } => Some(tunnel),
            _ => None,
        })
    }

    /// Appends an entry.
    ///
    /// # Guarantees
    /// When it returns `Ok` the entry is legal and durable.
    pub(super) async fn append(&mut self, event: Event) -> Result<(), Error> {
        let entry = Entry {
            run: self.record.id.clone(),
            sequence: self.record.entries.len() as u64,
            at: self.clock.now(),
            event,
        };
        let mut entries = self.record.entries.clone();
        entries.push(entry.clone());
        // Refuses what cannot follow before it is written.
        let status = fold(self.record.step_count, &entries)?;
        let activity = if status.is_final() {
            Activity::Ended
        } else {
            Activity::Active
        };
        self.store.append(&entry, activity).await?;
        self.record.entries = entries;
        self.status = status;
        Ok(())
    }
}
