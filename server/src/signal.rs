//! Being asked to end.

use std::{
    future::{self, Future},
    io,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ends at the first SIGINT or SIGTERM after this call, not after the first
/// poll: until a signal is listened for, it kills the process where it stands.
pub fn asked_to_end() -> impl Future<Output = ()> + Send {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async {
        tokio::select! {
            () = received(terminate) => {}
            () = received(interrupt) => {}
        }
    }
}

async fn received(signal: io::Result<Signal>) {
    match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // It cannot be listened for, so it still does what the system says.
        Err(_) => future::pending().await,
    }
}
