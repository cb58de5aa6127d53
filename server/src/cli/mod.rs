//! The command line: a translation of words to calls of the façade, and of
//! results to text or JSON.

pub mod args;
mod command;
pub mod exit;
mod output;
pub mod page;
mod progress;
pub mod render;
mod session;

use std::process::ExitCode;

use clap::Parser;
use naosu_engine::{Code, Error};

use args::{Cli, Command, ConfigCommand, Global};
use exit::Exit;
use output::Printer;

use crate::{
    config::{self, Config, Given, Origin, Override},
    log,
};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(&cli.global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run(cli, &printer));
            // Effects have ended by now; a thread that waits for a person's answer
            // must not hold the process.
            runtime.shutdown_background();
            exit
        }
        Err(e) => Err(Error::new(
            Code::Internal,
            format!("no thread can be started: {e}"),
            "check the limits of this user",
        )),
    };
    let exit = exit.unwrap_or_else(|error| {
        printer.error(&error);
        Exit::of_error(&error)
    });
    ExitCode::from(exit as u8)
}

async fn run(cli: Cli, printer: &Printer) -> Result<Exit, Error> {
    // What needs no configuration works with a broken one.
    match &cli.command {
        Command::Completion { shell } => return command::completion::print(*shell, printer),
        Command::Flow(question) => return command::flow::flow(question, printer),
        Command::Config(ConfigCommand::Example) => {
            printer.verbatim(config::EXAMPLE);
            return Ok(Exit::Success);
        }
        _ => {}
    }
    let config = load(&cli.global)?;
    log::start(&config.log);
    match cli.command {
        Command::Completion { .. } | Command::Flow(_) | Command::Config(_) => {
            printer.value(&serde_json::json!({"ok": true}), |page, _| {
                page.line(0, page::Tone::Good, "the configuration is correct");
            });
            Ok(Exit::Success)
        }
        Command::Serve => command::serve::serve(&config).await,
        Command::Mcp => command::mcp::serve(&config).await,
        Command::Diagnose(args) => command::diagnose::diagnose(&config, printer, args).await,
        Command::Diagnosis(args) => command::diagnose::diagnosis(&config, printer, args).await,
        Command::Plan(args) => command::plan::plan(&config, printer, args).await,
        Command::Apply(args) => command::run::apply(&config, printer, args).await,
        Command::Run(args) => command::run::run(&config, printer, args).await,
        Command::Plugin(args) => command::plugin::plugin(&config, printer, args).await,
    }
}

fn load(global: &Global) -> Result<Config, Error> {
    let flag = |flag: &str, key: &str, value: &str| Override {
        origin: Origin::Flag(flag.to_owned()),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut flags: Vec<Override> = global
        .settings
        .iter()
        .map(|(key, value)| flag(&format!("--set {key}"), key, value))
        .collect();
    if let Some(server) = &global.server {
        let quoted = toml::Value::String(server.clone()).to_string();
        flags.push(flag("--server", "server", &quoted));
    }
    config::load(&Given::of_process(global.config.clone(), flags))
}
