//! Log lines of a container, as far back as asked and as long as somebody follows.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Deserialize;
use tokio_stream::wrappers::IntervalStream;

use super::pods::PodsOfNode;

/// Lines every container has printed when it is first asked.
const LINES_AT_START: u64 = 20;
const LINE_PERIOD: Duration = Duration::from_secs(1);

/// The options of `kubectl logs` that the kubelet sees.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogOptions {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
}

/// `GET /containerLogs/{namespace}/{pod}/{container}`
pub(super) async fn container_logs(
    State(pods): State<PodsOfNode>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Query(options): Query<LogOptions>,
) -> Response {
    let Some(running) = pods.find(&namespace, &name) else {
        let message = format!("pod \"{namespace}/{name}\" does not exist\n");
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    if !running.pod.containers.contains(&container) {
        let message = format!("container {container} not found in pod \"{namespace}/{name}\"\n");
        return (StatusCode::NOT_FOUND, message).into_response();
    }
    if options.previous {
        let message =
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found\n");
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let age = Timestamp::now().duration_since(running.since).as_secs();
    let printed = LINES_AT_START + u64::try_from(age).unwrap_or_default();
    let first = printed - options.tail_lines.unwrap_or(printed).min(printed);
    let line = move |number: u64| {
        let number_of_seconds = i64::try_from(number).unwrap_or_default();
        let offset = number_of_seconds - i64::try_from(LINES_AT_START).unwrap_or_default();
        let time = running.since + jiff::SignedDuration::from_secs(offset);
        let prefix = if options.timestamps {
            format!("{time} ")
        } else {
            String::new()
        };
        let text = format!("{prefix}level=info pod={name} container={container} line={number}\n");
        Ok::<_, std::convert::Infallible>(Bytes::from(text))
    };
    let past = stream::iter((first..printed).map(line.clone()));
    let body = if options.follow {
        let from = tokio::time::Instant::now() + LINE_PERIOD;
        let ticks = IntervalStream::new(tokio::time::interval_at(from, LINE_PERIOD));
        let future = ticks
            .zip(stream::iter(printed..))
            .map(move |(_, number)| line(number));
        Body::from_stream(past.chain(future))
    } else {
        Body::from_stream(past)
    };
    ([(CONTENT_TYPE, "text/plain")], body).into_response()
}
