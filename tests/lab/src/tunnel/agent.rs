//! The tunnel agent of a node: it connects out, and dials from where it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use yamux::Mode;

use super::multiplexer::drive;
use super::{datagrams, read_line};
use crate::data_plane::{NodeName, TunnelStream};
use crate::machine::Machine;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The node it runs on.
    pub node: NodeName,
    /// The node's machine.
    pub machine: Arc<Machine>,
    /// The tunnel server.
    pub server: SocketAddr,
    /// What the tunnel server is trusted by, where the tunnel runs over UDP; else it is TCP.
    pub datagram_tls: Option<Arc<rustls::ClientConfig>>,
    /// How long it dials.
    pub dial_limit: Duration,
    /// Whether it is deaf: connected, and never answering.
    pub stale: bool,
    /// Whether it hangs: running, and never connecting.
    pub hung: bool,
}

/// A running agent; dropping it closes what it carries.
#[derive(Debug)]
pub struct Agent {
    running: AbortHandle,
}

impl Agent {
    /// Starts an agent.
    pub fn start(settings: AgentSettings) -> Self {
        let running = tokio::spawn(run(settings)).abort_handle();
        Self { running }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn run(settings: AgentSettings) {
    if settings.hung {
        return std::future::pending().await;
    }
    let node = &settings.node;
    let mut pause = FIRST_PAUSE;
    loop {
        let served = match &settings.datagram_tls {
            Some(tls) => serve_datagrams(&settings, Arc::clone(tls)).await,
            None => serve_stream(&settings).await,
        };
        match served {
            Ok(()) => pause = FIRST_PAUSE,
            Err(reason) => tracing::debug!(%node, %reason, "tunnel agent cannot connect"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn serve_stream(settings: &AgentSettings) -> Result<(), String> {
    let mut socket = connect(&settings.machine, settings.server, settings.dial_limit).await?;
    let introduction = format!("{}\n", settings.node);
    let introduced = socket.write_all(introduction.as_bytes()).await;
    introduced.map_err(|error| error.to_string())?;
    let mut dials = Dials::new(settings);
    let (_never_opens, requests) = mpsc::channel(1);
    drive(socket, Mode::Client, requests, |stream| dials.start(stream)).await;
    Ok(())
}

async fn serve_datagrams(
    settings: &AgentSettings,
    tls: Arc<rustls::ClientConfig>,
) -> Result<(), String> {
    let socket = settings.machine.udp_socket(datagrams::any_port()).await;
    let socket = socket.map_err(|error| error.to_string())?;
    let node = settings.node.as_str();
    let connecting = datagrams::connect(socket, tls, settings.server, node);
    let (_endpoint, connection) = tokio::time::timeout(settings.dial_limit, connecting)
        .await
        .map_err(|_| format!("udp {}: i/o timeout", settings.server))?
        .map_err(|error| error.to_string())?;
    let mut dials = Dials::new(settings);
    datagrams::accept_all(&connection, |stream| dials.start(stream)).await;
    Ok(())
}

/// What an agent dials; dropped with its connection, so that nothing dialled outlives it.
struct Dials<'a> {
    settings: &'a AgentSettings,
    running: JoinSet<io::Result<()>>,
}

impl<'a> Dials<'a> {
    fn new(settings: &'a AgentSettings) -> Self {
        Self {
            settings,
            running: JoinSet::new(),
        }
    }

    fn start(&mut self, stream: TunnelStream) {
        while self.running.try_join_next().is_some() {}
        if self.settings.stale {
            self.running.spawn(async move {
                let _held = stream;
                std::future::pending().await
            });
            return;
        }
        let machine = Arc::clone(&self.settings.machine);
        self.running
            .spawn(dial(stream, machine, self.settings.dial_limit));
    }
}

async fn dial(
    mut stream: TunnelStream,
    machine: Arc<Machine>,
    dial_limit: Duration,
) -> io::Result<()> {
    let target = read_line(&mut stream).await?;
    let connected = match target.parse::<SocketAddr>() {
        Ok(target) => connect(&machine, target, dial_limit).await,
        Err(_) => Err(format!("dial tcp {target}: missing port in address")),
    };
    match connected {
        Ok(mut socket) => {
            stream.write_all(b"\n").await?;
            stream.flush().await?;
            tokio::io::copy_bidirectional(&mut stream, &mut socket).await?;
        }
        Err(reason) => {
            stream.write_all(format!("{reason}\n").as_bytes()).await?;
            stream.shutdown().await?;
        }
    }
    Ok(())
}

/// Connects from a machine; a failure is worded as Go's network library does.
pub(crate) async fn connect(
    machine: &Machine,
    target: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, String> {
    let socket = machine
        .tcp_socket()
        .await
        .map_err(|reason| format!("dial tcp {target}: {reason}"))?;
    let connected = tokio::time::timeout(limit, socket.connect(target)).await;
    let reason = match connected {
        Ok(Ok(socket)) => return Ok(socket),
        Err(_) => "i/o timeout".to_owned(),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
            _ => error.to_string(),
        },
    };
    Err(format!("dial tcp {target}: {reason}"))
}
