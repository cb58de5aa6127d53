//! The commands.

pub mod completion;
pub mod diagnose;
pub mod flow;
pub mod mcp;
pub mod plan;
pub mod plugin;
pub mod run;
pub mod serve;
