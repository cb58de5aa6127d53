//! The managed cluster's network profile: outbound ports, IPs and type.

use serde_json::{Value, json};

use super::{
    Semantics, Simulation, Standing, State,
    patch::{merged, reversed},
    state::arm,
    text,
};
use crate::{
    error::Error,
    model::{Effect, Inverse, Query},
};

pub(super) struct Set<'a> {
    pub cluster: &'a str,
    pub patch: &'a Value,
}

fn profile(resource: &Value) -> Value {
    resource
        .pointer("/properties/networkProfile")
        .cloned()
        .unwrap_or(json!({}))
}

/// Without what Azure fills in by itself.
fn settled(mut profile: Value) -> Value {
    for parent in ["/loadBalancerProfile", "/natGatewayProfile"] {
        if let Some(Value::Object(object)) = profile.pointer_mut(parent) {
            object.remove("effectiveOutboundIPs");
        }
    }
    profile
}

impl Semantics for Set<'_> {
    fn target(&self) -> Query {
        arm(self.cluster)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        Ok(settled(profile(&state.json()?)))
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let resource: Value = state.json()?;
        let now = profile(&resource);
        if merged(&now, self.patch) == now {
            return Ok(Standing::InPlace);
        }
        let provisioning = resource.pointer("/properties/provisioningState");
        Ok(match provisioning.and_then(Value::as_str) {
            None | Some("Succeeded" | "Failed" | "Canceled") => Standing::Ready,
            Some(busy) => Standing::Conflict(format!("the cluster is {busy}")),
        })
    }

    fn inverse(&self, before: &State) -> Result<Inverse, Error> {
        let was = profile(&before.json()?);
        Ok(Inverse::Effect {
            effect: Effect::NetworkProfileSet {
                cluster: self.cluster.to_owned(),
                patch: reversed(&was, self.patch),
            },
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let mut resource: Value = before.json()?;
        let was = profile(&resource);
        let after = merged(&was, self.patch);
        if let Some(properties) = resource
            .get_mut("properties")
            .and_then(Value::as_object_mut)
        {
            properties.insert("networkProfile".to_owned(), after.clone());
        }
        Ok(Simulation {
            request: format!("PUT {}", self.cluster),
            body: Some(json!({ "properties": { "networkProfile": self.patch } })),
            before: text::pretty(&settled(was)),
            after: text::pretty(&settled(after)),
            state: before.with_json(&resource),
        })
    }

    fn holds(&self) -> String {
        "the cluster's network profile is as it was".to_owned()
    }
}
