//! From a request to the object it is about.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::endings;
use super::events::{self, Happened};
use super::objects::Refusal;
use super::resource::{ResourcePath, ResourceType};
use super::selector::Selector;
use super::state::{State, meta};
use super::status::{Failure, json_response, success};
use super::{budget, discovery, kubelet, patch, table, watching};
use crate::wire::{Handler, Received};

type Answer = Result<Response<Body>, Failure>;

/// The handler of the emulator's listener.
pub(super) fn handler(state: Arc<State>) -> Handler {
    Arc::new(move |request: Received| {
        let state = state.clone();
        Box::pin(async move {
            with_audit_id(
                answer(&state, &request)
                    .await
                    .unwrap_or_else(Response::from),
            )
        })
    })
}

async fn answer(state: &Arc<State>, request: &Received) -> Answer {
    let path = request.uri.path();
    if matches!(path, "/healthz" | "/livez" | "/readyz") {
        return Ok(Response::new(Body::from("ok")));
    }
    if !state.accepts(request.bearer()) {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            "Unauthorized",
        ));
    }
    if let Some(document) = discovery::answer(path, &state.kubernetes_version) {
        return Ok(json_response(StatusCode::OK, &document));
    }
    if path.ends_with("/selfsubjectaccessreviews") && request.method == Method::POST {
        let mut review = body(request)?;
        review["status"] = json!({ "allowed": true });
        return Ok(json_response(StatusCode::CREATED, &review));
    }
    let path = ResourcePath::parse(path).ok_or_else(Failure::no_such_path)?;
    let Some(name) = path.name.clone() else {
        return collection(state, request, &path);
    };
    match path.subresource.as_deref() {
        None | Some("status") => object(state, request, &path, &name),
        Some("log") => log(state, request, &path, &name).await,
        Some("proxy") => proxy(state, request, &path, &name).await,
        Some("eviction") => evict(state, request, &path, &name),
        Some("scale") => scale(state, request, &path, &name),
        Some("exec" | "attach" | "portforward") => stream(state, &path, &name).await,
        Some(_) => Err(Failure::no_such_path()),
    }
}

fn body(request: &Received) -> Result<Value, Failure> {
    let parsed = match request.header("content-type") {
        Some(kind) if kind.contains("yaml") => serde_yaml_ng::from_slice(&request.body).ok(),
        _ => serde_json::from_slice(&request.body).ok(),
    };
    parsed.ok_or_else(|| Failure::bad_request("the body of the request is no JSON object"))
}

fn dry_run(request: &Received) -> bool {
    request.query("dryRun").as_deref() == Some("All")
}

fn collection(state: &Arc<State>, request: &Received, path: &ResourcePath) -> Answer {
    let resource = path.resource;
    match request.method {
        Method::GET => {
            let selector = Selector::parse(
                &request.query("labelSelector").unwrap_or_default(),
                &request.query("fieldSelector").unwrap_or_default(),
            )?;
            if matches!(request.query("watch").as_deref(), Some("1" | "true")) {
                let namespace = path.namespace.clone();
                return Ok(watching::answer(
                    &state.objects,
                    request,
                    resource,
                    namespace,
                    selector,
                ));
            }
            Ok(list(state, request, path, &selector))
        }
        Method::POST => {
            let mut object = body(request)?;
            if let Some(namespace) = &path.namespace {
                object["metadata"]["namespace"] = json!(namespace);
            }
            if meta(&object, "name").is_empty() {
                let name = format!("{}{}", meta(&object, "generateName"), super::pods::suffix());
                object["metadata"]["name"] = json!(name);
            }
            if dry_run(request) {
                return Ok(json_response(StatusCode::CREATED, &object));
            }
            let name = meta(&object, "name").to_owned();
            let created = state
                .objects
                .create(resource, object)
                .map_err(|refusal| refused(&refusal, resource, &name))?;
            Ok(json_response(StatusCode::CREATED, &created))
        }
        _ => Err(Failure::method_not_allowed()),
    }
}

/// A list, whole or in pages of `limit`.
fn list(
    state: &State,
    request: &Received,
    path: &ResourcePath,
    selector: &Selector,
) -> Response<Body> {
    let resource = path.resource;
    let (items, version) = state
        .objects
        .list(resource, path.namespace.as_deref(), selector);
    if table::is_wanted(request.header("accept").unwrap_or_default()) {
        let table = table::of(resource, &items, &version.to_string());
        return json_response(StatusCode::OK, &table);
    }
    let number = |name: &str| {
        request
            .query(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let start = number("continue").unwrap_or(0).min(items.len());
    let limit = number("limit")
        .filter(|limit| *limit > 0)
        .unwrap_or(items.len());
    let end = start.saturating_add(limit).min(items.len());
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if end < items.len() {
        metadata["continue"] = json!(end.to_string());
        metadata["remainingItemCount"] = json!(items.len() - end);
    }
    json_response(
        StatusCode::OK,
        &json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": metadata,
            "items": items.get(start..end).unwrap_or_default(),
        }),
    )
}

