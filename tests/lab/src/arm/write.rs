//! PUT and DELETE of resources: checks, the change, and the asynchronous
//! operation that settles it in the packets.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::change::{prepare_delete, prepare_put};
use super::error::ArmError;
use super::id::ArmPath;
use super::operations::OperationUrls;
use super::reply::{Family, Reply};
use super::settle::{commit, settle, start};
use super::shape::Kind;
use super::state::State;
use super::target::{Target, check_group, find};
use crate::wire::Received;

/// Handles PUT.
pub(super) async fn put(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
) -> Result<Reply, ArmError> {
    let target = Target::of(path)?;
    let kind = target.kind();
    let incoming = body(request)?;
    let change = {
        let mut store = state.store();
        check_group(&store, path)?;
        let change = prepare_put(state, &mut store, request, path, target, incoming)?;
        if request.fail_operation.is_none() {
            commit(&mut store, &change);
        }
        change
    };
    let new = match target {
        Target::Own(_) => change.before.is_none(),
        Target::Embedded(embedded, _) => change
            .before
            .as_ref()
            .is_some_and(|before| embedded.find_in(&before.body, path.last_name()).is_none()),
    };
    let shown_state = match kind.family() {
        _ if kind.settled_in_answer => "Succeeded",
        Family::Network if !change.differs => "Succeeded",
        Family::Network => "Updating",
        _ if new => "Creating",
        _ => "Updating",
    };
    let shown = {
        let store = state.store();
        let whole = store.render_as(&change.after, shown_state);
        match target {
            Target::Own(_) => whole,
            Target::Embedded(embedded, _) => embedded
                .find_in(&whole, path.last_name())
                .cloned()
                .unwrap_or_default(),
        }
    };
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let etag = change.after.etag.render(kind.family());
    let location = change.after.body["location"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut reply = Reply::json(status, shown);
    if kind.family() == Family::Compute {
        reply = reply.header("etag", etag);
    }
    if !kind.asynchronous {
        settle(state, &change).await?;
        return Ok(reply);
    }
    let action = format!("Put{}Operation", short_name(path));
    let urls = start(
        state,
        request,
        path,
        api_version,
        &location,
        &action,
        change,
    );
    Ok(with_operation(reply, state, kind, &urls))
}

/// Handles DELETE.
pub(super) async fn delete(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
) -> Result<Reply, ArmError> {
    let target = Target::of(path)?;
    let kind = target.kind();
    let change = {
        let mut store = state.store();
        check_group(&store, path)?;
        let Ok(stored) = find(&store, path, target).cloned() else {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        };
        let change = prepare_delete(state, &mut store, request, path, target, stored)?;
        if request.fail_operation.is_none() {
            commit(&mut store, &change);
        }
        change
    };
    let location = change.after.body["location"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let status = if kind.asynchronous {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let action = format!("Delete{}Operation", short_name(path));
    let urls = start(
        state,
        request,
        path,
        api_version,
        &location,
        &action,
        change,
    );
    let result = urls.result.clone();
    Ok(with_operation(Reply::empty(status), state, kind, &urls).header("location", result))
}

fn body(request: &Received) -> Result<Value, ArmError> {
    serde_json::from_slice(&request.body).map_err(|error| {
        ArmError::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContent",
            format!("The request content was invalid and could not be deserialized: '{error}'."),
        )
    })
}

fn with_operation(reply: Reply, state: &State, kind: &Kind, urls: &OperationUrls) -> Reply {
    let reply = reply.header("azure-asyncoperation", urls.status.clone());
    let reply = match kind.family() {
        Family::ContainerService => reply,
        _ => reply.header("azure-asyncnotification", "Enabled"),
    };
    reply.header("retry-after", state.retry_after_seconds.to_string())
}

/// `SecurityRule` for `…/securityRules/x`, as operation names have it.
fn short_name(path: &ArmPath) -> String {
    let kind = path
        .segments
        .last()
        .map(|segment| segment.kind.trim_end_matches('s'))
        .unwrap_or_default();
    let mut letters = kind.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}
