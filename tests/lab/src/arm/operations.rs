//! Asynchronous operations: what a client polls after a write was accepted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ArmError;
use super::reply::{Family, Reply};

/// How an operation stands.
#[derive(Clone, Debug)]
enum Progress {
    Running,
    Succeeded(Option<Value>),
    Failed(Value),
}

#[derive(Clone, Debug)]
struct Operation {
    family: Family,
    started: String,
    ended: Option<String>,
    progress: Progress,
    deletes: bool,
    action: String,
    resource_id: String,
}

/// The operations of one subscription.
#[derive(Debug, Default)]
pub struct Operations(Mutex<HashMap<Uuid, Operation>>);

/// Where a client finds an operation.
#[derive(Clone, Debug)]
pub struct OperationUrls {
    /// For the `Azure-AsyncOperation` header.
    pub status: String,
    /// For the `Location` header.
    pub result: String,
}

impl Operations {
    /// Notes that an operation has begun.
    pub fn begin(&self, family: Family, action: &str, resource_id: &str, deletes: bool) -> Uuid {
        let id = Uuid::new_v4();
        let operation = Operation {
            family,
            started: now(),
            ended: None,
            progress: Progress::Running,
            deletes,
            action: action.to_owned(),
            resource_id: resource_id.to_owned(),
        };
        self.lock().insert(id, operation);
        id
    }

    /// Ends an operation well, with what it has to show.
    pub fn succeed(&self, id: Uuid, output: Option<Value>) {
        self.end(id, Progress::Succeeded(output));
    }

    /// Ends an operation with an error.
    pub fn fail(&self, id: Uuid, error: &ArmError) {
        self.end(id, Progress::Failed(error.inner()));
    }

    /// The running operation on a resource: its id and what it does.
    pub fn running_on(&self, resource_id: &str) -> Option<(Uuid, String)> {
        self.lock()
            .iter()
            .find(|(_, operation)| {
                matches!(operation.progress, Progress::Running)
                    && operation.resource_id.eq_ignore_ascii_case(resource_id)
            })
            .map(|(id, operation)| (*id, operation.action.clone()))
    }

    /// Answers `GET …/operations/{id}`; `None` when there is none of this id.
    pub fn status(&self, id: &str, retry_after_seconds: u32) -> Option<Reply> {
        let id = Uuid::parse_str(id).ok()?;
        let operation = self.lock().get(&id)?.clone();
        let (status, error, output) = match operation.progress {
            Progress::Running => ("InProgress", None, None),
            Progress::Succeeded(output) => ("Succeeded", None, output),
            Progress::Failed(error) => ("Failed", Some(error), None),
        };
        let mut body = json!({ "status": status });
        if operation.family != Family::Network {
            body["name"] = json!(id.to_string());
            body["startTime"] = json!(operation.started);
            if let Some(ended) = &operation.ended {
                body["endTime"] = json!(ended);
            }
        }
        if let Some(output) = output {
            body["properties"] = json!({ "output": output });
        }
        if let Some(error) = error {
            body["error"] = error;
        }
        let reply = Reply::json(StatusCode::OK, body);
        Some(match status {
            "InProgress" => reply.header("retry-after", retry_after_seconds.to_string()),
            _ => reply,
        })
    }

    /// Answers the `Location` URL: 202 while it runs, then the result.
    pub fn result(&self, id: &str, url: &str, retry_after_seconds: u32) -> Option<Reply> {
        let id = Uuid::parse_str(id).ok()?;
        let operation = self.lock().get(&id)?.clone();
        Some(match operation.progress {
            Progress::Running => Reply::empty(StatusCode::ACCEPTED)
                .header("location", url)
                .header("retry-after", retry_after_seconds.to_string()),
            Progress::Succeeded(Some(output)) => Reply::json(StatusCode::OK, output),
            Progress::Succeeded(None) if operation.deletes => Reply::empty(StatusCode::NO_CONTENT),
            Progress::Succeeded(None) => Reply::empty(StatusCode::OK),
            Progress::Failed(error) => Reply::json(StatusCode::CONFLICT, json!({ "error": error })),
        })
    }

    fn end(&self, id: Uuid, progress: Progress) {
        if let Some(operation) = self.lock().get_mut(&id) {
            operation.progress = progress;
            operation.ended = Some(now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The URLs of an operation, as its provider forms them.
pub fn urls(
    endpoint: &str,
    family: Family,
    subscription: &str,
    location: &str,
    api_version: &str,
    id: Uuid,
) -> OperationUrls {
    let provider = match family {
        Family::Network => "Microsoft.Network",
        Family::Compute => "Microsoft.Compute",
        Family::ContainerService => "Microsoft.ContainerService",
        Family::Resources | Family::Insights => {
            let url = format!(
                "{endpoint}/subscriptions/{subscription}/operationresults/{id}?api-version={api_version}"
            );
            return OperationUrls {
                status: url.clone(),
                result: url,
            };
        }
    };
    // A child, such as a rule collection group, has none of its own.
    let location = match location {
        "" => "westeurope",
        own => own,
    };
    let base = format!(
        "{endpoint}/subscriptions/{subscription}/providers/{provider}/locations/{location}"
    );
    match family {
        Family::Compute => OperationUrls {
            status: format!("{base}/operations/{id}?api-version={api_version}&p={id}"),
            result: format!("{base}/operations/{id}?api-version={api_version}&monitor=true&p={id}"),
        },
        Family::ContainerService => OperationUrls {
            status: format!("{base}/operations/{id}?api-version=2017-08-31"),
            result: format!("{base}/operationresults/{id}?api-version=2017-08-31"),
        },
        _ => OperationUrls {
            status: format!("{base}/operations/{id}?api-version={api_version}"),
            result: format!("{base}/operationResults/{id}?api-version={api_version}"),
        },
    }
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        .to_string()
}
