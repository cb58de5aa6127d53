//! What Azure's refusals and silences become.

use std::fmt;

use naosu_engine::{
    driver::PerformError,
    error::{Code, Error},
    model::{ObserveError, ObserveErrorKind},
};
use serde::Deserialize;
use uuid::Uuid;

use super::response::ArmResponse;
use crate::drivers::text::{MESSAGE_LIMIT, printable};

/// An error body of ARM, with or without the `error` wrapper around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArmErrorBody {
    /// "ResourceNotFound", "EtagMismatch"; empty when the body is not of this kind.
    pub code: String,
    /// ARM's own words.
    pub message: String,
    /// "instanceId", if ARM names the parameter at fault.
    pub target: Option<String>,
    /// Codes of the details, outermost first.
    pub detail_codes: Vec<String>,
    /// Messages of the details, in the same order.
    pub detail_messages: Vec<String>,
}

#[derive(Deserialize)]
struct Wrapped {
    error: Flat,
}

#[derive(Deserialize)]
struct Flat {
    code: Option<String>,
    message: Option<String>,
    target: Option<String>,
    #[serde(default)]
    details: Option<Vec<Flat>>,
}

impl ArmErrorBody {
    /// Reads a body; `None` when it is not an error body of ARM.
    pub fn parse(body: &[u8]) -> Option<Self> {
        // A byte order mark precedes some of AKS's answers.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let flat = serde_json::from_slice::<Wrapped>(body)
            .map(|wrapped| wrapped.error)
            .or_else(|_| serde_json::from_slice::<Flat>(body))
            .ok()?;
        if flat.code.is_none() && flat.message.is_none() {
            return None;
        }
        Some(flat.into())
    }

    /// Whether the code, or one of the details', is this.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code)
            || self
                .detail_codes
                .iter()
                .any(|detail| detail.eq_ignore_ascii_case(code))
    }
}

impl From<Flat> for ArmErrorBody {
    fn from(flat: Flat) -> Self {
        let mut body = Self {
            code: flat.code.unwrap_or_default(),
            message: flat.message.unwrap_or_default(),
            target: flat.target,
            ..Self::default()
        };
        for detail in flat.details.unwrap_or_default() {
            body.detail_codes.push(detail.code.unwrap_or_default());
            body.detail_messages
                .push(detail.message.unwrap_or_default());
        }
        body
    }
}

/// Why a request to Azure gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AzureError {
    /// The id or path is not one of ARM's.
    #[error("{id:?} is not an ARM resource id: {reason}")]
    InvalidId {
        /// As it was given.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No api-version is known for the type.
    #[error("no API version is known for resources of type {type_name}")]
    UnknownType {
        /// "Microsoft.Network/networkSecurityGroups".
        type_name: String,
    },
    /// No token could be had.
    #[error("no Azure credential works: {reason}")]
    Credential {
        /// What each credential said.
        reason: String,
    },
    /// ARM answered with an error status.
    #[error("{}", refusal_text(*status, method, path, body))]
    Refused {
        /// HTTP status.
        status: u16,
        /// HTTP method.
        method: String,
        /// Path of the request.
        path: String,
        /// What ARM says about it.
        body: Box<ArmErrorBody>,
    },
    /// ARM answered something else than ARM answers.
    #[error("{method} {path} gave {status} with an answer that cannot be understood: {reason}")]
    BadResponse {
        /// HTTP status.
        status: u16,
        /// HTTP method.
        method: String,
        /// Path of the request.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer.
    #[error("{method} {path} got no answer: {reason}")]
    Unreachable {
        /// HTTP method.
        method: String,
        /// Path of the request.
        path: String,
        /// What happened.
        reason: String,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// A long-running operation ended badly.
    #[error("the operation on {path} ended {status}: {} {}", body.code, body.message)]
    OperationFailed {
        /// Path of the resource.
        path: String,
        /// "Failed" or "Canceled".
        status: String,
        /// What ARM says about it.
        body: Box<ArmErrorBody>,
    },
    /// A long-running operation did not end in time.
    #[error("the operation on {path} had not ended after {waited_seconds} s")]
    OperationTimeout {
        /// Path of the resource.
        path: String,
        /// How long was waited.
        waited_seconds: u64,
    },
    /// A write failed, with what Azure's own logs know it by.
    #[error("{error} ({ids})")]
    Write {
        /// How.
        error: Box<AzureError>,
        /// Which write it was.
        ids: WriteIds,
    },
    /// The resource came without an ETag, so a write could overwrite a change
    /// made by someone else.
    #[error("{path} has no ETag to write under")]
    NoEtag {
        /// Path of the resource.
        path: String,
    },
}

/// What Azure's logs know a write by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteIds {
    /// Ours, sent with each request of the write.
    pub correlation: Uuid,
    /// Azure's, from the answer to it, printable; empty when there was none.
    pub request: String,
}

impl fmt::Display for WriteIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "correlation {}", self.correlation)?;
        if self.request.is_empty() {
            return Ok(());
        }
        write!(f, ", x-ms-request-id {}", self.request)
    }
}

