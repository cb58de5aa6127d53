//! Machines of the lab: threads that live in Linux namespaces of their own.
//!
//! A namespace here has no name and no process: it lives as long as the lab's thread and sockets
//! in it do, so that the kernel takes it away however the lab ends.

mod cable;
mod namespace;
mod private_files;
mod script;
mod user_namespace;

pub(crate) use cable::succeed;
pub use cable::{AddressedCable, connect_to_fabric};
pub use namespace::{Machine, MachineError};
pub use private_files::NodeFiles;
pub use script::{OWNER_VARIABLE, run_script};
pub use user_namespace::become_root;
