//! One command's work on the façade: open, do it, close, whatever comes.

use std::future::Future;

use naosu_engine::Error;

use super::exit::Exit;
use crate::{config::Config, connection::Connection};

/// Opens a connection, does `work` with it and closes it.
///
/// # Errors
/// Those of opening, and of `work`.
pub async fn with_connection<F, Fut>(config: &Config, work: F) -> Result<Exit, Error>
where
    F: FnOnce(std::sync::Arc<Connection>) -> Fut,
    Fut: Future<Output = Result<Exit, Error>>,
{
    let connection = std::sync::Arc::new(Connection::open(config).await?);
    let result = work(std::sync::Arc::clone(&connection)).await;
    if let Some(connection) = std::sync::Arc::into_inner(connection) {
        connection.close().await;
    }
    result
}
