//! The tunnel server, on the control plane's side.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::seq::IteratorRandom as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use yamux::Mode;

use super::multiplexer::{OpenRequest, drive};
use super::read_line;
use crate::data_plane::{NodeName, TunnelError, TunnelStream};

/// Beyond the agent's own time limit, before the server gives up on an agent that says nothing.
const SILENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
struct Session {
    number: u64,
    open: mpsc::Sender<OpenRequest>,
}

type Sessions = Arc<watch::Sender<BTreeMap<NodeName, Session>>>;

/// The tunnel server with the agents connected to it.
#[derive(Debug)]
pub struct TunnelServer {
    sessions: Sessions,
    dial_limit: Duration,
    accepting: AbortHandle,
}

impl TunnelServer {
    /// Serves agents on a listener; `dial_limit` is how long agents dial.
    pub fn start(listener: TcpListener, dial_limit: Duration) -> Self {
        let sessions: Sessions = Arc::new(watch::channel(BTreeMap::new()).0);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&sessions))).abort_handle();
        Self {
            sessions,
            dial_limit,
            accepting,
        }
    }

    /// Nodes whose agents are connected.
    pub fn connected(&self) -> Vec<NodeName> {
        self.sessions.borrow().keys().cloned().collect()
    }

    /// Waits until the agent of a node is connected, or is not, as asked.
    pub async fn wait_for(&self, node: &NodeName, connected: bool) {
        let mut sessions = self.sessions.subscribe();
        let _ = sessions
            .wait_for(|sessions| sessions.contains_key(node) == connected)
            .await;
    }

    /// Has a connected agent, any of them, dial a node port.
    ///
    /// # Errors
    /// In the words of the tunnel.
    pub async fn dial(&self, address: IpAddr, port: u16) -> Result<TunnelStream, TunnelError> {
        let target = SocketAddr::new(address, port);
        let session = self
            .sessions
            .borrow()
            .values()
            .choose(&mut rand::rng())
            .cloned()
            .ok_or(TunnelError::NoAgent)?;
        let dialing = async {
            let (request, opened) = oneshot::channel();
            let broken = |_| TunnelError::Closed;
            session
                .open
                .send(request)
                .await
                .map_err(|_| TunnelError::Closed)?;
            let mut stream = opened.await.map_err(|_| TunnelError::Closed)?;
            let question = format!("{target}\n");
            stream
                .write_all(question.as_bytes())
                .await
                .map_err(broken)?;
            stream.flush().await.map_err(broken)?;
            let answer = read_line(&mut stream).await.map_err(broken)?;
            if answer.is_empty() {
                Ok(stream)
            } else {
                Err(TunnelError::Dial(answer))
            }
        };
        tokio::time::timeout(self.dial_limit + SILENCE, dialing)
            .await
            .unwrap_or_else(|_| Err(TunnelError::Dial(format!("dial tcp {target}: i/o timeout"))))
    }
}

impl Drop for TunnelServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, sessions: Sessions) {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    // Dropped with this task, so that no connection outlives the server.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(serve(socket, number, Arc::clone(&sessions)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut socket: TcpStream, number: u64, sessions: Sessions) -> io::Result<()> {
    const INTRODUCTION: Duration = Duration::from_secs(5);
    let node = tokio::time::timeout(INTRODUCTION, read_line(&mut socket)).await??;
    let node = NodeName(node);
    let (open, requests) = mpsc::channel(16);
    sessions.send_modify(|sessions| {
        sessions.insert(node.clone(), Session { number, open });
    });
    // An agent opens no streams of its own.
    drive(socket, Mode::Server, requests, drop).await;
    sessions.send_modify(|sessions| {
        if sessions
            .get(&node)
            .is_some_and(|known| known.number == number)
        {
            sessions.remove(&node);
        }
    });
    Ok(())
}
