//! HTTPS on a kubelet's port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::logs::container_logs;
use super::pods::PodsOfNode;
use crate::data_plane::AsyncReadWrite;
use crate::estate::KubeletFault;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Serves a kubelet until the future is dropped, and its connections with it.
pub async fn serve_listener(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    pods: PodsOfNode,
    fault: Option<KubeletFault>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    let (tls, pods) = (Arc::clone(&tls), pods.clone());
                    connections.spawn(async move {
                        match fault {
                            None => serve_connection(socket, tls, pods).await,
                            Some(KubeletFault::PlainHttp) => serve_http(socket, pods).await,
                            Some(KubeletFault::NoCertificate) => end_handshake(socket).await,
                        }
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end.
///
/// # Errors
/// TLS or the connection failed.
pub async fn serve_connection(
    socket: impl AsyncReadWrite + 'static,
    tls: Arc<rustls::ServerConfig>,
    pods: PodsOfNode,
) -> io::Result<()> {
    let handshake = TlsAcceptor::from(tls).accept(socket);
    let stream = tokio::time::timeout(HANDSHAKE_LIMIT, handshake).await??;
    serve_http(stream, pods).await
}

/// Ends a TLS handshake as Go's server does when it has no certificate to show.
async fn end_handshake(mut socket: impl AsyncReadWrite) -> io::Result<()> {
    // An alert record of TLS 1.2: fatal, internal error.
    const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
    let mut hello = [0; 4096];
    let read = socket.read(&mut hello);
    tokio::time::timeout(HANDSHAKE_LIMIT, read).await??;
    socket.write_all(&INTERNAL_ERROR).await?;
    socket.shutdown().await
}

async fn serve_http(stream: impl AsyncReadWrite + 'static, pods: PodsOfNode) -> io::Result<()> {
    let service = TowerToHyperService::new(router(pods));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

fn router(pods: PodsOfNode) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/pods", get(list_pods))
        .route(
            "/containerLogs/{namespace}/{pod}/{container}",
            get(container_logs),
        )
        .with_state(pods)
}

async fn list_pods(axum::extract::State(pods): axum::extract::State<PodsOfNode>) -> Json<Value> {
    let items: Vec<Value> = pods
        .all()
        .into_iter()
        .map(|running| running.pod.manifest)
        .collect();
    Json(json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
}