fn object(state: &State, request: &Received, path: &ResourcePath, name: &str) -> Answer {
    let resource = path.resource;
    let namespace = path.namespace.as_deref().unwrap_or_default();
    let before = state
        .objects
        .get(resource, namespace, name)
        .ok_or_else(|| Failure::not_found(resource.plural, resource.group, name))?;
    match request.method {
        Method::GET => {
            if table::is_wanted(request.header("accept").unwrap_or_default()) {
                let version = meta(&before, "resourceVersion").to_owned();
                let table = table::of(resource, &[before], &version);
                return Ok(json_response(StatusCode::OK, &table));
            }
            Ok(json_response(StatusCode::OK, &before))
        }
        Method::PUT => {
            let mut after = body(request)?;
            after["metadata"]["name"] = json!(name);
            if resource.namespaced {
                after["metadata"]["namespace"] = json!(namespace);
            }
            write(state, request, resource, name, after)
        }
        Method::PATCH => {
            let kind = request.header("content-type").unwrap_or_default();
            let mut after = patch::apply(kind, &before, &request.body)?;
            let named =
                after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"];
            if !named && let Some(metadata) = after["metadata"].as_object_mut() {
                // Only a patch that names a version is held to one.
                metadata.remove("resourceVersion");
            }
            write(state, request, resource, name, after)
        }
        Method::DELETE => delete(state, request, resource, &before),
        _ => Err(Failure::method_not_allowed()),
    }
}

fn write(
    state: &State,
    request: &Received,
    resource: &'static ResourceType,
    name: &str,
    after: Value,
) -> Answer {
    let written = if dry_run(request) {
        state.objects.preview(resource, after)
    } else {
        state.objects.update(resource, after)
    };
    let written = written.map_err(|refusal| refused(&refusal, resource, name))?;
    Ok(json_response(StatusCode::OK, &written))
}

fn refused(refusal: &Refusal, resource: &ResourceType, name: &str) -> Failure {
    match refusal {
        Refusal::Missing => Failure::not_found(resource.plural, resource.group, name),
        Refusal::Outdated => Failure::conflict(resource.plural, resource.group, name),
        Refusal::Exists => Failure::already_exists(resource.plural, resource.group, name),
    }
}

fn delete(
    state: &State,
    request: &Received,
    resource: &'static ResourceType,
    before: &Value,
) -> Answer {
    let options = if request.body.is_empty() {
        Value::Null
    } else {
        body(request)?
    };
    check_preconditions(&options["preconditions"], resource, before)?;
    let only_asked = dry_run(request) || asks_dry_run(&options);
    if !only_asked && resource.plural == "pods" {
        events::note(&state.objects, before, Happened::Killed);
        let grace = options["gracePeriodSeconds"].as_i64();
        let going = endings::begin(&state.objects, resource, before, grace);
        return Ok(json_response(StatusCode::OK, &going));
    }
    if !only_asked {
        state
            .objects
            .remove(resource, meta(before, "namespace"), meta(before, "name"));
    }
    Ok(json_response(StatusCode::OK, before))
}

fn asks_dry_run(options: &Value) -> bool {
    options["dryRun"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|value| value == "All")
}

fn check_preconditions(
    wanted: &Value,
    resource: &ResourceType,
    object: &Value,
) -> Result<(), Failure> {
    for field in ["uid", "resourceVersion"] {
        if wanted[field].is_string() && wanted[field] != object["metadata"][field] {
            return Err(Failure::conflict(
                resource.plural,
                resource.group,
                meta(object, "name"),
            ));
        }
    }
    Ok(())
}

fn pod(state: &State, path: &ResourcePath, name: &str) -> Result<Value, Failure> {
    if path.resource.plural != "pods" {
        return Err(Failure::no_such_path());
    }
    let namespace = path.namespace.as_deref().unwrap_or_default();
    state
        .objects
        .get(path.resource, namespace, name)
        .ok_or_else(|| Failure::not_found("pods", "", name))
}

