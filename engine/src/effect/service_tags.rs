//! What Azure's published service tags stand for, from the list of the region.

use std::collections::BTreeSet;

use naosu_flow::nsg::TagContext;
use serde_json::Value;

use super::state::arm;
use crate::plugin::Reads;

/// Tags that follow from the virtual network, or need nothing.
const BUILT_IN: [&str; 5] = [
    "virtualnetwork",
    "internet",
    "azureloadbalancer",
    "azureplatformdns",
    "azureplatformimds",
];

fn is_published(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value != "any"
        && !value.contains([':', '/'])
        && !BUILT_IN.contains(&value.as_str())
}

/// The context with the published tags of the resource's region, read only when
/// one of `values` is such a tag. What cannot be read stays unknown, with why.
pub(super) async fn read_into(
    context: TagContext,
    values: &BTreeSet<String>,
    resource: &Value,
    reads: &dyn Reads,
) -> TagContext {
    let tags: Vec<&String> = values.iter().filter(|value| is_published(value)).collect();
    if tags.is_empty() {
        return context;
    }
    let read = match list(resource, reads).await {
        Ok(list) => context
            .clone()
            .with_service_tags(&list)
            .map_err(|error| error.to_string()),
        Err(reason) => Err(reason),
    };
    read.unwrap_or_else(|reason| {
        tags.iter().fold(context, |context, tag| {
            context.with_unread(tag, format!("the service tag list was not read: {reason}"))
        })
    })
}

async fn list(resource: &Value, reads: &dyn Reads) -> Result<Value, String> {
    let text = |field: &str| {
        let value = resource.get(field).and_then(Value::as_str);
        value.ok_or_else(|| format!("the resource has no {field}"))
    };
    let location = text("location")?;
    let id = text("id")?;
    let subscription = id
        .split('/')
        .nth(2)
        .ok_or_else(|| format!("{id:?} names no subscription"))?;
    let list = arm(&format!(
        "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags"
    ));
    let answer = reads.read(&list).await.answer.clone();
    let body = answer.map_err(|error| error.message)?;
    serde_json::from_str(&body).map_err(|error| error.to_string())
}
