//! Long-running operations: followed by `Azure-AsyncOperation`, else by
//! `Location`, else by the resource's own provisioning state, for a bounded time.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::{
    client::{ArmClient, ArmRequest},
    error::{ArmErrorBody, AzureError},
    response::ArmResponse,
};
use crate::drivers::config::ms;

/// How long a poll that ARM bids to come back at once waits nevertheless.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// How long a poll waits at most, whatever ARM says.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where to ask how an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracker {
    /// The body's `status` tells; the operation's result may be at the second URL.
    AsyncOperation(Url, Option<Url>),
    /// The HTTP status tells: 202 while it goes on.
    Location(Url),
    /// `properties.provisioningState` of the resource tells.
    Resource,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Running,
    /// It ended well; with its output, if it has one.
    Done(Option<Value>),
}

impl ArmClient {
    /// Where the operation that `accepted` began can be followed; `None` when it
    /// is over already.
    ///
    /// # Errors
    /// [`AzureError::BadResponse`] for 202 without any such place.
    pub fn tracker(&self, accepted: &ArmResponse) -> Result<Option<Tracker>, AzureError> {
        let location = accepted
            .header("location")
            .map(|text| self.given_url(text, accepted))
            .transpose()?;
        if let Some(text) = accepted.header("azure-asyncoperation") {
            return Ok(Some(Tracker::AsyncOperation(
                self.given_url(text, accepted)?,
                location,
            )));
        }
        if accepted.status == StatusCode::ACCEPTED {
            return match location {
                Some(url) => Ok(Some(Tracker::Location(url))),
                None => Err(accepted.bad("202 without a place to follow the operation")),
            };
        }
        if accepted.body.is_empty() {
            // A PUT is answered with the resource; without it nothing says so.
            let says_enough =
                accepted.method != Method::PUT || accepted.status == StatusCode::NO_CONTENT;
            return if says_enough {
                Ok(None)
            } else {
                Err(accepted.bad("the body is empty"))
            };
        }
        match provisioning_state(&accepted.object()?) {
            State::Running => Ok(Some(Tracker::Resource)),
            State::Succeeded => Ok(None),
            State::Ended(status) => Err(AzureError::OperationFailed {
                path: accepted.path.clone(),
                status,
                body: Box::default(),
            }),
        }
    }

    /// Sends a request that changes something and waits for the end of what it began:
    /// the answer to it, and the operation's output.
    ///
    /// # Errors
    /// [`AzureError::Write`] around what [`ArmClient::send`], [`ArmResponse::success`]
    /// or [`ArmClient::finish`] met.
    pub async fn write(
        &self,
        request: &ArmRequest,
        limit: Duration,
    ) -> Result<(ArmResponse, Option<Value>), AzureError> {
        let id = request.correlation;
        let answer = self.send(request).await.map_err(|e| e.of_write(id, None))?;
        let accepted = match answer.clone().success() {
            Ok(accepted) => accepted,
            Err(error) => return Err(error.of_write(id, Some(&answer))),
        };
        match self.finish(&accepted, &request.url, limit, id).await {
            Ok(output) => Ok((accepted, output)),
            Err(error) => Err(error.of_write(id, Some(&accepted))),
        }
    }

