//! One command's work on the façade: open, do it, close, whatever comes.

use std::{future::Future, sync::Arc, time::Duration};

use naosu_engine::Error;
use tokio::time::timeout;

use super::{exit::Exit, output::Printer};
use crate::{config::Config, connection::Connection, signal::asked_to_end};

/// A command that listens itself, such as one that watches a run, says more exactly
/// what was interrupted. It hears of it at the same moment, so this is long.
const OWN_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// Opens a connection, does `work` with it and closes it. Asked to end, it
/// leaves `work` and closes: an effect in flight in this process is finished and
/// journaled first, whichever command it is that the run was resumed by.
///
/// # Errors
/// Those of opening, and of `work`.
pub async fn with_connection<F, Fut>(
    config: &Config,
    printer: &Printer,
    work: F,
) -> Result<Exit, Error>
where
    F: FnOnce(Arc<Connection>) -> Fut,
    Fut: Future<Output = Result<Exit, Error>>,
{
    // Before the connection: opening it resumes runs.
    let asked = asked_to_end();
    tokio::pin!(asked);
    // Runs are resumed by its last move, so that none is begun when it is left.
    let connection = tokio::select! {
        biased;
        opened = Connection::open(config) => Arc::new(opened?),
        () = &mut asked => return Ok(Exit::Interrupted),
    };
    let result = {
        let work = work(Arc::clone(&connection));
        tokio::pin!(work);
        tokio::select! {
            biased;
            result = &mut work => result,
            () = &mut asked => match timeout(OWN_WORDS_WITHIN, &mut work).await {
                Ok(result) => result,
                Err(_) => {
                    printer.note(if connection.is_embedded() {
                        "interrupted: where a run was going on, its effect in flight is finished \
                         and journaled first; `naosu run watch` goes on with it."
                    } else {
                        "interrupted: what was begun goes on at the server."
                    });
                    Ok(Exit::Interrupted)
                }
            },
        }
    };
    if let Some(connection) = Arc::into_inner(connection) {
        connection.close().await;
    }
    result
}
