//! Streams of the façade as streams of a call.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use naosu_engine::{Code, Error, facade::ItemStream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::status::status_of_error;

/// What a server-streamed call answers with.
pub type MessageStream<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Each item as a message; ends with `shutting_down` when the server goes down,
/// because a run can outlast it.
pub fn messages<T: Send + 'static, M: Send + 'static>(
    items: ItemStream<T>,
    stop: CancellationToken,
    into_message: impl Fn(T) -> M + Send + 'static,
) -> MessageStream<M> {
    let until_stopped = stream::unfold(Some((items, stop)), |state| async move {
        let (mut items, stop) = state?;
        tokio::select! {
            biased;
            item = items.next() => item.map(|item| (item, Some((items, stop)))),
            () = stop.cancelled() => Some((Err(shutting_down()), None)),
        }
    });
    Box::pin(until_stopped.map(move |item| item.map(&into_message).map_err(status_of_error)))
}

fn shutting_down() -> Error {
    Error::new(
        Code::ShuttingDown,
        "the server is going down; what was begun goes on at its next start",
        "ask again when the server is back: `naosu run watch <id>`",
    )
}
