//! JSON merge patches (RFC 7386), and the generic effects that are made of one.

use serde_json::{Map, Value};

use super::{Semantics, Simulation, Standing, State, state::arm, text};
use crate::{
    error::Error,
    model::{Inverse, Query, query::ObjectRef},
};

/// What patches of a peer's own bookkeeping cannot be told apart from drift.
const VOLATILE: [&str; 7] = [
    "etag",
    "eTag",
    "systemData",
    "status",
    "/metadata/resourceVersion",
    "/metadata/managedFields",
    "/metadata/generation",
];

pub(super) struct Arm<'a> {
    pub resource: &'a str,
    pub patch: &'a Value,
}

pub(super) struct Kubernetes<'a> {
    pub object: &'a ObjectRef,
    pub patch: &'a Value,
}

/// `target` after the merge patch.
pub(super) fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut object = target.as_object().cloned().unwrap_or_default();
    for (key, change) in changes {
        if change.is_null() {
            object.remove(key);
        } else {
            let old = object.get(key).unwrap_or(&Value::Null);
            let new = merged(old, change);
            object.insert(key.clone(), new);
        }
    }
    Value::Object(object)
}

/// The merge patch that takes `patch` back from `before`: what it touches, as
/// it was.
pub(super) fn reversed(before: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return before.clone();
    };
    let old = before.as_object();
    let mut reverse = Map::new();
    for (key, change) in changes {
        let was = old.and_then(|o| o.get(key)).unwrap_or(&Value::Null);
        let back = if change.is_object() && was.is_object() {
            reversed(was, change)
        } else {
            was.clone()
        };
        reverse.insert(key.clone(), back);
    }
    Value::Object(reverse)
}

/// Without what changes by itself.
fn settled(mut resource: Value) -> Value {
    for place in VOLATILE {
        let (parent, key) = match place.rsplit_once('/') {
            Some((parent, key)) => (resource.pointer_mut(parent), key),
            None => (Some(&mut resource), place),
        };
        if let Some(Value::Object(object)) = parent {
            object.remove(key);
        }
    }
    if let Some(Value::Object(properties)) = resource.pointer_mut("/properties") {
        properties.remove("provisioningState");
    }
    resource
}

fn standing(state: &State, patch: &Value) -> Result<Standing, Error> {
    if state.is_absent() {
        return Ok(Standing::Conflict(format!("{} is not there", state.what)));
    }
    let now: Value = state.json()?;
    Ok(if merged(&now, patch) == now {
        Standing::InPlace
    } else {
        Standing::Ready
    })
}

fn simulate(state: &State, request: String, patch: &Value) -> Result<Simulation, Error> {
    let before: Value = state.json()?;
    let after = merged(&before, patch);
    Ok(Simulation {
        request,
        body: Some(patch.clone()),
        before: text::pretty(&settled(before)),
        after: text::pretty(&settled(after.clone())),
        state: state.with_json(&after),
    })
}

fn irreversible() -> Inverse {
    Inverse::Irreversible {
        reason: "what a generic patch sets in motion is not known, so putting the old values \
                 back may not undo it; the state before is in the plan"
            .to_owned(),
    }
}

impl Semantics for Arm<'_> {
    fn target(&self) -> Query {
        arm(self.resource)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        Ok(settled(state.json()?))
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        standing(state, self.patch)
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(irreversible())
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        simulate(before, format!("PATCH {}", self.resource), self.patch)
    }

    fn holds(&self) -> String {
        format!("{} is as it was", self.resource)
    }
}

impl Semantics for Kubernetes<'_> {
    fn target(&self) -> Query {
        Query::KubernetesGet {
            object: self.object.clone(),
        }
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        Ok(settled(state.json()?))
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        standing(state, self.patch)
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(irreversible())
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        simulate(before, format!("PATCH {}", self.object), self.patch)
    }

    fn holds(&self) -> String {
        format!("{} is as it was, but for its status", self.object)
    }

    // The status, and with it the version, changes by itself.
    fn is_fenced_by_version(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7386_merge_as_it_says() {
        // Appendix A: original, patch, result.
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ];
        for (original, patch, result) in cases {
            assert_eq!(merged(&original, &patch), result, "{original} {patch}");
        }
    }

    fn object(depth: u32) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<u8>().prop_map(|n| json!(n)), Just(json!("x"))];
        leaf.prop_recursive(depth, 12, 3, |inner| {
            prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|m| json!(m))
        })
        .prop_map(|v| json!({ "p": v }))
    }

    proptest! {
        #[test]
        fn a_patch_and_its_reverse_restore_every_value(before in object(3), patch in object(3)) {
            let after = merged(&before, &patch);
            prop_assert_eq!(merged(&after, &patch), after.clone());
            let back = merged(&after, &reversed(&before, &patch));
            prop_assert_eq!(back, before);
        }
    }
}