fn evict(state: &State, request: &Received, path: &ResourcePath, name: &str) -> Answer {
    let pod = pod(state, path, name)?;
    if request.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    let eviction = body(request)?;
    let options = &eviction["deleteOptions"];
    check_preconditions(&options["preconditions"], path.resource, &pod)?;
    budget::check(&state.objects, &pod)?;
    if !dry_run(request) && !asks_dry_run(options) {
        events::note(&state.objects, &pod, Happened::Killed);
        let grace = options["gracePeriodSeconds"].as_i64();
        endings::begin(&state.objects, path.resource, &pod, grace);
    }
    Ok(json_response(StatusCode::CREATED, &success()))
}

/// The `scale` subresource, read and written as a view of the replicas.
fn scale(state: &State, request: &Received, path: &ResourcePath, name: &str) -> Answer {
    let resource = path.resource;
    let namespace = path.namespace.as_deref().unwrap_or_default();
    let mut object = state
        .objects
        .get(resource, namespace, name)
        .ok_or_else(|| Failure::not_found(resource.plural, resource.group, name))?;
    let view = |object: &Value| {
        json!({
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": object["metadata"]["uid"],
                "resourceVersion": object["metadata"]["resourceVersion"],
            },
            "spec": { "replicas": object["spec"]["replicas"] },
            "status": { "replicas": object["status"]["replicas"] },
        })
    };
    let wanted = match request.method {
        Method::GET => return Ok(json_response(StatusCode::OK, &view(&object))),
        Method::PUT => body(request)?,
        Method::PATCH => {
            let kind = request.header("content-type").unwrap_or_default();
            patch::apply(kind, &view(&object), &request.body)?
        }
        _ => return Err(Failure::method_not_allowed()),
    };
    let Some(replicas) = wanted["spec"]["replicas"].as_u64() else {
        return Err(Failure::bad_request(
            "spec.replicas must be a number, not negative",
        ));
    };
    object["spec"]["replicas"] = json!(replicas);
    object["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"].clone();
    let written = if dry_run(request) {
        state.objects.preview(resource, object)
    } else {
        state.objects.update(resource, object)
    };
    let written = written.map_err(|refusal| refused(&refusal, resource, name))?;
    Ok(json_response(StatusCode::OK, &view(&written)))
}

async fn log(state: &State, request: &Received, path: &ResourcePath, name: &str) -> Answer {
    let pod = pod(state, path, name)?;
    let namespace = meta(&pod, "namespace");
    let containers: Vec<&str> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    let container = match (request.query("container"), containers.as_slice()) {
        (Some(wanted), _) if containers.contains(&wanted.as_str()) => wanted,
        (Some(wanted), _) => {
            return Err(Failure::bad_request(format!(
                "container {wanted} is not valid for pod {name}"
            )));
        }
        (None, [only]) => (*only).to_owned(),
        (None, _) => {
            return Err(Failure::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                containers.join(" ")
            )));
        }
    };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let Some(address) = state.node_address(node) else {
        return Err(Failure::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    };
    let mut target = format!("/containerLogs/{namespace}/{name}/{container}");
    let query: Vec<&str> = request
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("container="))
        .collect();
    if !query.is_empty() {
        target.push('?');
        target.push_str(&query.join("&"));
    }
    kubelet::container_log(state, address, &target).await
}

/// `[scheme:]name[:port]`, as node proxies are addressed.
async fn proxy(state: &State, request: &Received, path: &ResourcePath, name: &str) -> Answer {
    if path.resource.plural != "nodes" {
        return Err(Failure::no_such_path());
    }
    let name = name.strip_prefix("https:").unwrap_or(name);
    let (node, port) = name.split_once(':').unwrap_or((name, ""));
    let port = port.parse().unwrap_or(kubelet::PORT);
    let Some(address) = state.node_address(node) else {
        return Err(Failure::not_found("nodes", "", node));
    };
    let target = match request.uri.query() {
        Some(query) => format!("{}?{query}", path.rest),
        None => path.rest.clone(),
    };
    let answered = kubelet::get(state, address, port, &target).await;
    answered.map_err(|error| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            format!("error trying to reach service: {error}"),
        )
    })
}

/// Streams fail as on a real cluster when the kubelet cannot be reached; the
/// kubelet stand-ins have none of their own.
async fn stream(state: &State, path: &ResourcePath, name: &str) -> Answer {
    let pod = pod(state, path, name)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let Some(address) = state.node_address(node) else {
        return Err(Failure::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    };
    let reached = kubelet::get(state, address, kubelet::PORT, "/healthz").await;
    Err(match reached {
        Err(error) => Failure::unexplained(format!("error dialing backend: {error}")),
        Ok(_) => Failure::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "the lab's kubelets stream no commands",
        ),
    })
}

/// Headers every answer of an API server has.
fn with_audit_id(mut response: Response<Body>) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("audit-id", id);
    }
    response
}
