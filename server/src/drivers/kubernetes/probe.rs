//! The tunnel asked to carry one request: a kubelet's health through the API server.

use std::time::{Duration, Instant};

use futures::future::join_all;
use http_body_util::{BodyExt, Limited};
use kube::{Client, client::Body};
use naosu_engine::{
    error::{Code, Error},
    model::{
        ClusterId,
        query::{ObjectRef, ProbeResult},
    },
    symptom::is_peer_fault,
};
use serde_json::Value;

use super::{KubernetesDriver, KubernetesError, resource::check_name};
use crate::drivers::{
    config::ms,
    text::{MESSAGE_LIMIT, printable},
};

/// How much of an answer is read.
const ANSWER_LIMIT_BYTES: usize = 64 << 10;
/// How many requests one probe is, sent at once. The control plane gives each to
/// any agent: of two agents one that is deaf is missed by chance once in sixteen
/// probes, and a probe is made of every node.
const TRIES: u32 = 4;

impl KubernetesDriver {
    /// Asks `/api/v1/nodes/<node>/proxy/healthz`, a few times at once.
    ///
    /// Any answer of the kubelet itself, were it 401, shows that the tunnel
    /// carries; so does a TLS handshake that the kubelet ends, or plain HTTP in
    /// its place: then the result is reached and has an error all the same. The
    /// API server's own error is the result's text.
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
        let begun = Instant::now();
        let limit = ms(self.config.probe_timeout_ms);
        let tries = (0..TRIES).map(|_| one_try(&client, node, &what, limit));
        let verdicts = join_all(tries).await;
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut result = ProbeResult {
            elapsed_ms,
            ..ProbeResult::default()
        };
        let (mut fault, mut silence, mut not_made) = (None, None, None);
        for verdict in verdicts {
            match verdict {
                Ok(Verdict::Reached) => result.answered += 1,
                Ok(Verdict::AtFault(text)) => {
                    result.answered += 1;
                    fault.get_or_insert(text);
                }
                Ok(Verdict::NotReached(text)) => {
                    silence.get_or_insert(text);
                }
                Ok(Verdict::NoNode(message)) => {
                    return Err(Error::new(
                        Code::NodeNotFound,
                        message,
                        "`kubectl get nodes` lists them",
                    ));
                }
                Ok(Verdict::Denied(status, message)) => {
                    return Err(KubernetesError::Refused {
                        what,
                        status,
                        reason: String::new(),
                        message,
                    }
                    .into());
                }
                // A try that the API server never got says nothing of the tunnel.
                Err(error) => {
                    not_made.get_or_insert(error);
                    continue;
                }
            }
            result.tries += 1;
        }
        if let (0, Some(error)) = (result.tries, not_made) {
            return Err(error.into());
        }
        result.reached = silence.is_none();
        result.error = silence.or(fault).unwrap_or_default();
        Ok(result)
    }
}

async fn one_try(
    client: &Client,
    node: &str,
    what: &str,
    limit: Duration,
) -> Result<Verdict, KubernetesError> {
    let request = http::Request::get(format!("/api/v1/nodes/{node}/proxy/healthz"))
        .header("accept", "*/*")
        .body(Body::empty())
        .map_err(|error| KubernetesError::Invalid {
            what: what.to_owned(),
            reason: error.to_string(),
        })?;
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
    match tokio::time::timeout(limit, asked).await {
        Err(_) => Ok(Verdict::NotReached(format!(
            "the API server had no answer after {} s",
            limit.as_secs()
        ))),
        Ok(Err(error)) => Err(KubernetesError::of(what, error)),
        Ok(Ok((status, body))) => Ok(verdict(status, &body)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    /// Reached, and whoever answered did it wrongly.
    AtFault(String),
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
        (502..=504, _) | (400.., true) if is_peer_fault(&message) => Verdict::AtFault(message),
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
    fn a_kubelet_that_answers_wrongly_is_reached_and_at_fault() {
        for words in [
            "error trying to reach service: remote error: tls: internal error",
            "error trying to reach service: http: server gave HTTP response to HTTPS client",
            "error trying to reach service: tls: failed to verify certificate: x509: certificate has expired",
        ] {
            let seen = verdict(503, &own(503, words));
            assert_eq!(seen, Verdict::AtFault(words.into()));
        }
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
