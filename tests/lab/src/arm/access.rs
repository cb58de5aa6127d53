//! Who may do what: bearer tokens, api-versions, rights and deny assignments.

use std::sync::PoisonError;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::ArmError;
use super::id::ArmPath;
use super::network_manager;
use super::state::State;
use super::tokens::TokenProblem;
use crate::wire::{Received, pattern_matches};

/// The name AKS gives to the deny assignment of a locked node resource group.
const LOCKDOWN_ASSIGNMENT: &str = "AKS Node Resource Group Lockdown";
const LOCKDOWN_ID: &str = "5eed0000000040008000000000000001";
const OBJECT_ID: &str = "0b7e0000-0000-4000-8000-000000000001";
/// The network provider's api for scale-set interfaces ended here.
const LAST_SCALE_SET_INTERFACE_VERSION: &str = "2018-10-01";
const FIRST_RUN_COMMAND_VERSION: &str = "2017-12-01";

/// Checks the bearer token.
pub(super) fn check_token(state: &State, request: &Received) -> Result<(), ArmError> {
    let Some(token) = request.bearer() else {
        let (code, message) = match request.header("authorization") {
            None => (
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            ),
            Some(_) => (
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
            ),
        };
        return Err(unauthenticated(state, code, message));
    };
    match state.tokens.check(token) {
        Ok(()) => Ok(()),
        Err(TokenProblem::Unknown) => Err(unauthenticated(
            state,
            "InvalidAuthenticationToken",
            "The access token is invalid.",
        )),
        Err(TokenProblem::Expired { expiry }) => Err(unauthenticated(
            state,
            "ExpiredAuthenticationToken",
            &format!(
                "The access token expiry UTC time '{expiry}' is earlier than current UTC time '{}'.",
                jiff::Timestamp::now()
            ),
        )),
    }
}

fn unauthenticated(state: &State, code: &str, message: &str) -> ArmError {
    let challenge = format!(
        "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{message}\"",
        state.endpoint(),
        state.tokens.tenant(),
    );
    let mut error = ArmError::new(StatusCode::UNAUTHORIZED, code, message)
        .with_header("www-authenticate", challenge);
    error.gateway = true;
    error
}

/// Checks that an api-version is given and one that the type has.
pub(super) fn check_api_version(
    request: &Received,
    path: Option<&ArmPath>,
) -> Result<String, ArmError> {
    let Some(version) = request.query("api-version").filter(|v| !v.is_empty()) else {
        return Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    };
    if !is_api_version(&version) {
        return Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{version}' is invalid. The supported versions are of the form yyyy-MM-dd or yyyy-MM-dd-preview."
            ),
        ));
    }
    let Some(path) = path else {
        return Ok(version);
    };
    let kind = path.kind();
    let supported =
        if kind.contains("virtualmachinescalesets") && kind.ends_with("/networkinterfaces") {
            version.as_str() <= LAST_SCALE_SET_INTERFACE_VERSION
        } else if kind.ends_with("/runcommand") {
            version.as_str() >= FIRST_RUN_COMMAND_VERSION
        } else {
            true
        };
    if supported {
        return Ok(version);
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for API version '{version}' for type '{}'. The supported api-versions include '{LAST_SCALE_SET_INTERFACE_VERSION}'.",
            kind.split_once('/')
                .map(|(_, rest)| rest)
                .unwrap_or_default(),
        ),
    ))
}

fn is_api_version(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    date.parse::<jiff::civil::Date>()
        .is_ok_and(|parsed| parsed.to_string() == date && (2014..=2030).contains(&parsed.year()))
}

/// Checks that the caller may do this here.
pub(super) fn check_rights(
    state: &State,
    request: &Received,
    path: &ArmPath,
) -> Result<(), ArmError> {
    let method = &request.method;
    let id = path.id();
    let action = action(method, path);
    let client = state.tokens.client_id();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let governed = network_manager::governs(path);
    let matches_pattern = state
        .forbidden
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .any(|pattern| pattern_matches(pattern, request.uri.path()));
    if matches_pattern || governed && !reads {
        return Err(by_gateway(
            "AuthorizationFailed",
            format!(
                "The client '{client}' with object id '{OBJECT_ID}' does not have authorization to perform action '{action}' over scope '{id}' or the scope is invalid. If access was recently granted, please refresh your credentials."
            ),
        ));
    }
    let locked = path
        .group
        .as_deref()
        .is_some_and(|group| is_locked(state, group));
    if locked && !reads {
        let scope = format!(
            "/subscriptions/{}/resourceGroups/{}",
            path.subscription,
            path.group.as_deref().unwrap_or_default()
        );
        return Err(by_gateway(
            "DenyAssignmentAuthorizationFailed",
            format!(
                "The client '{client}' with object id '{OBJECT_ID}' has permission to perform action '{action}' on scope '{id}'; however, the access is denied because of the deny assignment with name '{LOCKDOWN_ASSIGNMENT}' and Id '{LOCKDOWN_ID}' at scope '{scope}'."
            ),
        ));
    }
    Ok(())
}

/// The deny assignments that hold in a path's group; there are no locks.
pub(super) fn assignments(state: &State, path: &ArmPath, kind: &str) -> Vec<Value> {
    let Some(group) = path
        .group
        .as_deref()
        .filter(|group| is_locked(state, group))
    else {
        return Vec::new();
    };
    if !kind.eq_ignore_ascii_case("denyAssignments") {
        return Vec::new();
    }
    let scope = format!(
        "/subscriptions/{}/resourceGroups/{group}",
        path.subscription
    );
    vec![json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{LOCKDOWN_ID}"),
        "name": LOCKDOWN_ID,
        "type": "Microsoft.Authorization/denyAssignments",
        "properties": {
            "denyAssignmentName": LOCKDOWN_ASSIGNMENT,
            "permissions": [{
                "actions": ["*/action", "*/delete", "*/write"],
                "notActions": [],
                "dataActions": [],
                "notDataActions": [],
            }],
            "scope": scope,
            "doNotApplyToChildScopes": false,
            "principals": [{
                "id": "00000000-0000-0000-0000-000000000000",
                "type": "SystemDefined",
            }],
            "excludePrincipals": [],
            "isSystemProtected": true,
        },
    })]
}

fn is_locked(state: &State, group: &str) -> bool {
    state
        .locked_groups
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains(&group.to_ascii_lowercase())
}

fn by_gateway(code: &str, message: String) -> ArmError {
    let mut error = ArmError::new(StatusCode::FORBIDDEN, code, message);
    error.gateway = true;
    error
}

fn action(method: &Method, path: &ArmPath) -> String {
    let mut kind = path
        .provider
        .clone()
        .unwrap_or_else(|| "Microsoft.Resources".to_owned());
    for segment in &path.segments {
        kind.push('/');
        kind.push_str(&segment.kind);
    }
    let verb = match *method {
        Method::GET | Method::HEAD => "read",
        Method::DELETE => "delete",
        Method::POST => "action",
        _ => "write",
    };
    format!("{kind}/{verb}")
}
