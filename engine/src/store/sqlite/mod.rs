//! The store in one SQLite file: WAL, synchronous FULL, one writer thread and
//! one reader thread.

mod observations;
mod open;
mod private;
mod rows;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    fs::{File, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use self::worker::Worker;
use super::{Activity, PlanInputs, PlanRecord, RunRecord, Store, StoreError};
use crate::model::{Approval, ClusterId, Diagnosis, DiagnosisId, Entry, PlanId, RunId};

/// A [`Store`] in a file.
pub struct SqliteStore {
    writer: Worker,
    reader: Worker,
    path: PathBuf,
    executing: Mutex<Option<Executing>>,
}

/// Held as long as this opening executes the runs.
struct Executing {
    _lock: File,
    /// How many became the executor before and with this one. It fences: who became
    /// so later has another, and what this one appends then is refused.
    epoch: i64,
}

impl SqliteStore {
    /// Opens the file, making it when nothing is there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file is damaged, of another schema
    /// version or not a store; it is left as it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = open::open(path)?;
        Ok(Self {
            writer: Worker::start("naosu-store-write", opened.writer)?,
            reader: Worker::start("naosu-store-read", opened.reader)?,
            path: opened.path,
            executing: Mutex::new(None),
        })
    }

    /// The epoch that this opening became the executor with; 0 when it did not,
    /// which is right as long as nobody did.
    fn epoch(&self) -> i64 {
        let executing = self
            .executing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        executing.as_ref().map_or(0, |executing| executing.epoch)
    }
}

/// Clusters are compared without case.
fn key(cluster: &ClusterId) -> String {
    cluster.as_str().to_ascii_lowercase()
}

#[async_trait]
impl Store for SqliteStore {
    async fn add_diagnosis(&self, diagnosis: &Diagnosis) -> Result<(), StoreError> {
        let diagnosis = diagnosis.clone();
        self.writer
            .call(move |c| rows::add_diagnosis(c, diagnosis))
            .await
    }

    async fn diagnosis(&self, id: &DiagnosisId) -> Result<Option<Diagnosis>, StoreError> {
        let id = id.0.clone();
        self.reader.call(move |c| rows::diagnosis(c, &id)).await
    }

    async fn diagnoses(
        &self,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<Diagnosis>, StoreError> {
        let cluster = cluster.map(key);
        self.reader
            .call(move |c| rows::diagnoses(c, cluster.as_deref(), limit))
            .await
    }

    async fn add_plan(&self, plan: &PlanRecord, inputs: &PlanInputs) -> Result<(), StoreError> {
        let id = plan.id.0.clone();
        let cluster = key(&plan.content.cluster);
        let digest = plan.digest.as_str().to_owned();
        let content = rows::encode(&plan.content)?;
        let inputs = rows::encode(inputs)?;
        self.writer
            .call(move |c| rows::add_plan(c, (&id, &cluster, &digest), &content, &inputs))
            .await
    }

    async fn plan(&self, id: &PlanId) -> Result<Option<PlanRecord>, StoreError> {
        let id = id.0.clone();
        self.reader.call(move |c| rows::plan(c, &id)).await
    }

    async fn plan_inputs(&self, id: &PlanId) -> Result<Option<PlanInputs>, StoreError> {
        let id = id.0.clone();
        self.reader.call(move |c| rows::plan_inputs(c, &id)).await
    }

    async fn plans(
        &self,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<PlanRecord>, StoreError> {
        let cluster = cluster.map(key);
        self.reader
            .call(move |c| rows::plans(c, cluster.as_deref(), limit))
            .await
    }

    async fn add_approval(
        &self,
        plan: &PlanId,
        number: u32,
        approval: &Approval,
    ) -> Result<(), StoreError> {
        let (plan, body) = (plan.0.clone(), rows::encode(approval)?);
        self.writer
            .call(move |c| rows::add_approval(c, &plan, number, &body))
            .await
    }

    async fn add_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        let (run, epoch) = (run.clone(), self.epoch());
        self.writer
            .call(move |c| rows::add_run(c, &run, epoch))
            .await
    }

    async fn append(&self, entry: &Entry, activity: Activity) -> Result<(), StoreError> {
        let (entry, epoch) = (entry.clone(), self.epoch());
        self.writer
            .call(move |c| rows::append(c, &entry, activity, epoch))
            .await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let id = id.0.clone();
        self.reader.call(move |c| rows::run(c, &id)).await
    }

    async fn runs(
        &self,
        cluster: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let cluster = cluster.map(key);
        self.reader
            .call(move |c| rows::runs(c, cluster.as_deref(), limit))
            .await
    }

    async fn active_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.reader.call(|c| rows::active_runs(c)).await
    }

    fn executor(&self) -> Option<u32> {
        let path = open::beside(&self.path, "executor.lock");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    fn try_become_executor(&self) -> Result<bool, StoreError> {
        let mut held = self
            .executing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            return Ok(true);
        }
        let path = open::beside(&self.path, "executor.lock");
        let failed =
            |e: &dyn std::fmt::Display| StoreError::Failed(format!("{}: {e}", path.display()));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(private::PRIVATE)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|e| failed(&e))?;
        private::make_private(&path);
        match file.try_lock() {
            Ok(()) => {
                // For people only: the lock is what counts.
                if let Err(error) = tell_holder(&file) {
                    tracing::debug!(%error, "the lock does not name its holder");
                }
                let epoch = self.writer.call_and_wait(rows::next_epoch)?;
                *held = Some(Executing { _lock: file, epoch });
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(failed(&e)),
        }
    }
}

/// Leaves this process's number in the lock's file.
fn tell_holder(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    write!(file, "{}", std::process::id())
}
