//! The accept loop: one task a connection, HTTP/1.1, in the clear or over TLS.
//!
//! axum's own `serve` cannot close a connection without an answer, which is
//! what a fault must be able to do; hence hyper underneath.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::faults::{CannedResponse, FaultAction, Faults};
use super::log::{RecordedRequest, RequestLog};

/// Larger bodies than any that Azure or Kubernetes would take.
const BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// A request with its body read.
#[derive(Clone, Debug)]
pub struct Received {
    /// HTTP method.
    pub method: Method,
    /// Request target.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Whole body.
    pub body: Bytes,
    /// Set when a fault wants the asynchronous operation to end as `Failed`:
    /// code and message.
    pub fail_operation: Option<(String, String)>,
}

impl Received {
    /// The value of a query parameter, percent-decoded; names are compared
    /// without case, as Azure does.
    pub fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Bearer token of the `Authorization` header.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.header("authorization")?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

/// Answers one request.
pub type Handler = Arc<dyn Fn(Received) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A running server; dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
}

impl HttpServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a server on loopback; port 0 takes a free one.
///
/// # Errors
/// The port cannot be bound.
pub async fn listen(
    port: u16,
    tls: Option<Arc<rustls::ServerConfig>>,
    faults: Faults,
    log: RequestLog,
    handler: Handler,
) -> io::Result<HttpServer> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let tls = tls.map(TlsAcceptor::from);
    tokio::spawn(accept(listener, tls, faults, log, handler, stop.clone()));
    Ok(HttpServer { address, stop })
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    faults: Faults,
    log: RequestLog,
    handler: Handler,
    stop: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let connection = Connection {
            faults: faults.clone(),
            log: log.clone(),
            handler: handler.clone(),
        };
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            let serving = async {
                match tls {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => connection.serve(stream).await,
                        Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                    },
                    None => connection.serve(stream).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = serving => {}
            }
        });
    }
}

#[derive(Clone)]
struct Connection {
    faults: Faults,
    log: RequestLog,
    handler: Handler,
}

/// The service's error: hyper closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = hyper::service::service_fn(move |request| self.clone().answer(request));
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
        let (parts, body) = request.into_parts();
        let body = match axum::body::to_bytes(Body::new(body), BODY_LIMIT_BYTES).await {
            Ok(body) => body,
            Err(error) => {
                tracing::debug!(%error, "request body not read");
                return Err(Closed);
            }
        };
        let place = self.log.push(RecordedRequest {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            body: body.clone(),
            status: None,
        });
        let path_and_query = parts.uri.path_and_query().map_or("/", |pq| pq.as_str());
        let fault = self.faults.take(&parts.method, path_and_query);
        let mut received = Received {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
            fail_operation: None,
        };
        let mut lose_response = false;
        let mut held = None;
        match fault {
            None => {}
            Some(FaultAction::Respond(canned)) => {
                self.log.answered(place, canned.status.as_u16());
                return Ok(canned_response(canned));
            }
            Some(FaultAction::Close) => return Err(Closed),
            Some(FaultAction::Hang) => std::future::pending().await,
            Some(FaultAction::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(FaultAction::Hold(gate)) => gate.passed().await,
            Some(FaultAction::HoldAnswer(gate)) => held = Some(gate),
            Some(FaultAction::LoseResponse) => lose_response = true,
            Some(FaultAction::FailOperation { code, message }) => {
                received.fail_operation = Some((code, message));
            }
        }
        // An effect goes on when its caller hangs up, as in a real service.
        let handling = tokio::spawn((self.handler)(received));
        let response = match handling.await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "the emulator failed on a request");
                status_only(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        if lose_response {
            return Err(Closed);
        }
        self.log.answered(place, response.status().as_u16());
        if let Some(gate) = held {
            gate.passed().await;
        }
        Ok(response)
    }
}

fn canned_response(canned: CannedResponse) -> Response<Body> {
    let mut builder = Response::builder().status(canned.status);
    for (name, value) in canned.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Body::from(canned.body))
        .unwrap_or_else(|_| status_only(canned.status))
}

fn status_only(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
