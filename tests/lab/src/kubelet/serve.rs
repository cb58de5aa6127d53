//! HTTPS on a kubelet's port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::logs::container_logs;
use super::pods::PodsOfNode;
use crate::data_plane::AsyncReadWrite;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Serves a kubelet until the future is dropped, and its connections with it.
pub async fn serve_listener(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    pods: PodsOfNode,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    connections.spawn(serve_connection(socket, Arc::clone(&tls), pods.clone()));
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
