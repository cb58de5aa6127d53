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

/// Minutes that Azure sets where the idle time of a NAT gateway is not given.
const IDLE_DEFAULT: u64 = 4;

/// A field that stands in an object of the patch's own making beside what the patch
/// put there; `now` has all that the patch sets.
fn put_beside(was: &Value, patch: &Value, now: &Value) -> Option<String> {
    let below = |key: &String, found: Option<String>| found.map(|field| format!("{key}.{field}"));
    let nothing = Value::Null;
    let mut changes = patch.as_object().into_iter().flatten();
    changes.find_map(|(key, change)| {
        let now = now.get(key).unwrap_or(&nothing);
        match was.get(key) {
            Some(was @ Value::Object(_)) => below(key, put_beside(was, change, now)),
            _ => below(key, more_than(change, now)),
        }
    })
}

/// A field that is in `now` and not in what was set.
fn more_than(set: &Value, now: &Value) -> Option<String> {
    let (set, now) = (set.as_object()?, now.as_object()?);
    now.iter().find_map(|(key, value)| match set.get(key) {
        Some(set) => more_than(set, value).map(|field| format!("{key}.{field}")),
        None if key == "idleTimeoutInMinutes" && *value == IDLE_DEFAULT => None,
        None if value.is_null() => None,
        None => Some(key.clone()),
    })
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
        // The addresses that were there may be gone, and only Azure sets them.
        let was = settled(profile(&before.json()?));
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

    /// What the step made goes as a whole on the way back, with whatever someone put
    /// into it since.
    fn hidden_change(&self, before: &State, now: &State) -> Result<Option<String>, Error> {
        let was = settled(profile(&before.json()?));
        let now = settled(profile(&now.json()?));
        let added = put_beside(&was, self.patch, &now);
        Ok(added.map(|field| format!("it has {field} now, which the step did not set")))
    }

    fn holds(&self) -> String {
        "the cluster's network profile is as it was".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbound_type_is_taken_back_without_addresses_that_only_azure_sets() {
        let cluster = json!({ "properties": { "networkProfile": {
            "outboundType": "loadBalancer",
            "loadBalancerProfile": {
                "managedOutboundIPs": { "count": 1 },
                "effectiveOutboundIPs": [{ "id": "/ip" }],
            },
        } } });
        let state = |body: &Value| State {
            what: "the cluster".into(),
            answer: Ok(body.to_string().into()),
        };
        let patch = json!({
            "outboundType": "managedNATGateway",
            "loadBalancerProfile": null,
            "natGatewayProfile": { "managedOutboundIPProfile": { "count": 2 } },
        });
        let forward = Set {
            cluster: "/c",
            patch: &patch,
        };
        let before = state(&cluster);
        let inverse = forward.inverse(&before).unwrap();
        let Inverse::Effect {
            effect: Effect::NetworkProfileSet { patch: back, .. },
        } = inverse
        else {
            panic!("{inverse:?}");
        };
        assert_eq!(
            back,
            json!({
                "outboundType": "loadBalancer",
                "loadBalancerProfile": { "managedOutboundIPs": { "count": 1 } },
                "natGatewayProfile": null,
            })
        );
        // AKS makes other addresses when it goes back: that is still as it was.
        let mut restored = cluster.clone();
        let profile = &mut restored["properties"]["networkProfile"]["loadBalancerProfile"];
        profile["effectiveOutboundIPs"] = json!([{ "id": "/other" }]);
        let restored = state(&restored);
        let backward = Set {
            cluster: "/c",
            patch: &back,
        };
        assert_eq!(backward.standing(&restored).unwrap(), Standing::InPlace);
        assert_eq!(
            forward.projection(&restored).unwrap(),
            forward.projection(&before).unwrap()
        );
    }
}
