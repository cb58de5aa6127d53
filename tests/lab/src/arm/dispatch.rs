//! From a request to the handler that answers it, in the order ARM checks:
//! token, subscription, api-version, rights, resource.

use std::sync::{Arc, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::ArmError;
use super::id::ArmPath;
use super::operations::urls;
use super::reply::{Family, Reply, into_response};
use super::state::State;
use super::store::Group;
use super::target::{Target, check_group, find, unknown_type};
use super::{access, read, run_command, security_admin_rules, write};
use crate::wire::{Handler, Received};

/// The handler of the emulator's listeners.
pub(super) fn handler(state: Arc<State>, subscription: String) -> Handler {
    Arc::new(move |request: Received| {
        let state = state.clone();
        let subscription = subscription.clone();
        Box::pin(async move {
            let method = request.method.clone();
            let correlation = request
                .header("x-ms-correlation-request-id")
                .map(str::to_owned);
            let client_request_id = request
                .header("x-ms-client-request-id")
                .filter(|_| request.header("x-ms-return-client-request-id") == Some("true"))
                .map(str::to_owned);
            let path = ArmPath::parse(request.uri.path());
            let family = Family::of(path.as_ref().and_then(|path| path.provider.as_deref()));
            let reply = answer(&state, &subscription, request, path)
                .await
                .unwrap_or_else(Reply::from);
            let reply = match client_request_id {
                Some(id) => reply.header("x-ms-client-request-id", id),
                None => reply,
            };
            into_response(reply, &method, family, correlation.as_deref())
        })
    })
}

async fn answer(
    state: &Arc<State>,
    subscription: &str,
    request: Received,
    path: Option<ArmPath>,
) -> Result<Reply, ArmError> {
    if let Some(reply) = state.tokens.answer(&request, state.endpoint()) {
        return Ok(reply);
    }
    access::check_token(state, &request)?;
    let api_version = access::check_api_version(&request, path.as_ref())?;
    let Some(path) = path else {
        return Err(ArmError::new(
            StatusCode::NOT_FOUND,
            "InvalidResourceType",
            format!("Nothing is served at '{}'.", request.uri.path()),
        ));
    };
    if !path.subscription.eq_ignore_ascii_case(subscription) {
        return Err(ArmError::new(
            StatusCode::NOT_FOUND,
            "SubscriptionNotFound",
            format!(
                "The subscription '{}' could not be found.",
                path.subscription
            ),
        ));
    }
    access::check_rights(state, &request, &path)?;
    if let Some((provider, kind)) = &path.extension {
        if provider.eq_ignore_ascii_case("microsoft.authorization") {
            check_group(&state.store(), &path)?;
            let value = access::assignments(state, &path, kind);
            return Ok(Reply::json(StatusCode::OK, json!({ "value": value })));
        }
        return metrics(state, &request, &path, kind);
    }
    if path.provider.is_none() {
        return group_request(state, &request, &path, &api_version);
    }
    if path.group.is_none()
        && path
            .segments
            .first()
            .is_some_and(|segment| segment.kind.eq_ignore_ascii_case("locations"))
    {
        return location_request(state, &request, &path);
    }
    match request.method {
        Method::GET => read::get(state, &request, &path, &api_version),
        Method::PUT => write::put(state, &request, &path, &api_version).await,
        Method::DELETE => write::delete(state, &request, &path, &api_version).await,
        Method::POST => post(state, &request, &path, &api_version),
        _ => Err(not_allowed(&request)),
    }
}

fn not_allowed(request: &Received) -> ArmError {
    ArmError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        format!("The method '{}' is not allowed here.", request.method),
    )
}

