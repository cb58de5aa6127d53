//! The tunnel asked to carry one request: a kubelet's health through the API server.

use std::time::Instant;

use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use naosu_engine::{
    error::{Code, Error},
    model::{
        ClusterId,
        query::{ObjectRef, ProbeResult},
    },
};
use serde_json::Value;

use super::{KubernetesDriver, KubernetesError, resource::check_name};
use crate::drivers::{
    config::ms,
    text::{MESSAGE_LIMIT, printable},
};

/// How much of an answer is read.
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

impl KubernetesDriver {
    /// Asks `/api/v1/nodes/<node>/proxy/healthz`.
    ///
    /// Any answer of the kubelet itself, were it 401, shows that the tunnel
    /// carries. The API server's own error is the result's text.
    ///
    /// # Errors
    /// When the API server could not be asked, may not be, or has no such node.
    pub async fn probe(&self, cluster: &ClusterId, node: &str) -> Result<ProbeResult, Error> {
        let object = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: node.to_owned(),
        };
        check_name(&object)?;
        let what = format!("tunnel probe of {object}");
        let client = self.client(cluster).await?;
        let request = http::Request::get(format!("/api/v1/nodes/{node}/proxy/healthz"))
            .header("accept", "*/*")
            .body(Body::empty())
            .map_err(|error| KubernetesError::Invalid {
                what: what.clone(),
                reason: error.to_string(),
            })?;
        let begun = Instant::now();
        let limit = ms(self.config.probe_timeout_ms);
        let asked = async {
            let response = client.send(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES)
                .collect()
                .await
                .map(|body| body.to_bytes().to_vec())
                .unwrap_or_default();
            Ok((status, body))
        };
        let answer = tokio::time::timeout(limit, asked).await;
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let failed = |error: String| ProbeResult {
            reached: false,
            error,
            elapsed_ms,
        };
        match answer {
            Err(_) => Ok(failed(format!(
                "the API server had no answer after {} s",
                limit.as_secs()
            ))),
            Ok(Err(error)) => Err(KubernetesError::of(&what, error).into()),
            Ok(Ok((status, body))) => match verdict(status, &body) {
                Verdict::Reached => Ok(ProbeResult {
                    reached: true,
                    error: String::new(),
                    elapsed_ms,
                }),
                Verdict::NotReached(text) => Ok(failed(text)),
                Verdict::NoNode(message) => Err(Error::new(
                    Code::NodeNotFound,
                    message,
                    "`kubectl get nodes` lists them",
                )),
                Verdict::Denied(status, message) => Err(KubernetesError::Refused {
                    what,
                    status,
                    reason: String::new(),
                    message,
                }
                .into()),
            },
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    NotReached(String),
    NoNode(String),
    Denied(u16, String),
}

/// Tells the API server's words from the kubelet's: its own are a `Status`
/// object, except that a failed dial is plain text under 502, 503 or 504.
fn verdict(status: u16, body: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(body);
    let own = serde_json::from_slice::<Value>(body)
        .ok()
        .filter(|value| value.get("kind").and_then(Value::as_str) == Some("Status"));
    let message = own
        .as_ref()
        .and_then(|value| value.get("message")?.as_str())
        .unwrap_or(&text);
    let message = printable(message, MESSAGE_LIMIT);
    let message = if message.is_empty() {
        format!("the API server answered {status}")
    } else {
        message
    };
    match (status, own.is_some()) {
        (404, true) => Verdict::NoNode(message),
        (401 | 403, true) => Verdict::Denied(status, message),
        (502..=504, _) | (400.., true) => Verdict::NotReached(message),
        _ => Verdict::Reached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(code: u16, message: &str) -> Vec<u8> {
        format!(r#"{{"kind":"Status","apiVersion":"v1","code":{code},"message":{message:?}}}"#)
            .into()
    }

    #[test]
    fn a_failed_dial_is_told_in_the_api_servers_words() {
        let dial = "error trying to reach service: dial tcp 10.224.0.5:10250: i/o timeout";
        assert_eq!(
            verdict(503, dial.as_bytes()),
            Verdict::NotReached(dial.into())
        );
        assert_eq!(
            verdict(500, &own(500, "No agent available")),
            Verdict::NotReached("No agent available".into())
        );
    }

    #[test]
    fn any_answer_of_the_kubelet_itself_shows_that_the_tunnel_carries() {
        assert_eq!(verdict(200, b"ok"), Verdict::Reached);
        assert_eq!(verdict(401, b"Unauthorized"), Verdict::Reached);
        assert_eq!(verdict(500, b"healthz check failed"), Verdict::Reached);
    }

    #[test]
    fn missing_rights_and_a_missing_node_are_no_verdict_on_the_tunnel() {
        assert_eq!(
            verdict(403, &own(403, "nodes is forbidden")),
            Verdict::Denied(403, "nodes is forbidden".into())
        );
        assert_eq!(
            verdict(404, &own(404, "nodes \"x\" not found")),
            Verdict::NoNode("nodes \"x\" not found".into())
        );
    }

    #[test]
    fn hostile_text_is_escaped() {
        assert_eq!(
            verdict(503, b"\x1b[2Jgone"),
            Verdict::NotReached("\\u{1b}[2Jgone".into())
        );
    }
}
