//! The core of Naosu: observations in, findings and plans out, approved steps
//! executed under a journal. It knows no HTTP, no gRPC and no MCP; drivers and
//! faces are given to it and stand on it (see ARCHITECTURE.md).

pub mod clock;
pub mod driver;
pub mod error;
pub mod facade;
pub mod journal;
pub mod model;
pub mod plugin;
pub mod store;

pub use error::{Code, Error};
pub use facade::Naosu;
