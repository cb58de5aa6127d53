//! Ground truth: whether a connection really comes about.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::data_plane::NodeName;
use crate::machine::{Machine, MachineError};

/// Where a probe starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// In a node.
    FromNode(NodeName),
    /// Beside the API server.
    FromControlPlane,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    /// The connection was accepted.
    Connected,
    /// Something answered that it refuses.
    Refused,
    /// Nothing answered.
    TimedOut,
}

pub(super) async fn connect(
    machine: &Machine,
    target: SocketAddr,
    limit: Duration,
) -> Result<ProbeResult, MachineError> {
    let socket = machine.tcp_socket().await?;
    Ok(
        match tokio::time::timeout(limit, socket.connect(target)).await {
            Ok(Ok(_)) => ProbeResult::Connected,
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => ProbeResult::TimedOut,
            Ok(Err(_)) => ProbeResult::Refused,
            Err(_) => ProbeResult::TimedOut,
        },
    )
}
