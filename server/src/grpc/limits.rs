//! What one connection may take up, and how long a call may take.

use std::{future::Future, sync::Arc, time::Duration};

use naosu_engine::{Code, Error, Naosu};
use tokio::time::timeout;
use tonic::Status;

use super::{serve::Served, status::status_of_error};

/// Bounds of what is served.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls at once on one connection, watches among them; more wait.
    pub calls_per_connection: u32,
    /// Longest wait for an answer out of the store.
    pub answer_within: Duration,
    /// Longest wait for a plan, which reads Azure, Kubernetes and nodes, each with
    /// limits of its own.
    pub plan_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_per_connection: 128,
            answer_within: Duration::from_secs(60),
            plan_within: Duration::from_secs(30 * 60),
        }
    }
}

impl Served {
    /// What a look at the store gives.
    pub(super) async fn answer<T>(
        &self,
        look: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Status> {
        within(self.limits.answer_within, look).await
    }

    /// A new plan.
    pub(super) async fn planned<T>(
        &self,
        planning: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Status> {
        within(self.limits.plan_within, planning).await
    }

    /// What came of a change. It is done to its end even when the caller leaves or
    /// the time is up: half of it would be a run that nobody executes.
    pub(super) async fn changed<T, F>(
        &self,
        change: impl FnOnce(Arc<dyn Naosu>) -> F,
    ) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let task = tokio::spawn(change(Arc::clone(&self.naosu)));
        within(self.limits.answer_within, async {
            task.await.unwrap_or_else(|_| {
                Err(Error::new(
                    Code::Internal,
                    "the call crashed",
                    "report it with the log lines around; look whether it was done before you \
                     ask again",
                ))
            })
        })
        .await
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Status> {
    let answer = timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::new(
            Code::DeadlineExceeded,
            format!("no answer within {} s", limit.as_secs_f64()),
            "look whether it was done before you ask again: `naosu plan list`, `naosu run list`",
        ))
    });
    answer.map_err(status_of_error)
}