fn refusal_text(status: u16, method: &str, path: &str, body: &ArmErrorBody) -> String {
    let mut text = format!("{method} {path} was refused with {status}");
    for part in [body.code.as_str(), body.message.as_str()] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(&printable(part, MESSAGE_LIMIT));
        }
    }
    for detail in &body.detail_messages {
        text.push_str(" — ");
        text.push_str(&printable(detail, MESSAGE_LIMIT));
    }
    text
}

impl AzureError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Write { error, .. } => error.code(),
            Self::InvalidId { .. } => Code::InvalidResourceId,
            Self::UnknownType { .. } | Self::NoEtag { .. } => Code::Unsupported,
            Self::Credential { .. } => Code::AzureUnauthenticated,
            Self::BadResponse { .. } => Code::AzureBadResponse,
            Self::Unreachable { .. } => Code::AzureUnreachable,
            Self::OperationFailed { .. } => Code::AzureOperationFailed,
            Self::OperationTimeout { .. } => Code::DeadlineExceeded,
            Self::Refused { status, body, .. } => match status {
                401 => Code::AzureUnauthenticated,
                403 => Code::AzureForbidden,
                404 | 410 => Code::AzureNotFound,
                412 => Code::AzurePreconditionFailed,
                // AKS answers 409 with this when If-Match does not match.
                409 if body.has_code("EtagMismatch") => Code::AzurePreconditionFailed,
                409 | 423 => Code::AzureConflict,
                429 => Code::AzureThrottled,
                400..=499 => Code::AzureBadRequest,
                _ => Code::AzureServerError,
            },
        }
    }

    /// This error as that of a write, told in the log as well: whoever asks Azure
    /// what became of it needs its ids, in the journal as on the terminal.
    #[must_use]
    pub fn of_write(self, correlation: Uuid, answer: Option<&ArmResponse>) -> Self {
        let request = answer.and_then(|answer| answer.header("x-ms-request-id"));
        let ids = WriteIds {
            correlation,
            request: printable(request.unwrap_or_default(), 80),
        };
        tracing::warn!(
            correlation = %ids.correlation,
            request_id = ids.request,
            code = self.code().as_str(),
            error = %self,
            "a write to Azure failed"
        );
        Self::Write {
            error: Box::new(self),
            ids,
        }
    }

    /// The next thing to do.
    fn next(&self) -> &'static str {
        match self.code() {
            Code::InvalidResourceId => "copy the id from `az resource show --query id`",
            Code::Unsupported => {
                "make the change by hand; Naosu will not write what it cannot fence"
            }
            Code::AzureUnauthenticated => {
                "sign in (`az login`) or configure azure.credential; check azure.audience"
            }
            Code::AzureForbidden => "give the identity the role that has the action named",
            Code::AzureNotFound => "check the name, and that the identity may read it",
            Code::AzurePreconditionFailed => "someone changed it: diagnose and plan again",
            Code::AzureConflict => "wait for the other operation to end, then plan again",
            Code::AzureThrottled => "wait some minutes, then try again",
            Code::AzureBadRequest => "correct what Azure names and plan again",
            Code::AzureOperationFailed | Code::DeadlineExceeded => {
                "read the resource to see what is in force, then plan again"
            }
            _ => "check azure.endpoint and the network, then try again",
        }
    }

    /// Whether the request certainly changed nothing.
    pub fn certainly_not_applied(&self) -> bool {
        match self {
            Self::Write { error, .. } => error.certainly_not_applied(),
            Self::InvalidId { .. }
            | Self::UnknownType { .. }
            | Self::Credential { .. }
            | Self::NoEtag { .. } => true,
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 408,
            Self::Unreachable { sent, .. } => !sent,
            Self::BadResponse { .. }
            | Self::OperationFailed { .. }
            | Self::OperationTimeout { .. } => false,
        }
    }
}

impl From<AzureError> for Error {
    fn from(error: AzureError) -> Self {
        Self::new(error.code(), error.to_string(), error.next())
    }
}

impl From<AzureError> for PerformError {
    fn from(error: AzureError) -> Self {
        if error.certainly_not_applied() {
            Self::NotApplied(error.into())
        } else {
            Self::Unknown(error.into())
        }
    }
}

