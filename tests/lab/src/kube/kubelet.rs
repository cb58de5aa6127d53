//! What the API server asks a kubelet for, through the tunnel, and how it
//! words the failure.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::state::State;
use super::status::Failure;
use crate::data_plane::TunnelError;

/// The kubelet's port.
pub(super) const PORT: u16 = 10250;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Asks the kubelet at `address`; `Err` is the failure in the words of the
/// API server's own HTTP client, without the URL.
pub(super) async fn get(
    state: &State,
    address: IpAddr,
    port: u16,
    path_and_query: &str,
) -> Result<Response<Body>, String> {
    let stream = state
        .data_plane
        .dial_through_tunnel(address, port)
        .await
        .map_err(|error| dial_failure(&error))?;
    let connector = TlsConnector::from(state.data_plane.kubelet_tls());
    let handshake = connector.connect(ServerName::IpAddress(address.into()), stream);
    let stream = match tokio::time::timeout(HANDSHAKE_LIMIT, handshake).await {
        Err(_) => return Err("net/http: TLS handshake timeout".to_owned()),
        Ok(Err(error)) => return Err(tls_failure(&error)),
        Ok(Ok(stream)) => stream,
    };
    let broken = |error: hyper::Error| match error.is_incomplete_message() {
        true => "EOF".to_owned(),
        false => format!("http2: client connection lost ({error})"),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a kubelet ended");
        }
    });
    let request = Request::get(path_and_query)
        .header("host", format!("{address}:{port}"))
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(ANSWER_LIMIT, sender.send_request(request)).await {
        Err(_) => Err("http2: client connection lost".to_owned()),
        Ok(Err(error)) => Err(broken(error)),
        Ok(Ok(response)) => Ok(response.map(Body::new)),
    }
}

/// A pod's log; a failure carries the URL, as Go's HTTP client writes it.
pub(super) async fn container_log(
    state: &State,
    address: IpAddr,
    path_and_query: &str,
) -> Result<Response<Body>, Failure> {
    let response = get(state, address, PORT, path_and_query)
        .await
        .map_err(|error| {
            Failure::unexplained(format!(
                "Get \"https://{address}:{PORT}{path_and_query}\": {error}"
            ))
        })?;
    if response.status().is_success() {
        let mut response = response;
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("text/plain"));
        return Ok(response);
    }
    let code = response.status();
    let text = axum::body::to_bytes(response.into_body(), 64 * 1024)
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(match code {
        StatusCode::NOT_FOUND => Failure::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("the server could not find the requested resource ( pods/log ): {text}"),
        ),
        _ => Failure::new(
            code,
            "InternalError",
            format!(
                "an error on the server (\"{text}\") has prevented the request from succeeding"
            ),
        ),
    })
}

fn dial_failure(error: &TunnelError) -> String {
    // The words for a dialer; an HTTP client shows only what follows them.
    let words = error.to_string();
    match words.strip_prefix("error dialing backend: ") {
        Some(rest) => rest.to_owned(),
        None => words,
    }
}

fn tls_failure(error: &std::io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::InternalError)) => {
            "remote error: tls: internal error".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(_)) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        Some(other) => format!("remote error: tls: {other}"),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => error.to_string(),
    }
}