fn metrics(
    state: &State,
    request: &Received,
    path: &ArmPath,
    kind: &str,
) -> Result<Reply, ArmError> {
    if !kind.eq_ignore_ascii_case("metrics") || request.method != Method::GET {
        return Err(not_allowed(request));
    }
    let (id, full_type, location) = {
        let store = state.store();
        let target = Target::of(path)?;
        let stored = find(&store, path, target)?;
        (
            stored.id.clone(),
            stored.kind.name,
            stored.body["location"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    state.metrics.answer(&id, full_type, &location, request)
}

fn post(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
) -> Result<Reply, ArmError> {
    check_group(&state.store(), path)?;
    match path.last_kind().as_str() {
        "runcommand"
            if path
                .kind()
                .contains("virtualmachinescalesets/virtualmachines") =>
        {
            run_command::post(state, request, path, api_version)
        }
        _ if path.kind() == security_admin_rules::ACTION => {
            security_admin_rules::post(state, request, path)
        }
        "listclusterusercredential" | "listclusteradmincredential" => {
            let cluster = ArmPath {
                segments: path.segments.iter().take(1).cloned().collect(),
                ..path.clone()
            };
            let target = Target::of(&cluster)?;
            find(&state.store(), &cluster, target)?;
            let role = if path.last_kind().contains("admin") {
                "clusterAdmin"
            } else {
                "clusterUser"
            };
            let kubeconfig = state
                .kubeconfig
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            Ok(Reply::json(
                StatusCode::OK,
                json!({ "kubeconfigs": [{ "name": role, "value": STANDARD.encode(kubeconfig) }] }),
            ))
        }
        _ => Err(unknown_type(path)),
    }
}

/// `/subscriptions/{s}`, resource groups, and the results of deleting them.
fn group_request(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
) -> Result<Reply, ArmError> {
    if let [segment] = path.segments.as_slice()
        && segment.kind.eq_ignore_ascii_case("operationresults")
    {
        let id = segment.name.as_deref().unwrap_or_default();
        let url = format!("{}{}", state.endpoint(), request.uri);
        return state
            .operations
            .result(id, &url, state.retry_after_seconds)
            .ok_or_else(|| ArmError::child_not_found(&path.id()))
            .map(|reply| match reply.status {
                StatusCode::NO_CONTENT => Reply::empty(StatusCode::OK),
                _ => reply,
            });
    }
    let show = |group: &Group| {
        json!({
            "id": format!("/subscriptions/{}/resourceGroups/{}", path.subscription, group.name),
            "name": group.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": group.location,
            "properties": { "provisioningState": "Succeeded" },
        })
    };
    let mut store = state.store();
    match (&request.method, path.group.as_deref()) {
        (&Method::GET, None) => Ok(Reply::json(
            StatusCode::OK,
            json!({
                "id": format!("/subscriptions/{}", path.subscription),
                "subscriptionId": path.subscription,
                "displayName": "naosu-lab",
                "state": "Enabled",
                "tenantId": state.tokens.tenant(),
            }),
        )),
        (&Method::GET, Some("")) => {
            let value: Vec<Value> = store.groups().map(show).collect();
            Ok(Reply::json(StatusCode::OK, json!({ "value": value })))
        }
        (&Method::GET, Some(name)) => store
            .group(name)
            .map(|group| Reply::json(StatusCode::OK, show(group)))
            .ok_or_else(|| ArmError::group_not_found(name)),
        (&Method::PUT, Some(name)) => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let Some(location) = body["location"].as_str() else {
                return Err(ArmError::new(
                    StatusCode::BAD_REQUEST,
                    "LocationRequired",
                    "The location property is required for this definition.",
                ));
            };
            let new = store.put_group(name, location);
            let status = if new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            let shown = store.group(name).map(show).unwrap_or_default();
            Ok(Reply::json(status, shown))
        }
        (&Method::DELETE, Some(name)) => {
            if !store.remove_group(name) {
                return Err(ArmError::group_not_found(name));
            }
            let operation =
                state
                    .operations
                    .begin(Family::Resources, "DeleteResourceGroup", &path.id(), true);
            state.operations.succeed(operation, None);
            let urls = urls(
                state.endpoint(),
                Family::Resources,
                &path.subscription,
                "",
                api_version,
                operation,
            );
            Ok(Reply::empty(StatusCode::ACCEPTED).header("location", urls.result))
        }
        _ => Err(not_allowed(request)),
    }
}

/// `…/providers/{provider}/locations/{location}/…`: operations, service tags.
fn location_request(state: &State, request: &Received, path: &ArmPath) -> Result<Reply, ArmError> {
    if request.method != Method::GET {
        return Err(not_allowed(request));
    }
    let location = path
        .segments
        .first()
        .and_then(|segment| segment.name.as_deref())
        .unwrap_or_default();
    let Some(segment) = path.segments.get(1) else {
        return Err(unknown_type(path));
    };
    let id = segment.name.as_deref().unwrap_or_default();
    let seconds = state.retry_after_seconds;
    let url = format!("{}{}", state.endpoint(), request.uri);
    let reply = match segment.kind.to_ascii_lowercase().as_str() {
        "operations" if request.query("monitor").as_deref() == Some("true") => {
            state.operations.result(id, &url, seconds)
        }
        "operations" => state.operations.status(id, seconds),
        "operationresults" => state.operations.result(id, &url, seconds),
        "servicetags" => Some(state.service_tags.answer(&path.subscription)),
        _ => return Err(unknown_type(path)),
    };
    reply.ok_or_else(|| {
        ArmError::new(
            StatusCode::NOT_FOUND,
            "OperationNotFound",
            format!("The operation '{id}' was not found in location '{location}'."),
        )
    })
}
