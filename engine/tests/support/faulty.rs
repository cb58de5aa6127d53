//! A store that dies at the nth write: that write and all after it fail, and so do
//! large reads.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use naosu_engine::{
    model::{Approval, ClusterId, Diagnosis, DiagnosisId, Entry, PlanId, RunId},
    store::{Activity, PlanInputs, PlanRecord, RunRecord, Store, StoreError},
};
use tokio::sync::Semaphore;

pub struct Faulty {
    pub inner: Arc<dyn Store>,
    /// Journal writes that still succeed.
    pub left: AtomicUsize,
    /// Whether the failing write is durable all the same.
    pub written_anyway: bool,
    /// One permit a failure.
    pub failures: Semaphore,
}

impl Faulty {
    /// With so many journal writes to succeed.
    pub fn new(inner: Arc<dyn Store>, left: usize, written_anyway: bool) -> Self {
        Self {
            inner,
            left: AtomicUsize::new(left),
            written_anyway,
            failures: Semaphore::new(0),
        }
    }

    fn broken<T>(&self) -> Result<T, StoreError> {
        self.failures.add_permits(1);
        Err(StoreError::Failed("the disk is gone".into()))
    }

    fn spend(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
    }
}

#[async_trait]
impl Store for Faulty {
    async fn add_diagnosis(&self, d: &Diagnosis) -> Result<(), StoreError> {
        self.inner.add_diagnosis(d).await
    }
    async fn diagnosis(&self, id: &DiagnosisId) -> Result<Option<Diagnosis>, StoreError> {
        self.inner.diagnosis(id).await
    }
    async fn diagnoses(
        &self,
        c: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<Diagnosis>, StoreError> {
        self.inner.diagnoses(c, limit).await
    }
    async fn add_plan(&self, p: &PlanRecord, i: &PlanInputs) -> Result<(), StoreError> {
        self.inner.add_plan(p, i).await
    }
    async fn plan(&self, id: &PlanId) -> Result<Option<PlanRecord>, StoreError> {
        self.inner.plan(id).await
    }
    async fn plan_inputs(&self, id: &PlanId) -> Result<Option<PlanInputs>, StoreError> {
        if self.left.load(Ordering::SeqCst) == 0 {
            return self.broken();
        }
        self.inner.plan_inputs(id).await
    }
    async fn plans(
        &self,
        c: Option<&ClusterId>,
        limit: u32,
    ) -> Result<Vec<PlanRecord>, StoreError> {
        self.inner.plans(c, limit).await
    }
    async fn add_approval(&self, p: &PlanId, n: u32, a: &Approval) -> Result<(), StoreError> {
        self.inner.add_approval(p, n, a).await
    }
    async fn add_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.inner.add_run(run).await
    }
    async fn append(&self, entry: &Entry, activity: Activity) -> Result<(), StoreError> {
        if self.spend() {
            return self.inner.append(entry, activity).await;
        }
        if self.written_anyway {
            self.inner.append(entry, activity).await.ok();
        }
        self.broken()
    }
    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.inner.run(id).await
    }
    async fn runs(&self, c: Option<&ClusterId>, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs(c, limit).await
    }
    async fn active_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.active_runs().await
    }
    fn try_become_executor(&self) -> Result<bool, StoreError> {
        self.inner.try_become_executor()
    }
}
