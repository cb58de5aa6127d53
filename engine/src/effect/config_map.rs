//! One key of a ConfigMap.

use serde_json::{Value, json};

use super::{Semantics, Simulation, Standing, State, patch::merged, text};
use crate::{
    error::Error,
    model::{Effect, Inverse, Query, query::ObjectRef},
};

pub(super) struct Set<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub key: &'a str,
    pub value: &'a str,
}

impl Set<'_> {
    fn object(&self) -> ObjectRef {
        ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
        }
    }

    fn value_in(&self, state: &State) -> Result<Option<String>, Error> {
        let object: Value = state.json()?;
        let value = object.get("data").and_then(|data| data.get(self.key));
        Ok(value.and_then(Value::as_str).map(str::to_owned))
    }

    fn patch(&self, value: Option<&str>) -> Value {
        json!({ "data": { (self.key): value } })
    }
}

impl Semantics for Set<'_> {
    fn target(&self) -> Query {
        Query::KubernetesGet {
            object: self.object(),
        }
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        Ok(json!(self.value_in(state)?))
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        if state.is_absent() {
            return Ok(Standing::Conflict(format!(
                "{} is not there",
                self.object()
            )));
        }
        Ok(if self.value_in(state)?.as_deref() == Some(self.value) {
            Standing::InPlace
        } else {
            Standing::Ready
        })
    }

    fn inverse(&self, before: &State) -> Result<Inverse, Error> {
        let effect = match self.value_in(before)? {
            Some(value) => Effect::ConfigMapSet {
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
                key: self.key.to_owned(),
                value,
            },
            None => Effect::KubernetesPatch {
                object: self.object(),
                patch: self.patch(None),
            },
        };
        Ok(Inverse::Effect { effect })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let object: Value = before.json()?;
        let patch = self.patch(Some(self.value));
        let text = |value: &str| text::lines(value.lines());
        Ok(Simulation {
            request: format!("PATCH {}", self.object()),
            before: self
                .value_in(before)?
                .as_deref()
                .map(text)
                .unwrap_or_default(),
            after: text(self.value),
            state: before.with_json(&merged(&object, &patch)),
            body: Some(patch),
        })
    }

    fn holds(&self) -> String {
        format!("key {} of {} is as it was", self.key, self.object())
    }

    // Only the key matters; labels and annotations may change by themselves.
    fn is_fenced_by_version(&self) -> bool {
        false
    }
}
