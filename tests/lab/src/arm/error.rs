//! Azure Resource Manager's errors, in the shapes it really answers.

use http::StatusCode;
use serde_json::{Value, json};

use super::reply::Reply;

/// An error answer.
#[derive(Clone, Debug)]
pub struct ArmError {
    /// HTTP status.
    pub status: StatusCode,
    /// Error code.
    pub code: String,
    /// Message.
    pub message: String,
    /// The property at fault.
    pub target: Option<&'static str>,
    /// Inner errors; `Some(vec![])` is written as an empty array.
    pub details: Option<Vec<Value>>,
    /// Whether the gateway answers, before any provider was asked.
    pub gateway: bool,
    /// Whether the body lacks the `error` envelope, as AKS does at times.
    pub flat: bool,
    /// Headers besides the usual ones.
    pub headers: Vec<(&'static str, String)>,
}

impl ArmError {
    /// An error with a code and a message in the usual envelope.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            target: None,
            details: None,
            gateway: false,
            flat: false,
            headers: Vec::new(),
        }
    }

    /// 400 as the network provider words it, with an empty list of details.
    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message).with_details(Vec::new())
    }

    /// 404 by the gateway: the resource group is unknown.
    pub fn group_not_found(group: &str) -> Self {
        Self::by_gateway(
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    /// 404 by the gateway: no such top-level resource.
    pub fn resource_not_found(provider_and_kind: &str, name: &str, group: &str) -> Self {
        Self::by_gateway(
            "ResourceNotFound",
            format!(
                "The Resource '{provider_and_kind}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// 404 by the network provider: no such child of a resource that is there.
    pub fn child_not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("Resource {id} not found."),
        )
        .with_details(Vec::new())
    }

    /// 404: a child is written below a parent that is not there.
    pub fn parent_not_found(kind: &str, parent_id: &str) -> Self {
        Self::by_gateway(
            "ParentResourceNotFound",
            format!(
                "Failed to perform 'write' on resource(s) of type '{kind}', because the parent resource '{parent_id}' could not be found."
            ),
        )
    }

    fn by_gateway(code: &str, message: String) -> Self {
        let mut error = Self::new(StatusCode::NOT_FOUND, code, message);
        error.gateway = true;
        error
            .headers
            .push(("x-ms-failure-cause", "gateway".to_owned()));
        error
    }

    /// Sets the inner errors.
    pub fn with_details(mut self, details: Vec<Value>) -> Self {
        self.details = Some(details);
        self
    }

    /// Names the property at fault.
    pub fn with_target(mut self, target: &'static str) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds a header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Leaves out the `error` envelope.
    pub fn without_envelope(mut self) -> Self {
        self.flat = true;
        self
    }

    /// The error object as it stands inside the envelope.
    pub fn inner(&self) -> Value {
        let mut inner = json!({ "code": self.code, "message": self.message });
        if let Some(target) = &self.target {
            inner["target"] = json!(target);
        }
        if let Some(details) = &self.details {
            inner["details"] = json!(details);
        }
        inner
    }
}

impl From<ArmError> for Reply {
    fn from(error: ArmError) -> Self {
        let inner = error.inner();
        let body = if error.flat {
            inner
        } else {
            json!({ "error": inner })
        };
        let mut reply = Reply::json(error.status, body);
        reply.by_gateway = error.gateway;
        for (name, value) in error.headers {
            reply = reply.header(name, value);
        }
        reply
    }
}
