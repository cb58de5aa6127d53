//! The kubelet stand-in: what the API server asks of a node's port 10250.

mod authority;
mod logs;
mod pods;
mod serve;

pub use authority::{Authority, AuthorityError};
pub use pods::PodsOfNode;
pub use serve::{serve_connection, serve_listener};

/// The port of every kubelet.
pub const KUBELET_PORT: u16 = 10250;
