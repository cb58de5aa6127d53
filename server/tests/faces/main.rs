//! gRPC, MCP and the command line over one scripted product, through real
//! sockets and the built binary.

mod assistant;
mod cli;
mod grpc;
mod limits;
mod model;
mod packets;
#[allow(dead_code)] // the MCP tests use all of it
#[path = "../mcp/product.rs"]
mod product;
mod served;
mod terminal;
mod wire;
