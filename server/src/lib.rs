//! The server `naosu`: faces (gRPC, MCP, command line), configuration,
//! authentication and drivers around the engine.

mod approvals;
pub mod auth;
pub mod cli;
pub mod config;
pub mod connection;
pub mod drivers;
pub mod embed;
mod error_text;
pub mod escape;
pub mod grpc;
pub mod log;
pub mod mcp;
mod signal;
