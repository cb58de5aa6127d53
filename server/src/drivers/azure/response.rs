//! One answer of ARM, read within bounds.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use naosu_flow::field::parse_json;
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};

use super::{
    error::{ArmErrorBody, AzureError},
    retry::retry_after,
};

/// A whole answer.
#[derive(Clone, Debug)]
pub struct ArmResponse {
    /// Method of the request, for messages.
    pub method: Method,
    /// Path of the request, for messages.
    pub path: String,
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Vec<u8>,
}

impl ArmResponse {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long ARM asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(self.header("retry-after")?, Timestamp::now())
    }

    /// The body as JSON, of any shape or of a certain one.
    ///
    /// # Errors
    /// [`AzureError::BadResponse`] when it is empty, not JSON or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, AzureError> {
        serde_json::from_slice(self.bytes()?).map_err(|error| {
            let what = match error.classify() {
                Category::Data => "not as documented",
                _ => "not JSON",
            };
            self.bad(&format!("{what}: {error}"))
        })
    }

    /// The body without the mark that text may begin with.
    fn bytes(&self) -> Result<&[u8], AzureError> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf");
        match body.unwrap_or(&self.body) {
            [] => Err(self.bad("the body is empty")),
            body => Ok(body),
        }
    }

    /// The body as a JSON object, in which no field is given twice.
    ///
    /// # Errors
    /// [`AzureError::BadResponse`].
    pub fn object(&self) -> Result<Value, AzureError> {
        let body = std::str::from_utf8(self.bytes()?)
            .map_err(|error| self.bad(&format!("not JSON: {error}")))?;
        // Of a field given twice one value would win in silence.
        let value = parse_json(body).map_err(|error| self.bad(&error.to_string()))?;
        if value.is_object() {
            Ok(value)
        } else {
            Err(self.bad("not a JSON object"))
        }
    }

    /// The version to fence a write with: the header, else the body's field,
    /// which AKS spells differently.
    pub fn etag(&self, body: &Value) -> Option<String> {
        self.header("etag")
            .map(str::to_owned)
            .or_else(|| etag_in(body))
    }

    /// This answer as an error, or itself when it is none.
    ///
    /// # Errors
    /// [`AzureError::Refused`] for an error status with or without a body of
    /// ARM's kind; [`AzureError::BadResponse`] for a status that ARM does not use.
    pub fn success(self) -> Result<Self, AzureError> {
        if self.status.is_success() {
            return Ok(self);
        }
        if self.status.is_client_error() || self.status.is_server_error() {
            return Err(AzureError::Refused {
                status: self.status.as_u16(),
                method: self.method.to_string(),
                body: Box::new(ArmErrorBody::parse(&self.body).unwrap_or_default()),
                path: self.path,
            });
        }
        Err(self.bad("a status that ARM does not answer with"))
    }

    /// An error that says what is wrong with this answer.
    pub fn bad(&self, reason: &str) -> AzureError {
        AzureError::BadResponse {
            status: self.status.as_u16(),
            method: self.method.to_string(),
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// The ETag that a resource's body carries.
pub fn etag_in(body: &Value) -> Option<String> {
    ["etag", "eTag"]
        .iter()
        .find_map(|name| body.get(name)?.as_str())
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
