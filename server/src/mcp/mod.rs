//! The face for AI assistants: MCP tools over stdio.
//!
//! An assistant can diagnose, plan, explain, apply what a person approved and
//! roll back. It cannot approve: there is no such tool, and its principal is
//! refused by the engine besides.

mod answer;
mod catalog;
mod server;
mod tools;

use std::sync::Arc;

use naosu_engine::{Code, Error, Naosu};
use rmcp::{ServiceExt as _, transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use server::McpServer;

/// Serves on this process's standard input and output until the client closes
/// them or `stop` is cancelled, as an assistant of `on_behalf_of`. Nothing else may write to standard output meanwhile.
///
/// # Errors
/// When the client does not initialise as MCP demands.
pub async fn serve_stdio(
    naosu: Arc<dyn Naosu>,
    on_behalf_of: &str,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (input, output) = transport::stdio();
    serve(naosu, on_behalf_of, stop, input, output).await
}

/// Serves on any pair of streams until the client closes them or `stop` is
/// cancelled.
///
/// # Errors
/// When the client does not initialise as MCP demands.
pub async fn serve(
    naosu: Arc<dyn Naosu>,
    on_behalf_of: &str,
    stop: CancellationToken,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> Result<(), Error> {
    let failed = |what: &str, reason: &dyn std::fmt::Display| {
        Error::new(
            Code::InvalidParameter,
            format!("{what}: {reason}"),
            "start `naosu mcp` from an MCP client, which speaks JSON-RPC on its input",
        )
    };
    let server = McpServer::new(naosu, on_behalf_of);
    let running = match server.serve_with_ct((input, output), stop).await {
        Ok(running) => running,
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(reason) => return Err(failed("the MCP client did not initialise", &reason)),
    };
    match running.waiting().await {
        Ok(_) => Ok(()),
        Err(reason) => Err(failed("the MCP session broke off", &reason)),
    }
}
