//! Pods made anew: by eviction, or by restarting their workload.

use serde_json::{Value, json};

use super::{Outcome, Semantics, Simulation, Standing, State, patch::merged};
use crate::{
    driver::APPLIED_BY,
    error::{Code, Error},
    model::{Inverse, Query, query::ObjectRef},
};

/// What `kubectl rollout restart` sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

pub(super) struct Evict<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

pub(super) struct Restart<'a> {
    pub workload: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

fn text_at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl Semantics for Evict<'_> {
    fn target(&self) -> Query {
        Query::KubernetesGet {
            object: ObjectRef {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
            },
        }
    }

    /// Which pod it is: another of the same name is another pod, and one on its way out
    /// is as good as gone.
    fn projection(&self, state: &State) -> Result<Value, Error> {
        if state.is_absent() {
            return Ok(Value::Null);
        }
        let pod: Value = state.json()?;
        if !text_at(&pod, "/metadata/deletionTimestamp").is_empty() {
            return Ok(Value::Null);
        }
        Ok(json!({ "uid": text_at(&pod, "/metadata/uid") }))
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        if state.is_absent() {
            return Ok(Standing::InPlace);
        }
        let pod: Value = state.json()?;
        Ok(if text_at(&pod, "/metadata/deletionTimestamp").is_empty() {
            Standing::Ready
        } else {
            Standing::InPlace
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Irreversible {
            reason: "an evicted pod does not come back; its workload makes a new one".to_owned(),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let pod: Value = before.json()?;
        let line = format!(
            "pod {}/{} on node {}\n",
            self.namespace,
            self.name,
            text_at(&pod, "/spec/nodeName")
        );
        Ok(Simulation {
            request: format!(
                "POST /api/v1/namespaces/{}/pods/{}/eviction",
                self.namespace, self.name
            ),
            body: Some(json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": { "name": self.name, "namespace": self.namespace },
            })),
            before: line,
            after: String::new(),
            state: before.gone(Code::KubernetesNotFound),
        })
    }

    fn holds(&self) -> String {
        format!("pod {}/{} is the same pod", self.namespace, self.name)
    }

    // Its status changes all the time.
    fn is_fenced_by_version(&self) -> bool {
        false
    }

    /// A pod of the same name with another uid is the successor.
    fn outcome(&self, before: &State, now: &State, _mark: &str) -> Result<Outcome, Error> {
        Ok(if self.projection(now)? == self.projection(before)? {
            Outcome::Untouched
        } else {
            Outcome::InPlace
        })
    }
}

impl Restart<'_> {
    fn template(state: &State) -> Result<Value, Error> {
        let object: Value = state.json()?;
        Ok(object
            .pointer("/spec/template")
            .cloned()
            .unwrap_or_default())
    }

    /// The template but for who restarted it and when.
    fn without_restart(mut template: Value) -> Value {
        if let Some(Value::Object(annotations)) = template.pointer_mut("/metadata/annotations") {
            annotations.remove(RESTARTED_AT);
            annotations.remove(APPLIED_BY);
        }
        let bare = template
            .pointer("/metadata/annotations")
            .is_some_and(|a| a.as_object().is_some_and(serde_json::Map::is_empty));
        if bare && let Some(Value::Object(metadata)) = template.pointer_mut("/metadata") {
            metadata.remove("annotations");
        }
        template
    }
}

impl Semantics for Restart<'_> {
    fn target(&self) -> Query {
        Query::KubernetesGet {
            object: ObjectRef {
                api_version: "apps/v1".to_owned(),
                kind: self.workload.to_owned(),
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
            },
        }
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        Self::template(state)
    }

    /// A restart can always be done once more.
    fn standing(&self, state: &State) -> Result<Standing, Error> {
        if state.is_absent() {
            return Ok(Standing::Conflict(format!("{} is not there", state.what)));
        }
        Self::template(state).map(|_| Standing::Ready)
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Irreversible {
            reason: "restarted pods do not come back; the workload is otherwise unchanged"
                .to_owned(),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let object: Value = before.json()?;
        // The driver sets the moment; it is not known before.
        let annotations = json!({ (RESTARTED_AT): "<now>" });
        let patch = json!({
            "spec": { "template": { "metadata": { "annotations": annotations } } }
        });
        let when = |object: &Value| {
            let annotations = object.pointer("/spec/template/metadata/annotations");
            let at = annotations.and_then(|a| a.get(RESTARTED_AT));
            format!(
                "{} {}/{} restarted at: {}\n",
                self.workload,
                self.namespace,
                self.name,
                at.and_then(Value::as_str).unwrap_or("never")
            )
        };
        let after = merged(&object, &patch);
        Ok(Simulation {
            request: format!(
                "PATCH /apis/apps/v1/namespaces/{}/{}s/{}",
                self.namespace,
                self.workload.to_lowercase(),
                self.name
            ),
            body: Some(patch),
            before: when(&object),
            after: when(&after),
            state: before.with_json(&after),
        })
    }

    fn holds(&self) -> String {
        format!(
            "the pod template of {} {}/{} is as it was",
            self.workload, self.namespace, self.name
        )
    }

    fn is_fenced_by_version(&self) -> bool {
        false
    }

    /// A restart is this step's own by its mark alone.
    fn outcome(&self, before: &State, now: &State, mark: &str) -> Result<Outcome, Error> {
        let (was, is) = (Self::template(before)?, Self::template(now)?);
        let annotations = is.pointer("/metadata/annotations");
        let applied_by = annotations.and_then(|annotations| annotations.get(APPLIED_BY));
        Ok(if applied_by.and_then(Value::as_str) == Some(mark) {
            Outcome::InPlace
        } else if was == is {
            Outcome::Untouched
        } else if Self::without_restart(was) == Self::without_restart(is) {
            // Someone else restarted it.
            Outcome::Overtaken
        } else {
            Outcome::Unclear
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "0123456789ab step 0 forward";

    fn workload(image: &str, annotations: &Value) -> State {
        let template = json!({
            "metadata": { "annotations": annotations },
            "spec": { "containers": [{ "image": image }] },
        });
        State {
            what: "deployment/n/a".into(),
            answer: Ok(json!({ "spec": { "template": template } })
                .to_string()
                .into()),
        }
    }

    #[test]
    fn a_restart_is_told_from_a_strangers_by_the_mark_of_its_step() {
        let restart = Restart {
            workload: "Deployment",
            namespace: "n",
            name: "a",
        };
        // Restarted by an earlier plan of Naosu's.
        let earlier = json!({ RESTARTED_AT: "1", APPLIED_BY: "ba9876543210 step 0 forward" });
        let before = workload("v1", &earlier);
        let of = |now: &State| restart.outcome(&before, now, MARK).unwrap();
        let ours = json!({ RESTARTED_AT: "2", APPLIED_BY: MARK });
        let theirs = json!({ RESTARTED_AT: "2", APPLIED_BY: "ba9876543210 step 0 forward" });
        let later = json!({ RESTARTED_AT: "3", APPLIED_BY: MARK });
        assert_eq!(of(&before), Outcome::Untouched);
        assert_eq!(of(&workload("v1", &ours)), Outcome::InPlace);
        assert_eq!(of(&workload("v1", &theirs)), Outcome::Overtaken);
        // After ours came someone else's restart, or another image.
        assert_eq!(of(&workload("v1", &later)), Outcome::InPlace);
        assert_eq!(of(&workload("v2", &ours)), Outcome::InPlace);
        assert_eq!(of(&workload("v2", &earlier)), Outcome::Unclear);
    }
}
