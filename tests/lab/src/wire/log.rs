//! The record of every request an emulator received, so that a test can prove
//! what was written, and that nothing was.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::watch;

/// One request as it arrived, and the status it was answered with.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// HTTP method.
    pub method: Method,
    /// Path, as sent.
    pub path: String,
    /// Query without `?`, as sent.
    pub query: String,
    /// Headers, as sent.
    pub headers: HeaderMap,
    /// Body, as sent.
    pub body: Bytes,
    /// Status of the answer; `None` when there was none.
    pub status: Option<u16>,
}

impl RecordedRequest {
    /// Whether the request asks for a change: everything but reads, token
    /// requests and the POSTs by which credentials, rules and logs are read.
    pub fn is_write(&self) -> bool {
        if matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return false;
        }
        let path = self.path.to_ascii_lowercase();
        const READING_POSTS: [&str; 6] = [
            "/listnetworkmanagereffectivesecurityadminrules",
            "/oauth2/v2.0/token",
            "/listclusterusercredential",
            "/listclusteradmincredential",
            "/selfsubjectaccessreviews",
            "/selfsubjectreviews",
        ];
        !READING_POSTS.iter().any(|end| path.ends_with(end))
    }

    /// Whether the request was a dry run of the Kubernetes API.
    pub fn is_dry_run(&self) -> bool {
        self.query.split('&').any(|pair| pair == "dryRun=All")
    }
}

/// The requests of one server, in order of arrival; clones share them.
#[derive(Clone, Debug)]
pub struct RequestLog {
    entries: Arc<Mutex<Vec<RecordedRequest>>>,
    changed: watch::Sender<()>,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl RequestLog {
    /// Every request so far.
    pub fn all(&self) -> Vec<RecordedRequest> {
        self.lock().clone()
    }

    /// Every request that asked for a change, dry runs left out.
    pub fn writes(&self) -> Vec<RecordedRequest> {
        self.lock()
            .iter()
            .filter(|request| request.is_write() && !request.is_dry_run())
            .cloned()
            .collect()
    }

    /// Forgets every request.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Waits until a request matches; `false` when none did in time.
    pub async fn wait_for(
        &self,
        within: Duration,
        mut matches: impl FnMut(&RecordedRequest) -> bool,
    ) -> bool {
        let mut changed = self.changed.subscribe();
        let seen = async {
            while !self.lock().iter().any(&mut matches) {
                if changed.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, seen).await.unwrap_or(false)
    }

    /// Adds a request and returns its place for [`RequestLog::answered`].
    pub(crate) fn push(&self, request: RecordedRequest) -> usize {
        let mut entries = self.lock();
        entries.push(request);
        let place = entries.len() - 1;
        drop(entries);
        self.changed.send_replace(());
        place
    }

    /// Notes the status a request was answered with.
    pub(crate) fn answered(&self, place: usize, status: u16) {
        if let Some(entry) = self.lock().get_mut(place) {
            entry.status = Some(status);
        }
        self.changed.send_replace(());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<RecordedRequest>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
