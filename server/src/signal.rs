//! Being asked to end.

use std::future;

use tokio::signal::unix::{SignalKind, signal};

/// Ends at the first SIGINT or SIGTERM from now on.
pub async fn asked_to_end() {
    let term = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => future::pending().await,
        }
    };
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = term => {}
        () = interrupt => {}
    }
}
