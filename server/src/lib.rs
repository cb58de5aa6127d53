//! The server `naosu`: faces (gRPC, MCP, command line), configuration,
//! authentication and drivers around the engine.

pub mod drivers;
pub mod mcp;
