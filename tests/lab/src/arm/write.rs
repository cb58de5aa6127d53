//! PUT and DELETE of resources: checks, the change, and the asynchronous
//! operation that settles it in the packets.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ArmError;
use super::etag::{self, Etag};
use super::id::ArmPath;
use super::operations::{OperationUrls, urls};
use super::reply::{Family, Reply};
use super::shape::{Kind, instance, normalise};
use super::state::State;
use super::store::{Store, Stored};
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

/// A change of one stored resource.
#[derive(Clone)]
struct Change {
    before: Option<Stored>,
    after: Stored,
    removes: bool,
    differs: bool,
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

fn prepare_put(
    state: &State,
    store: &mut Store,
    request: &Received,
    path: &ArmPath,
    target: Target,
    incoming: Value,
) -> Result<Change, ArmError> {
    let kind = target.kind();
    if let Target::Embedded(embedded, _) = target
        && !embedded.writable
    {
        return Err(ArmError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("{} cannot be written on their own.", embedded.array),
        ));
    }
    let has_parent = kind.is_nested() || matches!(target, Target::Embedded(..));
    if has_parent && store.get(&path.parent_id()).is_none() {
        let full_type = path.kind();
        let below = full_type.split_once('/').map_or("", |(_, rest)| rest);
        return Err(ArmError::parent_not_found(below, &path.parent_id()));
    }
    let stored_id = target.stored_id(path);
    let before = store.get(&stored_id).cloned();
    let addressed = match target {
        Target::Own(_) => before.as_ref(),
        Target::Embedded(embedded, _) => before
            .as_ref()
            .filter(|parent| embedded.find_in(&parent.body, path.last_name()).is_some()),
    };
    check_condition(state, store, request, path, kind, addressed)?;
    check_idle(state, request, kind, &stored_id)?;
    let id = before
        .as_ref()
        .map_or(stored_id, |stored| stored.id.clone());
    let existing = before.as_ref().map(|stored| &stored.body);
    let incoming = match (target, existing) {
        (Target::Embedded(embedded, _), Some(parent)) => {
            embedded.put_into(parent, path.last_name(), incoming)
        }
        _ => incoming,
    };
    let after = normalise(kind, &id, existing, incoming)?;
    let differs = existing != Some(&after);
    let etag = match &before {
        None => Etag::first(kind.family()),
        Some(stored) if differs => stored.etag.next(kind.family()),
        Some(stored) => stored.etag.clone(),
    };
    let going_on = match (kind.family(), before.is_none()) {
        (Family::Network, _) | (_, false) => "Updating",
        _ => "Creating",
    };
    Ok(Change {
        after: Stored {
            kind,
            id,
            body: after,
            etag,
            state: going_on,
        },
        before,
        removes: false,
        differs,
    })
}

fn prepare_delete(
    state: &State,
    store: &mut Store,
    request: &Received,
    path: &ArmPath,
    target: Target,
    stored: Stored,
) -> Result<Change, ArmError> {
    let kind = target.kind();
    check_condition(state, store, request, path, kind, Some(&stored))?;
    check_idle(state, request, kind, &stored.id)?;
    let mut after = stored.clone();
    after.etag = stored.etag.next(kind.family());
    let removes = match target {
        Target::Own(_) => {
            check_unused(store, &stored)?;
            after.state = "Deleting";
            true
        }
        Target::Embedded(embedded, _) if embedded.writable => {
            after.body = embedded.remove_from(&stored.body, path.last_name());
            after.state = "Updating";
            false
        }
        Target::Embedded(embedded, _) => {
            return Err(ArmError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                format!("{} cannot be deleted.", embedded.array),
            ));
        }
    };
    Ok(Change {
        before: Some(stored),
        after,
        removes,
        differs: true,
    })
}

fn check_condition(
    state: &State,
    store: &mut Store,
    request: &Received,
    path: &ArmPath,
    kind: &Kind,
    addressed: Option<&Stored>,
) -> Result<(), ArmError> {
    let if_match = request.header("if-match");
    let if_none_match = request.header("if-none-match");
    let mut current = addressed.map(|stored| stored.etag.clone());
    if if_match.is_some_and(|tag| tag.trim() != "*")
        && let Some(stored) = addressed
        && State::take_one(&state.etag_conflicts)
    {
        // Someone else was faster: same content, a new version.
        let newer = stored.etag.next(kind.family());
        if let Some(stored) = store.get_mut(&stored.id) {
            stored.etag = newer.clone();
        }
        current = Some(newer);
    }
    etag::check(
        kind.family(),
        &path.id(),
        current.as_ref(),
        if_match,
        if_none_match,
    )
}

