//! `naosu plugin`.

use naosu_engine::Error;

use crate::{
    cli::{args::PluginCommand, exit::Exit, output::Printer, render, session::with_connection},
    config::Config,
};

/// Lists or inspects plugins.
pub async fn plugin(
    config: &Config,
    printer: &Printer,
    args: PluginCommand,
) -> Result<Exit, Error> {
    with_connection(config, printer, |connection| async move {
        match args {
            PluginCommand::List => {
                let plugins = connection.naosu.plugins().await?;
                printer.value(plugins.as_slice(), render::plugins);
            }
            PluginCommand::Inspect { id } => {
                let plugin = connection.naosu.plugin(&id).await?;
                printer.value(&plugin, render::plugin);
            }
        }
        Ok(Exit::Success)
    })
    .await
}
