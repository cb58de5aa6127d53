//! The tunnel over UDP, as aks-link's: QUIC, whose packets a firewall sees as plain UDP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use tokio::sync::mpsc;

use super::multiplexer::OpenRequest;
use crate::data_plane::TunnelStream;

/// The name in the server's certificate.
pub(crate) const SERVER_NAME: &str = "tunnel-server";

const KEEP_ALIVE: Duration = Duration::from_secs(1);
const IDLE_LIMIT_MILLISECONDS: u32 = 5_000;

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_LIMIT_MILLISECONDS).into()));
    Arc::new(transport)
}

/// An endpoint that agents connect to.
pub(super) fn server(socket: UdpSocket, tls: Arc<rustls::ServerConfig>) -> io::Result<Endpoint> {
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport());
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
}

/// Where an agent sends from: any address and port of its node.
pub(super) fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

/// Connects an agent to its server, and says which node it runs on.
pub(super) async fn connect(
    socket: UdpSocket,
    tls: Arc<rustls::ClientConfig>,
    server: SocketAddr,
    node: &str,
) -> io::Result<(Endpoint, Connection)> {
    let crypto = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
    let connecting = endpoint.connect_with(config, server, SERVER_NAME);
    let connection = connecting.map_err(io::Error::other)?.await?;
    let mut introduction = connection.open_uni().await?;
    introduction
        .write_all(format!("{node}\n").as_bytes())
        .await?;
    introduction.finish().map_err(io::Error::other)?;
    Ok((endpoint, connection))
}

/// Opens streams to the agent on request until the connection ends.
pub(super) async fn open_on_request(
    connection: &Connection,
    mut requests: mpsc::Receiver<OpenRequest>,
) {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            _ = connection.closed() => return,
        };
        let Some(request) = request else { return };
        let Ok((send, receive)) = connection.open_bi().await else {
            return;
        };
        let _ = request.send(Box::new(tokio::io::join(receive, send)));
    }
}

/// Hands the server's streams to `accept` until the connection ends.
pub(super) async fn accept_all(connection: &Connection, mut accept: impl FnMut(TunnelStream)) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        accept(Box::new(tokio::io::join(receive, send)));
    }
}
