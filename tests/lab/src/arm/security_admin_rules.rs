//! `POST …/virtualNetworks/{network}/listNetworkManagerEffectiveSecurityAdminRules`: the security
//! admin rules in force on a network.

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ArmError;
use super::id::ArmPath;
use super::reply::Reply;
use super::state::State;
use super::target::{Target, find};
use crate::data_plane::ArmResources;
use crate::fabric::{admin_rules_on, parent_of};
use crate::wire::Received;

/// The request path's full type, in lower case.
pub(super) const ACTION: &str =
    "microsoft.network/virtualnetworks/listnetworkmanagereffectivesecurityadminrules";

/// Answers with a page of the rules. Unlike ARM's lists it goes on by a token in the body, not by
/// a link, and the token of the last page is empty.
pub(super) fn post(state: &State, request: &Received, path: &ArmPath) -> Result<Reply, ArmError> {
    let start = skipped(request)?;
    let network = ArmPath {
        segments: path.segments.iter().take(1).cloned().collect(),
        ..path.clone()
    };
    let (network_id, governance) = {
        let store = state.store();
        let id = find(&store, &network, Target::of(&network)?)?.id.clone();
        let governance: ArmResources = store
            .all()
            .filter(|stored| {
                stored
                    .kind
                    .name
                    .starts_with("Microsoft.Network/networkManagers")
            })
            .map(|stored| store.render(stored))
            .collect();
        (id, governance)
    };
    let rules = admin_rules_on(&governance, &network_id);
    let end = start.saturating_add(state.page_size).min(rules.len());
    let page = rules.get(start..end).unwrap_or_default();
    let value: Vec<Value> = page
        .iter()
        .map(|rule| effective(&governance, rule))
        .collect();
    let token = if end < rules.len() {
        end.to_string()
    } else {
        String::new()
    };
    Ok(Reply::json(
        StatusCode::OK,
        json!({ "value": value, "skipToken": token }),
    ))
}

/// How many rules earlier pages had, as the token in the body says.
fn skipped(request: &Received) -> Result<usize, ArmError> {
    let invalid =
        |code: &str, message: String| ArmError::new(StatusCode::BAD_REQUEST, code, message);
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let Some(options) = body.as_object() else {
        return Err(invalid(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'Error reading object. Unexpected token.'.".to_owned(),
        ));
    };
    match options.get("skipToken").map(|token| token.as_str()) {
        None | Some(Some("")) => Ok(0),
        Some(token) => token.and_then(|token| token.parse().ok()).ok_or_else(|| {
            invalid(
                "InvalidSkipToken",
                format!("The skipToken '{}' is invalid.", options["skipToken"]),
            )
        }),
    }
}

/// A rule as the networks tell it: by its id and without its name, with what its parents say.
fn effective(governance: &ArmResources, rule: &Value) -> Value {
    let collection_id = parent_of(rule);
    let collection = governance.get(collection_id).unwrap_or(&Value::Null);
    let configuration = governance
        .get(parent_of(collection))
        .unwrap_or(&Value::Null);
    let applies_to = &collection["properties"]["appliesToGroups"];
    let groups: Vec<Value> = applies_to
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| governance.get(item["networkGroupId"].as_str()?))
        .map(|group| json!({ "id": group["id"], "properties": group["properties"] }))
        .collect();
    json!({
        "id": rule["id"],
        "configurationDescription": configuration["properties"]["description"],
        "ruleCollectionDescription": collection["properties"]["description"],
        "ruleCollectionAppliesToGroups": applies_to,
        "ruleGroups": groups,
        "kind": rule["kind"],
        "properties": rule["properties"],
    })
}
