//! What every emulator of the lab is served by: a small HTTP/1.1 server on
//! loopback that records each request and can be told to misbehave.

mod faults;
mod log;
mod server;
mod tls;

pub(crate) use faults::pattern_matches;
pub use faults::{CannedResponse, Fault, FaultAction, Faults, Gate};
pub use log::{RecordedRequest, RequestLog};
pub use server::{Handler, HttpServer, Received, listen};
pub use tls::{Authority, Identity, TlsError};
