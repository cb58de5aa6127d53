//! Log lines, to standard error only: standard output belongs to results and to
//! the MCP protocol.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

pub use crate::config::sections::LogFormat;

/// What is written.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Level, or directives; checked before.
    pub level: String,
    /// Form of the lines.
    pub format: LogFormat,
}

/// Starts logging. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let mut filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("warn"));
    // It logs as errors what its caller asks to know: that a node is out of reach.
    if !config.level.contains("kube_client")
        && let Ok(directive) = "kube_client=off".parse()
    {
        filter = filter.add_directive(directive);
    }
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour);
    let started = match config.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // Only tests start it twice in one process.
    drop(started);
}