impl From<AzureError> for ObserveError {
    fn from(error: AzureError) -> Self {
        observe_error(error.into())
    }
}

/// A driver's error as an answer to a query.
pub fn observe_error(error: Error) -> ObserveError {
    let kind = match error.code {
        Code::AzureNotFound
        | Code::ClusterNotFound
        | Code::KubernetesNotFound
        | Code::NodeNotFound => ObserveErrorKind::NotFound,
        Code::AzureForbidden
        | Code::AzureUnauthenticated
        | Code::KubernetesForbidden
        | Code::KubernetesUnauthenticated
        | Code::NodeForeign => ObserveErrorKind::Forbidden,
        Code::NodeOutputTruncated => ObserveErrorKind::Truncated,
        Code::InvalidResourceId
        | Code::InvalidParameter
        | Code::AzureBadRequest
        | Code::KubeconfigOfAnotherCluster
        | Code::Unsupported => ObserveErrorKind::Invalid,
        _ => ObserveErrorKind::Unavailable,
    };
    ObserveError {
        kind,
        code: error.code,
        message: error.message,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(status: u16, body: &str) -> AzureError {
        AzureError::Refused {
            status,
            method: "GET".into(),
            path: "/x".into(),
            body: Box::new(ArmErrorBody::parse(body.as_bytes()).unwrap_or_default()),
        }
    }

    #[test]
    fn wrapped_and_flat_bodies_are_read_alike() {
        let wrapped =
            br#"{"error":{"code":"A","message":"m","details":[{"code":"B","message":"n"}]}}"#;
        let flat =
            br#"{"code":"A","details":[{"code":"B","message":"n"}],"message":"m","subcode":"S"}"#;
        let parsed = ArmErrorBody::parse(wrapped).unwrap();
        assert_eq!(ArmErrorBody::parse(flat).unwrap(), parsed);
        assert!(parsed.has_code("b"));
    }

    #[test]
    fn what_is_no_error_body_is_not_taken_for_one() {
        for body in [
            "",
            "<html>",
            "{}",
            "[]",
            "null",
            r#"{"value":[]}"#,
            r#"{"error":"x"}"#,
        ] {
            assert_eq!(ArmErrorBody::parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn each_status_has_its_code() {
        let aks = r#"{"code":"EtagMismatch","message":"Operation is not allowed"}"#;
        for (status, body, code) in [
            (400, "", Code::AzureBadRequest),
            (401, "", Code::AzureUnauthenticated),
            (403, "", Code::AzureForbidden),
            (404, "", Code::AzureNotFound),
            (409, "", Code::AzureConflict),
            (409, aks, Code::AzurePreconditionFailed),
            (412, "", Code::AzurePreconditionFailed),
            (429, "", Code::AzureThrottled),
            (500, "", Code::AzureServerError),
            (503, "", Code::AzureServerError),
        ] {
            assert_eq!(refused(status, body).code(), code, "{status}");
        }
    }

    #[test]
    fn only_an_answer_that_excludes_it_counts_as_not_applied() {
        assert!(refused(412, "").certainly_not_applied());
        assert!(!refused(500, "").certainly_not_applied());
        assert!(!refused(408, "").certainly_not_applied());
        let lost = |sent| AzureError::Unreachable {
            method: "PUT".into(),
            path: "/x".into(),
            reason: "closed".into(),
            sent,
        };
        assert!(lost(false).certainly_not_applied());
        assert!(!lost(true).certainly_not_applied());
    }

    proptest! {
        #[test]
        fn any_answer_is_an_error_body_or_is_not(
            body in prop_oneof![
                any::<Vec<u8>>(),
                prop::collection::vec(
                    prop::sample::select(vec![
                        "{", "}", "[", "]", "\"error\":", "\"code\":", "\"message\":",
                        "\"details\":", "\"A\"", "\"\\u001b[2J\"", "null", "1", ",", "\u{feff}",
                    ]),
                    0..24,
                )
                .prop_map(|parts| parts.concat().into_bytes()),
            ],
            status in 400_u16..600,
        ) {
            let body = Box::new(ArmErrorBody::parse(&body).unwrap_or_default());
            let (method, path) = ("PUT".to_owned(), "/x".to_owned());
            let error = AzureError::Refused { status, method, path, body };
            // Whatever a peer says, no terminal acts on it.
            prop_assert!(!error.to_string().contains(char::is_control), "{:?}", error);
            let _ = error.code();
        }
    }

    #[test]
    fn a_body_nested_without_end_is_no_error_body() {
        let deep = "{\"details\":[".repeat(100_000);
        assert_eq!(ArmErrorBody::parse(deep.as_bytes()), None);
    }
}
