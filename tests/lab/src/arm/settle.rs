//! Making a change: in the store at once, in the packets by the operation that
//! settles it, or taken back.

use std::sync::Arc;

use http::StatusCode;
use uuid::Uuid;

use super::change::Change;
use super::error::ArmError;
use super::etag::Etag;
use super::id::ArmPath;
use super::operations::{OperationUrls, urls};
use super::reply::Family;
use super::shape::{Kind, instance};
use super::state::State;
use super::store::{Store, Stored};
use crate::wire::Received;

pub(super) fn commit(store: &mut Store, change: &Change) {
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
pub(super) fn start(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
    location: &str,
    action: &str,
    change: Change,
) -> OperationUrls {
    let family = change.after.kind.family();
    let deletes = request.method == http::Method::DELETE;
    let operation = state
        .operations
        .begin(family, action, &change.after.id, deletes);
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
            // What was asked for is not there, and the resource says that it failed.
            if let Some(stored) = state.store().get_mut(&change.after.id) {
                stored.state = "Failed";
                stored.etag = stored.etag.next(change.after.kind.family());
            }
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
pub(super) async fn settle(state: &State, change: &Change) -> Result<(), ArmError> {
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
