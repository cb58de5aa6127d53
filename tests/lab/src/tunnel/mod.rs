//! The tunnel: agents in nodes keep connections to a server beside the API server, which asks
//! them to dial.

mod agent;
mod datagrams;
mod multiplexer;
mod server;

pub(crate) use agent::connect;
pub use agent::{Agent, AgentSettings};
pub(crate) use datagrams::SERVER_NAME as TUNNEL_SERVER_NAME;
pub use server::{ServerSocket, TunnelServer};

/// What a client of the API server says instead of a node's name: konnectivity shares its port.
pub(crate) const API_CLIENT: &str = "api client";

/// A line of a tunnel stream: a node's name, a target, or an agent's answer.
const MAX_LINE_BYTES: usize = 512;

/// Reads a line byte by byte, so that nothing behind it is taken.
async fn read_line(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<String> {
    use tokio::io::AsyncReadExt as _;
    let mut line = Vec::new();
    while line.len() < MAX_LINE_BYTES {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte => line.push(byte),
        }
    }
    Err(std::io::Error::other("a line of the tunnel is too long"))
}
