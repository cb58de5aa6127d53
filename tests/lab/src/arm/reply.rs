//! What a handler answers, and the headers Azure puts around it.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

/// Status, headers and JSON body of an answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers besides the usual ones.
    pub headers: Vec<(&'static str, String)>,
    /// Body; `None` is an empty one.
    pub body: Option<Value>,
    /// Whether the gateway answers without asking a provider.
    pub by_gateway: bool,
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Some(body),
            by_gateway: false,
        }
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
            by_gateway: false,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The providers whose answers differ in their headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Microsoft.Resources: resource groups.
    Resources,
    /// Microsoft.Network.
    Network,
    /// Microsoft.Compute.
    Compute,
    /// Microsoft.ContainerService.
    ContainerService,
    /// Microsoft.Insights.
    Insights,
}

impl Family {
    /// The family of a provider namespace.
    pub fn of(provider: Option<&str>) -> Self {
        match provider.map(str::to_ascii_lowercase).as_deref() {
            Some("microsoft.network") => Self::Network,
            Some("microsoft.compute") => Self::Compute,
            Some("microsoft.containerservice") => Self::ContainerService,
            Some("microsoft.insights") => Self::Insights,
            _ => Self::Resources,
        }
    }
}

/// Turns a reply into the HTTP response, with the headers every answer has.
pub fn into_response(
    reply: Reply,
    method: &Method,
    family: Family,
    correlation_id: Option<&str>,
) -> Response<Body> {
    let request_id = Uuid::new_v4().to_string();
    let correlation_id = correlation_id.unwrap_or(&request_id).to_owned();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("cache-control", "no-cache");
    put("pragma", "no-cache");
    put("expires", "-1");
    put(
        "strict-transport-security",
        "max-age=31536000; includeSubDomains",
    );
    put("x-content-type-options", "nosniff");
    put("x-cache", "CONFIG_NOCACHE");
    put("x-ms-request-id", &request_id);
    put("x-ms-correlation-request-id", &correlation_id);
    put(
        "x-ms-routing-request-id",
        &format!(
            "LAB:{}:{request_id}",
            jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ")
        ),
    );
    if !reply.by_gateway {
        let (name, left) = match *method {
            Method::GET | Method::HEAD => (
                "x-ms-ratelimit-remaining-subscription-global-reads",
                "16499",
            ),
            Method::DELETE => (
                "x-ms-ratelimit-remaining-subscription-global-deletes",
                "11999",
            ),
            _ => (
                "x-ms-ratelimit-remaining-subscription-global-writes",
                "11999",
            ),
        };
        put(name, left);
        if family == Family::Compute {
            put("x-ms-need-to-refresh-epl-cache", "False");
        }
    }
    for (name, value) in &reply.headers {
        put(name, value);
    }
    if let Some(body) = reply.body {
        put("content-type", "application/json; charset=utf-8");
        *response.body_mut() = Body::from(body.to_string());
    }
    response
}