    /// Waits for the end of the operation that `accepted` began on the resource
    /// at `url`.
    ///
    /// # Errors
    /// [`AzureError::OperationFailed`], [`AzureError::OperationTimeout`], or what
    /// a poll met. None of them says that nothing was changed.
    pub async fn finish(
        &self,
        accepted: &ArmResponse,
        url: &Url,
        limit: Duration,
        correlation: Uuid,
    ) -> Result<Option<Value>, AzureError> {
        let Some(tracker) = self.tracker(accepted)? else {
            return Ok(None);
        };
        let begun = Instant::now();
        let mut wait = accepted.retry_after();
        loop {
            let wait_for = wait
                .unwrap_or_else(|| ms(self.config().poll_interval_ms))
                .clamp(SHORTEST_WAIT, LONGEST_WAIT);
            if begun.elapsed() + wait_for > limit {
                return Err(AzureError::OperationTimeout {
                    path: accepted.path.clone(),
                    waited_seconds: begun.elapsed().as_secs(),
                });
            }
            tokio::time::sleep(wait_for).await;
            let place = match &tracker {
                Tracker::AsyncOperation(url, _) | Tracker::Location(url) => url.clone(),
                Tracker::Resource => url.clone(),
            };
            let answer = self.get(place, correlation).await.map_err(unproven)?;
            wait = answer.retry_after();
            match progress(&tracker, &answer, &accepted.path)? {
                Progress::Running => {}
                Progress::Done(Some(output)) => return Ok(Some(output)),
                Progress::Done(None) => {
                    // Compute keeps the output of an operation at its Location.
                    let Tracker::AsyncOperation(_, Some(result)) = &tracker else {
                        return Ok(None);
                    };
                    if accepted.method != Method::POST {
                        return Ok(None);
                    }
                    let answer = self
                        .get(result.clone(), correlation)
                        .await
                        .map_err(unproven)?;
                    return if answer.body.is_empty() {
                        Ok(None)
                    } else {
                        answer.json().map(Some)
                    };
                }
            }
        }
    }
}

/// A refused poll says nothing about the operation, so it must not read as a
/// refusal of the write.
fn unproven(error: AzureError) -> AzureError {
    match error {
        AzureError::Refused {
            status,
            method,
            path,
            body,
        } => AzureError::BadResponse {
            status,
            method,
            path,
            reason: format!(
                "the operation cannot be followed: {} {}",
                body.code, body.message
            ),
        },
        AzureError::Unreachable {
            method,
            path,
            reason,
            ..
        } => AzureError::Unreachable {
            method,
            path,
            reason,
            sent: true,
        },
        AzureError::Credential { reason } => AzureError::Unreachable {
            method: "GET".to_owned(),
            path: String::new(),
            reason,
            sent: true,
        },
        other => other,
    }
}

/// What a poll's answer says.
///
/// # Errors
/// [`AzureError::OperationFailed`] or [`AzureError::BadResponse`].
pub fn progress(
    tracker: &Tracker,
    answer: &ArmResponse,
    path: &str,
) -> Result<Progress, AzureError> {
    match tracker {
        Tracker::Location(_) if answer.status == StatusCode::ACCEPTED => Ok(Progress::Running),
        Tracker::Location(_) if answer.body.is_empty() => Ok(Progress::Done(None)),
        Tracker::Location(_) => answer.json().map(|body| Progress::Done(Some(body))),
        Tracker::Resource => match provisioning_state(&answer.object()?) {
            State::Running => Ok(Progress::Running),
            State::Succeeded => Ok(Progress::Done(None)),
            State::Ended(status) => Err(AzureError::OperationFailed {
                path: path.to_owned(),
                status,
                body: Box::default(),
            }),
        },
        Tracker::AsyncOperation(..) => {
            let body = answer.object()?;
            let Some(status) = body.get("status").and_then(Value::as_str) else {
                return Err(answer.bad("an operation without a status"));
            };
            match State::of(status) {
                State::Running => Ok(Progress::Running),
                // AKS was seen to answer Succeeded with an error beside it: what
                // was asked for is then not known to be in force.
                State::Succeeded if body.get("error").is_none_or(Value::is_null) => {
                    let output = body.pointer("/properties/output").cloned();
                    Ok(Progress::Done(output.filter(|output| !output.is_null())))
                }
                State::Succeeded | State::Ended(_) => Err(AzureError::OperationFailed {
                    path: path.to_owned(),
                    status: status.to_owned(),
                    body: Box::new(ArmErrorBody::parse(&answer.body).unwrap_or_default()),
                }),
            }
        }
    }
}

enum State {
    Running,
    Succeeded,
    Ended(String),
}

impl State {
    fn of(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "succeeded" => Self::Succeeded,
            "failed" | "canceled" | "cancelled" => Self::Ended(text.to_owned()),
            _ => Self::Running,
        }
    }
}

fn provisioning_state(resource: &Value) -> State {
    resource
        .pointer("/properties/provisioningState")
        .and_then(Value::as_str)
        .map_or(State::Succeeded, State::of)
}
