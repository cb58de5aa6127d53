//! `naosu-lab`: an AKS estate on one machine, to point `naosu` and `kubectl` at.

mod commands;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Before any thread exists: the kernel asks for that.
    let not_root = naosu_lab::machine::become_root().err();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    if let Some(reason) = not_root {
        tracing::warn!(%reason, "no user namespace");
    }
    match commands::run(commands::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
