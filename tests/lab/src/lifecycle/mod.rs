//! A lab from start to end, and what a killed one left.

mod files;
mod lab;
mod leftovers;
mod outbound_metrics;
mod state_directory;

pub use lab::{DataPlaneChoice, Lab, LabError, LabOptions};
pub use leftovers::{Removed, remove_leftovers};
pub use state_directory::{StateDirectory, StateError, default_base};
