//! GET: one resource, or a list of them, page by page.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ArmError;
use super::id::ArmPath;
use super::reply::{Family, Reply};
use super::shape::{Kind, as_told_in, instance_view};
use super::state::State;
use super::target::{Target, check_group, find};
use crate::wire::Received;

/// Answers GET for anything below a subscription that is a resource.
pub(super) fn get(
    state: &State,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
) -> Result<Reply, ArmError> {
    check_instance_id(path)?;
    if path.last_kind() == "instanceview" {
        return get_instance_view(state, path);
    }
    if path
        .kind()
        .ends_with("virtualmachinescalesets/networkinterfaces")
    {
        return list_all_interfaces(state, request, path);
    }
    let target = Target::of(path)?;
    if path.is_collection() {
        return list(state, request, path, target);
    }
    let store = state.store();
    let stored = find(&store, path, target)?;
    let body = store.render(stored);
    let etag = stored.etag.render(stored.kind.family());
    let body = match target {
        Target::Own(kind) => as_told_in(kind, api_version, body),
        Target::Embedded(embedded, _) => embedded
            .find_in(&body, path.last_name())
            .cloned()
            .unwrap_or_default(),
    };
    let reply = Reply::json(StatusCode::OK, body);
    Ok(match stored.kind.family() {
        Family::ContainerService => reply,
        _ => reply.header("etag", etag),
    })
}

/// Compute answers 400, not 404, for an instance id that is no number.
fn check_instance_id(path: &ArmPath) -> Result<(), ArmError> {
    let bad = path.segments.iter().any(|segment| {
        segment.kind.eq_ignore_ascii_case("virtualMachines")
            && segment
                .name
                .as_ref()
                .is_some_and(|name| name.parse::<u32>().is_err())
    });
    if bad && path.kind().contains("virtualmachinescalesets") {
        return Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            "InvalidParameter",
            "Virtual Machine Scale Set VM instanceId must be a number.",
        )
        .with_target("instanceId"));
    }
    Ok(())
}

fn get_instance_view(state: &State, path: &ArmPath) -> Result<Reply, ArmError> {
    let store = state.store();
    check_group(&store, path)?;
    let instance = store
        .get(&path.parent_id())
        .ok_or_else(|| ArmError::child_not_found(&path.parent_id()))?;
    Ok(Reply::json(StatusCode::OK, instance_view(&instance.body)))
}

fn list_all_interfaces(
    state: &State,
    request: &Received,
    path: &ArmPath,
) -> Result<Reply, ArmError> {
    let kind =
        Kind::find("Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces");
    let items: Vec<Value> = {
        let store = state.store();
        check_group(&store, path)?;
        kind.into_iter()
            .flat_map(|kind| store.of_kind(kind, &path.parent_id()))
            .map(|stored| store.render(stored))
            .collect()
    };
    page(state, request, items, false)
}

fn list(
    state: &State,
    request: &Received,
    path: &ArmPath,
    target: Target,
) -> Result<Reply, ArmError> {
    let items: Vec<Value> = {
        let store = state.store();
        check_group(&store, path)?;
        match target {
            Target::Own(kind) => {
                if kind.is_nested() {
                    let parent = path.parent_id();
                    if store.get(&parent).is_none() {
                        return Err(ArmError::child_not_found(&parent));
                    }
                }
                let scope = match path.group {
                    Some(_) => path.parent_id(),
                    None => format!("/subscriptions/{}", path.subscription),
                };
                store
                    .of_kind(kind, &scope)
                    .map(|stored| store.render(stored))
                    .collect()
            }
            Target::Embedded(embedded, _) => {
                let parent = find(&store, path, target)?;
                embedded.of(&store.render(parent)).to_vec()
            }
        }
    };
    let family = target.kind().family();
    let always_another_page = family == Family::ContainerService && path.group.is_some();
    let reply = page(state, request, items, always_another_page)?;
    Ok(match family {
        Family::Compute | Family::ContainerService if path.segments.len() == 1 => reply.header(
            "x-ms-original-request-ids",
            uuid::Uuid::new_v4().to_string(),
        ),
        _ => reply,
    })
}

/// One page, with a link to the next. AKS links to a further page even when
/// that one turns out empty.
fn page(
    state: &State,
    request: &Received,
    items: Vec<Value>,
    always_another: bool,
) -> Result<Reply, ArmError> {
    let token = request.query("$skiptoken");
    let start = match &token {
        None => 0,
        Some(token) => token.parse::<usize>().map_err(|_| {
            ArmError::new(
                StatusCode::BAD_REQUEST,
                "InvalidSkipToken",
                format!("The $skiptoken '{token}' is invalid."),
            )
        })?,
    };
    let end = start.saturating_add(state.page_size).min(items.len());
    let value = items.get(start..end).unwrap_or_default();
    let mut body = json!({ "value": value });
    if end < items.len() || (always_another && token.is_none()) {
        let path = request.uri.path();
        let query: String =
            url::form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes())
                .filter(|(name, _)| name != "$skiptoken")
                .map(|(name, value)| format!("{name}={value}&"))
                .collect();
        let endpoint = state.endpoint();
        body["nextLink"] = json!(format!("{endpoint}{path}?{query}%24skiptoken={end}"));
    }
    Ok(Reply::json(StatusCode::OK, body))
}
