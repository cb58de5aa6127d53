//! One run command: started, waited for, its message found.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{NodeDriver, NodeError, output::Page, script::Script};
use crate::drivers::{
    azure::{AzureError, ResourceId, client::ArmRequest, response::ArmResponse, retry::Retries},
    config::{RetryConfig, ms},
};

impl NodeDriver {
    /// Runs one script and finds the page it printed.
    ///
    /// # Errors
    /// [`NodeError`]; `unchanged` there says whether the script certainly did not run.
    pub(super) async fn run_page(
        &self,
        node: &str,
        instance: &ResourceId,
        script: &Script,
        repeatable: bool,
    ) -> Result<Page, NodeError> {
        let message = self
            .run_text(node, instance, &script.text, repeatable)
            .await?;
        Page::find(node, &script.nonce, &message)
    }

    async fn run_text(
        &self,
        node: &str,
        instance: &ResourceId,
        text: &str,
        repeatable: bool,
    ) -> Result<String, NodeError> {
        let correlation = Uuid::new_v4();
        let traced = |error: AzureError, answer: Option<&ArmResponse>| {
            let unchanged = error.certainly_not_applied();
            // Scripts that only read are told as other reads are.
            let error = if repeatable {
                error
            } else {
                error.of_write(correlation, answer)
            };
            NodeError::Way {
                unchanged,
                error: error.into(),
            }
        };
        let way = |error: AzureError| traced(error, None);
        let mut url = self.azure.url(instance).map_err(way)?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push("runCommand");
        }
        let lines: Vec<&str> = text.lines().collect();
        let request = ArmRequest {
            method: Method::POST,
            url: url.clone(),
            body: Some(json!({ "commandId": "RunShellScript", "script": lines })),
            if_match: None,
            correlation,
            repeatable,
        };
        let begun = Instant::now();
        let mut waits = Retries::new(&RetryConfig {
            attempts: u32::MAX,
            base_delay_ms: 500,
            delay_limit_ms: 10_000,
        });
        let accepted = loop {
            let answer = self.azure.send(&request).await.map_err(way)?;
            match answer.clone().success() {
                Ok(accepted) => break accepted,
                Err(error) if is_busy(&error) => {
                    let delay = waits.next_delay(None).unwrap_or(Duration::from_secs(10));
                    if begun.elapsed() + delay > ms(self.config.busy_timeout_ms) {
                        return Err(NodeError::Busy {
                            node: node.to_owned(),
                            waited_seconds: begun.elapsed().as_secs(),
                        });
                    }
                    tracing::debug!(node, "another run command holds the node");
                    tokio::time::sleep(delay).await;
                }
                Err(error) => return Err(traced(error, Some(&answer))),
            }
        };
        let limit = ms(self.config.command_timeout_ms);
        let output = self
            .azure
            .finish(&accepted, &url, limit, correlation)
            .await
            .map_err(|error| traced(error, Some(&accepted)))?;
        let output = match output {
            Some(output) => output,
            None => accepted
                .json()
                .map_err(|error| traced(error, Some(&accepted)))?,
        };
        message_of(&output).ok_or_else(|| NodeError::Malformed {
            node: node.to_owned(),
            reason: "the run command ended without a message".to_owned(),
        })
    }
}

/// Whether another run command holds the node. Azure refuses a second one, so
/// nothing was started and it can be tried again.
fn is_busy(error: &AzureError) -> bool {
    matches!(error, AzureError::Refused { status: 409, body, .. }
        if body.message.contains("execution is in progress") || body.has_code("Conflict"))
}

/// All messages of the result: one for Linux, one a stream for Windows.
fn message_of(output: &Value) -> Option<String> {
    let values = output.get("value")?.as_array()?;
    let messages: Vec<&str> = values
        .iter()
        .filter_map(|value| value.get("message")?.as_str())
        .collect();
    (!messages.is_empty()).then(|| messages.join("\n"))
}
