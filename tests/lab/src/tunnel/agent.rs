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
use super::read_line;
use crate::data_plane::{NodeName, TunnelStream};
use crate::machine::Machine;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A running agent; dropping it closes what it carries.
#[derive(Debug)]
pub struct Agent {
    running: AbortHandle,
}

impl Agent {
    /// Starts an agent on a node.
    pub fn start(
        node: NodeName,
        machine: Arc<Machine>,
        server: SocketAddr,
        dial_limit: Duration,
    ) -> Self {
        let running = tokio::spawn(run(node, machine, server, dial_limit)).abort_handle();
        Self { running }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn run(node: NodeName, machine: Arc<Machine>, server: SocketAddr, dial_limit: Duration) {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(&machine, server, dial_limit).await {
            Ok(socket) => {
                pause = FIRST_PAUSE;
                if let Err(reason) = serve(&node, &machine, socket, dial_limit).await {
                    tracing::debug!(%node, %reason, "tunnel agent lost its server");
                }
            }
            Err(reason) => tracing::debug!(%node, %reason, "tunnel agent cannot connect"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn serve(
    node: &NodeName,
    machine: &Arc<Machine>,
    mut socket: TcpStream,
    dial_limit: Duration,
) -> io::Result<()> {
    socket.write_all(format!("{node}\n").as_bytes()).await?;
    // Dropped with this call, so that no dialled connection outlives the agent.
    let mut dials = JoinSet::new();
    let (_never_opens, requests) = mpsc::channel(1);
    drive(socket, Mode::Client, requests, |stream| {
        while dials.try_join_next().is_some() {}
        dials.spawn(dial(stream, Arc::clone(machine), dial_limit));
    })
    .await;
    Ok(())
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
async fn connect(
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
