//! Workloads that hold connections to the API server, and so use up outbound ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::data_plane::NodeName;
use crate::machine::Machine;
use crate::tunnel::API_CLIENT;

/// Between two tries of one connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Connections of one workload that are being tried at once.
const TRIES_AT_ONCE: usize = 64;

/// What a workload has seen of its connections.
#[derive(Debug, Default)]
struct Counters {
    open: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    untried: AtomicU64,
}

/// Outbound connections of a node since its workloads started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundUsage {
    /// The node.
    pub node: NodeName,
    /// Connections open now.
    pub open: u64,
    /// Connections that came about.
    pub succeeded: u64,
    /// Tries that got no answer.
    pub failed: u64,
}

/// A running workload; dropping it closes its connections.
#[derive(Debug)]
pub(super) struct RunningWorkload {
    node: NodeName,
    counters: Arc<Counters>,
    _connections: JoinSet<()>,
}

impl RunningWorkload {
    pub(super) fn start(
        node: NodeName,
        connections: u32,
        machine: Arc<Machine>,
        target: SocketAddr,
        limit: Duration,
    ) -> Self {
        let counters = Arc::new(Counters {
            untried: AtomicU64::new(connections.into()),
            ..Counters::default()
        });
        let tries = Arc::new(Semaphore::new(TRIES_AT_ONCE));
        let mut running = JoinSet::new();
        for _ in 0..connections {
            let machine = Arc::clone(&machine);
            let counters = Arc::clone(&counters);
            let tries = Arc::clone(&tries);
            running.spawn(async move {
                let mut tried = false;
                loop {
                    hold_connection(&machine, target, limit, &counters, &tries, &mut tried).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self {
            node,
            counters,
            _connections: running,
        }
    }

    /// Whether every connection has been tried.
    pub(super) fn is_settled(&self) -> bool {
        self.counters.untried.load(Ordering::Relaxed) == 0
    }

    pub(super) fn usage(&self) -> OutboundUsage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutboundUsage {
            node: self.node.clone(),
            open: read(&self.counters.open),
            succeeded: read(&self.counters.succeeded),
            failed: read(&self.counters.failed),
        }
    }
}

async fn hold_connection(
    machine: &Machine,
    target: SocketAddr,
    limit: Duration,
    counters: &Counters,
    tries: &Semaphore,
    tried: &mut bool,
) {
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let connected = {
        let _permit = tries.acquire().await;
        match machine.tcp_socket().await {
            Ok(socket) => tokio::time::timeout(limit, socket.connect(target)).await,
            Err(_) => return,
        }
    };
    match &connected {
        Ok(Ok(_)) => count(&counters.succeeded),
        _ => count(&counters.failed),
    };
    if !std::mem::replace(tried, true) {
        counters.untried.fetch_sub(1, Ordering::Relaxed);
    }
    if let Ok(Ok(mut socket)) = connected {
        count(&counters.open);
        let introduction = format!("{API_CLIENT}\n");
        if socket.write_all(introduction.as_bytes()).await.is_ok() {
            // The server says nothing: this ends with the connection.
            let _ = socket.read_u8().await;
        }
        counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}
