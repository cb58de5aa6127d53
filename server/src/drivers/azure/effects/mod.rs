//! Effects on Azure as one conditional write each.
//!
//! # Why a rule is written by writing its whole group
//!
//! A security rule has an endpoint of its own, but whether `If-Match` on it
//! fences against a change of a *neighbouring* rule, or holds at all, is not
//! documented and was never recorded. For the group it is both: recorded traffic
//! shows 412 `PreconditionFailedEtagMismatch` for a PUT of the group with an old
//! ETag, and Kubernetes' own cloud provider for Azure has relied on exactly that
//! for years. So each effect on a rule reads the group, edits it and puts the
//! whole of it back under `If-Match`; what Naosu does not understand in it goes
//! back as it came. The same holds for classic firewalls, rule collection groups
//! and managed clusters, which have no smaller endpoint anyway.
//!
//! A resource that comes without an ETag is not written.

pub mod firewall;
pub mod network_profile;
pub mod nsg;
pub mod patch;
mod read_only;

use naosu_engine::{
    driver::{IdempotencyKey, PerformError, Performed},
    error::{Code, Error},
    model::{DryRun, Effect, Observation, journal::Way},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    client::{ArmClient, ArmRequest},
    error::AzureError,
    resource_id::ResourceId,
    response::etag_in,
};
use crate::drivers::config::ms;

/// A resource as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The resource.
    pub id: ResourceId,
    /// The whole of it, without what only Azure may set.
    pub body: Value,
    /// The part that the edit is about, before, for a diff.
    pub before: Value,
    /// The same part afterwards.
    pub after: Value,
}

/// What an effect comes to on what was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// Nothing has to be written.
    InPlace,
    /// This has to be written.
    Write(Box<Edit>),
}

/// What `effect` comes to on the resource as it was read; `None` when the effect
/// is not Azure's.
///
/// # Errors
/// When the effect cannot be performed on it: typed, and nothing was sent.
pub fn plan(effect: &Effect, resource: &Value) -> Option<Result<Planned, Error>> {
    Some(match effect {
        Effect::NsgRuleCreate { nsg, rule } => nsg::create(nsg, rule, resource),
        Effect::NsgRuleDelete { nsg, rule } => nsg::delete(nsg, rule, resource),
        Effect::NsgRulesReplace { nsg, rules } => nsg::replace(nsg, rules, resource),
        Effect::FirewallRuleAdd(rule) => firewall::add(rule, resource),
        Effect::FirewallRuleRemove(rule) => firewall::remove(rule, resource),
        Effect::NetworkProfileSet { cluster, patch } => {
            network_profile::set(cluster, patch, resource)
        }
        Effect::ArmPatch {
            resource: id,
            patch,
        } => patch::merge(id, patch, resource),
        _ => return None,
    })
}

impl ArmClient {
    /// Performs an effect on Azure; `None` when it is not Azure's.
    pub async fn perform(
        &self,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Option<Result<Performed, PerformError>> {
        let resource = match observed(before) {
            Ok(resource) => resource,
            Err(error) => {
                return plan(effect, &Value::Null).map(|_| Err(PerformError::NotApplied(error)));
            }
        };
        let planned = plan(effect, &resource)?;
        Some(match planned {
            Err(error) => Err(PerformError::NotApplied(error)),
            Ok(Planned::InPlace) => Ok(Performed {
                already_in_place: true,
                detail: "the resource is like that already".to_owned(),
            }),
            Ok(Planned::Write(edit)) => {
                let etag = before.version.clone().or_else(|| etag_in(&resource));
                self.put(&edit, etag, correlation(key))
                    .await
                    .map_err(PerformError::from)
            }
        })
    }

    /// What [`Self::perform`] would send; `None` when the effect is not Azure's.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn show(
        &self,
        effect: &Effect,
        before: &Observation,
    ) -> Option<Result<Option<DryRun>, Error>> {
        let planned = match observed(before) {
            Ok(resource) => plan(effect, &resource)?,
            Err(error) => plan(effect, &Value::Null).map(|_| Err(error))?,
        };
        Some(planned.and_then(|planned| match planned {
            Planned::InPlace => Ok(None),
            Planned::Write(edit) => {
                let url = self.url(&edit.id).map_err(Error::from)?;
                Ok(Some(DryRun {
                    by: "simulated".to_owned(),
                    request: format!("PUT {url}"),
                    before: pretty(&edit.before),
                    after: pretty(&edit.after),
                    body: Some(edit.body),
                }))
            }
        }))
    }

    /// Writes a resource under the ETag it was read with.
    async fn put(
        &self,
        edit: &Edit,
        etag: Option<String>,
        correlation: Uuid,
    ) -> Result<Performed, AzureError> {
        let Some(etag) = etag else {
            return Err(AzureError::NoEtag {
                path: edit.id.to_string(),
            });
        };
        let request = ArmRequest {
            method: http::Method::PUT,
            url: self.url(&edit.id)?,
            body: Some(edit.body.clone()),
            if_match: Some(etag),
            correlation,
            repeatable: false,
        };
        tracing::info!(resource = %edit.id, %correlation, "writing to Azure");
        let limit = ms(self.config().operation_timeout_ms);
        let (accepted, _) = self.write(&request, limit).await?;
        let new = accepted
            .json()
            .ok()
            .and_then(|body| accepted.etag(&body))
            .map(|etag| format!(", ETag {etag}"))
            .unwrap_or_default();
        Ok(Performed {
            already_in_place: false,
            detail: format!("{}{new}, correlation {correlation}", accepted.status),
        })
    }
}

/// The resource that was read.
fn observed(before: &Observation) -> Result<Value, Error> {
    let body = before.answer.as_ref().map_err(|error| {
        Error::new(
            error.code,
            format!("{}: {}", before.query, error.message),
            "see that it can be read, then plan again",
        )
    })?;
    serde_json::from_str(body).map_err(|error| {
        Error::new(
            Code::RulesetMalformed,
            format!("{} was not read as JSON: {error}", before.query),
            "diagnose and plan again",
        )
    })
}

/// One correlation id a try: the same after a restart.
fn correlation(key: &IdempotencyKey) -> Uuid {
    let way = match key.way {
        Way::Forward => "forward",
        Way::Back => "back",
    };
    let text = format!("{} {} {way} {}", key.plan, key.step, key.attempt);
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(Sha256::digest(text)) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The resource changed since the effect was planned.
fn drift(what: String) -> Error {
    Error::new(
        Code::Drift,
        what,
        "nothing was written; compare, then diagnose and plan again",
    )
}

/// The resource is not what the effect takes it for.
fn conflict(what: String) -> Error {
    Error::new(
        Code::AzureConflict,
        what,
        "nothing was written; diagnose and plan again",
    )
}

/// The resource was read, but cannot be understood.
fn malformed(what: String) -> Error {
    Error::new(
        Code::RulesetMalformed,
        what,
        "nothing was written; look at the resource in Azure",
    )
}
