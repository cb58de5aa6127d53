//! `naosu completion`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use naosu_engine::Error;

use crate::cli::{args::Cli, exit::Exit, output::Printer};

/// Prints completions.
pub fn print(shell: Shell, printer: &Printer) -> Result<Exit, Error> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "naosu", &mut script);
    printer.verbatim(&String::from_utf8_lossy(&script));
    Ok(Exit::Success)
}
