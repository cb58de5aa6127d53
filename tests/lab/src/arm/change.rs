//! What a write would change, or why it may not: parents, conditions, other
//! operations, and what Azure refuses.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ArmError;
use super::etag::{self, Etag};
use super::id::ArmPath;
use super::reply::Family;
use super::shape::{Kind, normalise};
use super::state::State;
use super::store::{Store, Stored};
use super::target::Target;
use crate::wire::Received;

/// A change of one stored resource.
#[derive(Clone)]
pub(super) struct Change {
    pub before: Option<Stored>,
    pub after: Stored,
    pub removes: bool,
    pub differs: bool,
}

pub(super) fn prepare_put(
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
    check_idle(state, kind, &stored_id)?;
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

pub(super) fn prepare_delete(
    state: &State,
    store: &mut Store,
    request: &Received,
    path: &ArmPath,
    target: Target,
    stored: Stored,
) -> Result<Change, ArmError> {
    let kind = target.kind();
    check_condition(state, store, request, path, kind, Some(&stored))?;
    check_idle(state, kind, &stored.id)?;
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
fn check_idle(state: &State, kind: &Kind, stored_id: &str) -> Result<(), ArmError> {
    let Some((operation, action)) = state.operations.running_on(stored_id) else {
        return Ok(());
    };
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
