//! The core of Naosu: observations in, findings and plans out, approved steps
//! executed under a journal. It knows no HTTP, no gRPC and no MCP; drivers and
//! faces are given to it and stand on it (see ARCHITECTURE.md).

pub mod clock;
pub mod driver;
pub mod effect;
pub mod engine;
pub mod error;
pub mod facade;
pub mod journal;
pub mod model;
pub mod planning;
pub mod plugin;
pub mod policy;
pub mod run;
pub mod snapshot;
pub mod store;
pub mod symptom;
mod tunnel;

pub use engine::{Engine, EngineConfig};
pub use error::{Code, Error};
pub use facade::Naosu;
