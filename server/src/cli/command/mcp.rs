//! `naosu mcp`.

use naosu_engine::Error;
use tokio_util::sync::CancellationToken;

use crate::{cli::exit::Exit, config::Config, connection::Connection, mcp, signal::asked_to_end};

/// Serves until standard input ends or the process is asked to end.
pub async fn serve(config: &Config) -> Result<Exit, Error> {
    // Before the connection: opening it resumes runs.
    let asked = asked_to_end();
    tokio::pin!(asked);
    let connection = tokio::select! {
        biased;
        opened = Connection::open_for_assistant(config) => opened?,
        () = &mut asked => return Ok(Exit::Success),
    };
    let stop = CancellationToken::new();
    let name = &connection.caller.principal.name;
    let served = mcp::serve_stdio(connection.naosu.clone(), name, stop.clone());
    let result = tokio::select! {
        result = served => result,
        () = &mut asked => {
            eprintln!("asked to end: effects in flight are finished and journaled first");
            stop.cancel();
            Ok(())
        }
    };
    connection.close().await;
    result.map(|()| Exit::Success)
}
