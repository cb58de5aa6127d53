//! The tunnel server, on the control plane's side.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::{Endpoint, Incoming};
use rand::seq::IteratorRandom as _;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use yamux::Mode;

use super::multiplexer::{OpenRequest, drive};
use super::{API_CLIENT, datagrams, read_line};
use crate::data_plane::{NodeName, TunnelError, TunnelStream};

/// Beyond the agent's own time limit, before the server gives up on an agent that says nothing.
const SILENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
struct Session {
    number: u64,
    open: mpsc::Sender<OpenRequest>,
}

type Sessions = Arc<watch::Sender<BTreeMap<NodeName, Session>>>;

/// Where a tunnel server waits for agents.
pub enum ServerSocket {
    /// TCP: konnectivity, tunnelfront.
    Streams(TcpListener),
    /// UDP: aks-link.
    Datagrams(UdpSocket, Arc<rustls::ServerConfig>),
}

/// The tunnel server with the agents connected to it.
#[derive(Debug)]
pub struct TunnelServer {
    sessions: Sessions,
    dial_limit: Duration,
    accepting: AbortHandle,
}

impl TunnelServer {
    /// Serves agents on a socket; `dial_limit` is how long agents dial.
    ///
    /// # Errors
    /// The socket cannot be served.
    pub fn start(socket: ServerSocket, dial_limit: Duration) -> io::Result<Self> {
        let sessions: Sessions = Arc::new(watch::channel(BTreeMap::new()).0);
        let accepting = match socket {
            ServerSocket::Streams(listener) => {
                tokio::spawn(accept_streams(listener, Arc::clone(&sessions)))
            }
            ServerSocket::Datagrams(socket, tls) => {
                let endpoint = datagrams::server(socket, tls)?;
                tokio::spawn(accept_datagrams(endpoint, Arc::clone(&sessions)))
            }
        };
        Ok(Self {
            sessions,
            dial_limit,
            accepting: accepting.abort_handle(),
        })
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

async fn accept_streams(listener: TcpListener, sessions: Sessions) {
    // Dropped with this task, so that no connection outlives the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    connections.spawn(serve_stream(socket, Arc::clone(&sessions)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_stream(mut socket: TcpStream, sessions: Sessions) -> io::Result<()> {
    let node = introduction(&mut socket).await?;
    if node.as_str() == API_CLIENT {
        return hold(socket).await;
    }
    let (_registered, requests) = Registered::new(node, sessions);
    // An agent opens no streams of its own.
    drive(socket, Mode::Server, requests, drop).await;
    Ok(())
}

/// A client of the API server that says nothing and stays.
async fn hold(mut socket: TcpStream) -> io::Result<()> {
    let mut unread = tokio::io::sink();
    tokio::io::copy(&mut socket, &mut unread).await.map(drop)
}

async fn accept_datagrams(endpoint: Endpoint, sessions: Sessions) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => {
                    connections.spawn(serve_datagrams(incoming, Arc::clone(&sessions)));
                }
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_datagrams(incoming: Incoming, sessions: Sessions) -> io::Result<()> {
    let connection = incoming.await?;
    let mut hello = connection.accept_uni().await?;
    let node = introduction(&mut hello).await?;
    let (_registered, requests) = Registered::new(node, sessions);
    datagrams::open_on_request(&connection, requests).await;
    Ok(())
}

async fn introduction(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<NodeName> {
    const LIMIT: Duration = Duration::from_secs(5);
    let name = tokio::time::timeout(LIMIT, read_line(stream)).await??;
    Ok(NodeName(name))
}

/// An agent among the sessions, as long as its connection is served.
struct Registered {
    node: NodeName,
    number: u64,
    sessions: Sessions,
}

impl Registered {
    fn new(node: NodeName, sessions: Sessions) -> (Self, mpsc::Receiver<OpenRequest>) {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (open, requests) = mpsc::channel(16);
        sessions.send_modify(|sessions| {
            sessions.insert(node.clone(), Session { number, open });
        });
        let registered = Self {
            node,
            number,
            sessions,
        };
        (registered, requests)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A newer connection of the same agent stays.
        self.sessions.send_modify(|sessions| {
            if sessions
                .get(&self.node)
                .is_some_and(|known| known.number == self.number)
            {
                sessions.remove(&self.node);
            }
        });
    }
}
