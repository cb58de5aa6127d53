//! The product as its users run it: the `naosu` binary and `kubectl`, pointed
//! at a lab.

mod command;
mod faces;
mod kubectl;
mod naosu;

pub use command::{Finished, ProductError};
pub use faces::{Mcp, Server};
pub use kubectl::Kubectl;
pub use naosu::Naosu;
