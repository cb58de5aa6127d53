//! Many streams over one connection.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, Mode};

use crate::data_plane::TunnelStream;

/// Where the opener of a stream waits for it.
pub(super) type OpenRequest = oneshot::Sender<TunnelStream>;

/// Keeps a connection going until its end: opens streams on request and hands the other side's
/// to `accept`.
pub(super) async fn drive<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    socket: T,
    mode: Mode,
    mut requests: mpsc::Receiver<OpenRequest>,
    mut accept: impl FnMut(TunnelStream),
) {
    let mut connection = Connection::new(socket.compat(), Config::default(), mode);
    let mut waiting = None;
    let mut can_open = true;
    std::future::poll_fn(|context| {
        loop {
            if can_open && waiting.is_none() {
                match requests.poll_recv(context) {
                    Poll::Ready(Some(request)) => waiting = Some(request),
                    Poll::Ready(None) => can_open = false,
                    Poll::Pending => {}
                }
            }
            if let Some(request) = waiting.take() {
                match open(&mut connection, context) {
                    Poll::Ready(Some(stream)) => {
                        let _ = request.send(stream);
                        continue;
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => waiting = Some(request),
                }
            }
            match connection.poll_next_inbound(context) {
                Poll::Ready(Some(Ok(stream))) => accept(Box::new(stream.compat())),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

fn open<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connection: &mut Connection<Compat<T>>,
    context: &mut Context<'_>,
) -> Poll<Option<TunnelStream>> {
    connection.poll_new_outbound(context).map(|stream| {
        stream
            .ok()
            .map(|stream| Box::new(stream.compat()) as TunnelStream)
    })
}