/// One write at a time on a resource.
fn check_idle(
    state: &State,
    request: &Received,
    kind: &Kind,
    stored_id: &str,
) -> Result<(), ArmError> {
    let Some((operation, action)) = state.operations.running_on(stored_id) else {
        return Ok(());
    };
    let _ = request;
    Err(match kind.family() {
        Family::ContainerService => ArmError::new(
            StatusCode::CONFLICT,
            "OperationNotAllowed",
            "Operation is not allowed: Another operation (Updating) is in progress, please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details",
        ),
        Family::Compute => ArmError::new(
            StatusCode::CONFLICT,
            "Conflict",
            "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.",
        ),
        _ => ArmError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RetryableError",
            "A retryable error occurred.",
        )
        .with_details(vec![json!({
            "code": "RetryableErrorDueToAnotherOperation",
            "message": format!("Operation {action} ({operation}) is updating resource {stored_id}."),
        })])
        .with_header("retry-after", state.retry_after_seconds.to_string()),
    })
}

fn check_unused(store: &Store, stored: &Stored) -> Result<(), ArmError> {
    if stored.kind.name != "Microsoft.Network/networkSecurityGroups" {
        return Ok(());
    }
    let users: Vec<String> = store
        .subnets_using("networkSecurityGroup", &stored.id)
        .into_iter()
        .chain(store.interfaces_using("networkSecurityGroup", &stored.id))
        .filter_map(|user| user["id"].as_str().map(str::to_owned))
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(ArmError::invalid(
        "InUseNetworkSecurityGroupCannotBeDeleted",
        format!(
            "Network security group {} cannot be deleted because it is in use by the following resources: {}. In order to delete the Network security group, remove the association with the resource(s). To learn how to do this, see aka.ms/deletensg.",
            stored.id,
            users.join(", ")
        ),
    ))
}

fn commit(store: &mut Store, change: &Change) {
    store.put(change.after.clone());
    let is_new_scale_set = change.before.is_none()
        && change.after.kind.name == "Microsoft.Compute/virtualMachineScaleSets";
    if is_new_scale_set {
        add_instances(store, &change.after);
    }
}

/// A new scale set has its instances at once.
fn add_instances(store: &mut Store, scale_set: &Stored) {
    let Some(kind) = Kind::find("Microsoft.Compute/virtualMachineScaleSets/virtualMachines") else {
        return;
    };
    let model = &scale_set.body;
    let prefix = model["properties"]["virtualMachineProfile"]["osProfile"]["computerNamePrefix"]
        .as_str()
        .unwrap_or("vm");
    let capacity = model["sku"]["capacity"].as_u64().unwrap_or(0).min(1000);
    for index in 0..u32::try_from(capacity).unwrap_or(0) {
        let body = instance(model, index, &format!("{prefix}{index:06}"));
        store.put(Stored {
            kind,
            id: format!("{}/virtualMachines/{index}", scale_set.id),
            body,
            etag: Etag::first(Family::Compute),
            state: "Succeeded",
        });
    }
}

/// Begins the operation that settles a change.
fn start(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
    location: &str,
    action: &str,
    change: Change,
) -> OperationUrls {
    let family = change.after.kind.family();
    let operation = state
        .operations
        .begin(family, action, &change.after.id, change.removes);
    let failure = request.fail_operation.clone();
    let task = state.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = task.stop.cancelled() => {}
            () = finish(&task, operation, change, failure) => {}
        }
    });
    urls(
        state.endpoint(),
        family,
        &path.subscription,
        location,
        api_version,
        operation,
    )
}

async fn finish(state: &State, operation: Uuid, change: Change, failure: Option<(String, String)>) {
    tokio::time::sleep(state.operation_duration).await;
    let settled = match failure {
        Some((code, message)) => {
            Err(ArmError::new(StatusCode::CONFLICT, &code, message).with_details(Vec::new()))
        }
        None => settle(state, &change).await,
    };
    match settled {
        Ok(()) => state.operations.succeed(operation, None),
        Err(error) => state.operations.fail(operation, &error),
    }
}

/// Makes a committed change final, or takes it back when the packets could
/// not be made to follow it.
async fn settle(state: &State, change: &Change) -> Result<(), ArmError> {
    let kind = change.after.kind;
    {
        let mut store = state.store();
        if change.removes {
            store.remove(&change.after.id);
        }
        if kind.family() == Family::ContainerService && !change.removes {
            super::cluster_effects::apply(&mut store, &change.after);
        }
    }
    let enforced = if kind.enforced {
        state.enforce().await
    } else {
        Ok(())
    };
    let mut store = state.store();
    match enforced {
        Ok(()) => {
            if let Some(stored) = store.get_mut(&change.after.id) {
                stored.state = "Succeeded";
                if change.differs && kind.family() == Family::Network {
                    stored.etag = stored.etag.next(Family::Network);
                }
            }
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, id = change.after.id, "the data plane refused a change");
            match &change.before {
                Some(before) => store.put(before.clone()),
                None => {
                    store.remove(&change.after.id);
                }
            }
            Err(ArmError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                format!("An error occurred: {error}"),
            )
            .with_details(Vec::new()))
        }
    }
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
