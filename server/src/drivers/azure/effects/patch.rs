//! Any ARM resource: merged here and put back whole, because most providers'
//! PATCH takes nothing but tags.

use naosu_engine::error::Error;
use serde_json::Value;

use super::{Edit, Planned, malformed, read_only};
use crate::drivers::azure::resource_id::ResourceId;

const READ_ONLY: &[&str] = &[
    "id",
    "name",
    "type",
    "etag",
    "eTag",
    "systemData",
    "properties/provisioningState",
    "properties/resourceGuid",
];

/// Merges `patch` (RFC 7386) into the resource.
pub fn merge(id: &str, patch: &Value, resource: &Value) -> Result<Planned, Error> {
    let id = ResourceId::parse(id)?;
    if !resource.is_object() {
        return Err(malformed(format!("{id} was not read as a JSON object")));
    }
    let mut before = resource.clone();
    read_only::remove(&mut before, READ_ONLY);
    let mut after = before.clone();
    json_patch::merge(&mut after, patch);
    if before == after {
        return Ok(Planned::InPlace);
    }
    Ok(Planned::Write(Box::new(Edit {
        id,
        body: after.clone(),
        before,
        after,
    })))
}
