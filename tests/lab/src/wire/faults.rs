//! Faults a test injects at run time: what the next matching requests get
//! instead of, or on top of, the emulator's own answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use http::{Method, StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Shut until a test opens it, once and for all; clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(CancellationToken);

impl Gate {
    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.cancel();
    }

    pub(super) async fn passed(&self) {
        self.0.cancelled().await;
    }
}

/// An answer that is sent as it stands.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// Body, byte for byte.
    pub body: Bytes,
}

impl CannedResponse {
    /// An error in Azure Resource Manager's usual envelope.
    pub fn arm_error(status: StatusCode, code: &str, message: &str) -> Self {
        let body = json!({ "error": { "code": code, "message": message } });
        Self::json(status, &body)
    }

    /// A JSON body.
    pub fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![(
                "content-type".to_owned(),
                "application/json; charset=utf-8".to_owned(),
            )],
            body: Bytes::from(body.to_string()),
        }
    }

    /// Resource Manager's answer to a caller that is too fast.
    pub fn throttled(retry_after_seconds: u32) -> Self {
        let mut response = Self::arm_error(
            StatusCode::TOO_MANY_REQUESTS,
            "SubscriptionRequestsThrottled",
            "Number of requests for the subscription exceeded the limit. Please try again later.",
        );
        response
            .headers
            .push(("retry-after".to_owned(), retry_after_seconds.to_string()));
        response
    }

    /// 200 with a body that is not what its content type says.
    pub fn garbage() -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from_static(b"<html>\x00\xff{\"value\": [ truncated"),
        }
    }

    /// 200 with no body at all.
    pub fn empty() -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }
}

/// What happens to a request that a fault catches.
#[derive(Clone, Debug)]
pub enum FaultAction {
    /// Answers this; the request has no effect.
    Respond(CannedResponse),
    /// Closes the connection without a byte; the request has no effect.
    Close,
    /// Never answers; the request has no effect.
    Hang,
    /// Waits, then handles the request as usual.
    Delay(Duration),
    /// Waits for the gate, then handles the request as usual. A caller that has
    /// gone by then is as one whose request never arrived.
    Hold(Gate),
    /// Handles the request (the effect happens), then waits for the gate before
    /// it answers. The log has the status as soon as the request is handled.
    HoldAnswer(Gate),
    /// Handles the request (the effect happens), then closes the connection
    /// without a byte: the caller cannot know the outcome.
    LoseResponse,
    /// Azure Resource Manager writes: accepted, then the asynchronous
    /// operation ends as `Failed` with this error and nothing is changed.
    FailOperation {
        /// Error code, for instance `AnotherOperationInProgress`.
        code: String,
        /// Error message.
        message: String,
    },
}

/// One injected fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The method it catches; `None` is any.
    pub method: Option<Method>,
    /// Pattern over path and query, case-insensitive, `*` stands for any text.
    pub path: String,
    /// How many requests it catches before it is spent.
    pub times: u32,
    /// What happens to them.
    pub action: FaultAction,
}

impl Fault {
    /// A fault that catches the next request of `method` whose path and query
    /// match `path`.
    pub fn once(method: Method, path: impl Into<String>, action: FaultAction) -> Self {
        Self {
            method: Some(method),
            path: path.into(),
            times: 1,
            action,
        }
    }

    /// A fault that catches the next `times` requests of any method.
    pub fn times(times: u32, path: impl Into<String>, action: FaultAction) -> Self {
        Self {
            method: None,
            path: path.into(),
            times,
            action,
        }
    }

    fn catches(&self, method: &Method, path_and_query: &str) -> bool {
        self.times > 0
            && self.method.as_ref().is_none_or(|m| m == method)
            && pattern_matches(&self.path, path_and_query)
    }
}

/// The faults of one server; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Adds a fault behind those already there; the first that matches a
    /// request is used.
    pub fn inject(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Removes every fault.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many requests the faults would still catch.
    pub fn pending(&self) -> u32 {
        self.lock().iter().map(|fault| fault.times).sum()
    }

    pub(crate) fn take(&self, method: &Method, path_and_query: &str) -> Option<FaultAction> {
        let mut faults = self.lock();
        let fault = faults
            .iter_mut()
            .find(|fault| fault.catches(method, path_and_query))?;
        fault.times -= 1;
        let action = fault.action.clone();
        faults.retain(|fault| fault.times > 0);
        Some(action)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a pattern with `*` for any text matches, without regard to case.
pub(crate) fn pattern_matches(pattern: &str, text: &str) -> bool {
    glob_matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

fn glob_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= tail.len() && rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_path_with_stars_for_any_text() {
        assert!(glob_matches("/a/*/c", "/a/b/b/c"));
        assert!(glob_matches("*securityrules*", "/x/securityrules/r?api=1"));
        assert!(glob_matches("/a", "/a"));
        assert!(!glob_matches("/a", "/a/b"));
        assert!(!glob_matches("/a/*/c", "/a/c"));
        assert!(!glob_matches("*ab*ba", "aba"));
    }

    #[test]
    fn a_fault_is_spent_after_its_number_of_matching_requests() {
        let faults = Faults::default();
        faults.inject(Fault::times(2, "*/rules/*", FaultAction::Close));
        assert!(faults.take(&Method::GET, "/other").is_none());
        assert!(faults.take(&Method::GET, "/rules").is_none());
        assert!(faults.take(&Method::GET, "/x/Rules/a").is_some());
        assert!(faults.take(&Method::PUT, "/x/rules/a").is_some());
        assert!(faults.take(&Method::PUT, "/x/rules/a").is_none());
        assert_eq!(faults.pending(), 0);
    }
}
