//! Every object of the cluster, with resource versions and the history that
//! watches read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::resource::ResourceType;
use super::selector::Selector;

/// How many changes a watch can lie behind.
const HISTORY: usize = 4096;
const MODIFY_ATTEMPTS: u32 = 32;

/// Group, plural, namespace and name.
type Key = (&'static str, &'static str, String, String);

/// What happened to an object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub version: u64,
    pub resource: &'static ResourceType,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: VecDeque<Change>,
}

/// The objects of one cluster.
pub(super) struct Objects {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

/// Why a write was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No such object.
    Missing,
    /// Its version is another than the writer believed.
    Outdated,
    /// It is there already.
    Exists,
}

impl Objects {
    pub fn new() -> Self {
        let inner = Inner {
            version: 1,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            changed: watch::Sender::new(1),
        }
    }

    pub fn get(&self, resource: &ResourceType, namespace: &str, name: &str) -> Option<Value> {
        let key = (
            resource.group,
            resource.plural,
            namespace.to_owned(),
            name.to_owned(),
        );
        self.lock().objects.get(&key).cloned()
    }

    /// The selected objects and the version the list is of.
    pub fn list(
        &self,
        resource: &ResourceType,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> (Vec<Value>, u64) {
        let inner = self.lock();
        let selected = inner
            .objects
            .iter()
            .filter(|((group, plural, ns, _), object)| {
                *group == resource.group
                    && *plural == resource.plural
                    && namespace.is_none_or(|wanted| wanted == ns)
                    && selector.selects(object)
            })
            .map(|(_, object)| object.clone())
            .collect();
        (selected, inner.version)
    }

    /// Adds a new object and fills in what the API server sets.
    pub fn create(
        &self,
        resource: &'static ResourceType,
        mut object: Value,
    ) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let key = key_of(resource, &object);
        if inner.objects.contains_key(&key) {
            return Err(Refusal::Exists);
        }
        complete(resource, &mut object);
        Ok(self.store(&mut inner, resource, key, object))
    }

    /// Replaces an object; the version in `object`, when it has one, must be
    /// the current one.
    pub fn update(&self, resource: &'static ResourceType, object: Value) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let key = key_of(resource, &object);
        let Some(before) = inner.objects.get(&key) else {
            return Err(Refusal::Missing);
        };
        let object = continued(resource, before, object)?;
        if *before == object {
            return Ok(object);
        }
        Ok(self.store(&mut inner, resource, key, object))
    }

    /// What [`Objects::update`] would store.
    pub fn preview(
        &self,
        resource: &'static ResourceType,
        object: Value,
    ) -> Result<Value, Refusal> {
        let inner = self.lock();
        let before = inner.objects.get(&key_of(resource, &object));
        continued(resource, before.ok_or(Refusal::Missing)?, object)
    }

    /// Changes an object in place, whatever its version.
    pub fn modify(
        &self,
        resource: &'static ResourceType,
        namespace: &str,
        name: &str,
        change: impl Fn(&mut Value),
    ) {
        // A concurrent writer makes the version outdated: read and try again.
        for _ in 0..MODIFY_ATTEMPTS {
            let Some(mut object) = self.get(resource, namespace, name) else {
                return;
            };
            change(&mut object);
            match self.update(resource, object) {
                Err(Refusal::Outdated) => {}
                _ => return,
            }
        }
        tracing::warn!(name, "object changes too often to be modified");
    }

    pub fn remove(
        &self,
        resource: &'static ResourceType,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let mut inner = self.lock();
        let key = (
            resource.group,
            resource.plural,
            namespace.to_owned(),
            name.to_owned(),
        );
        let mut before = inner.objects.remove(&key)?;
        let version = inner.version + 1;
        before["metadata"]["resourceVersion"] = json!(version.to_string());
        self.note(&mut inner, resource, Some(before.clone()), None);
        Some(before)
    }

    /// The changes after `version`, or the oldest version still known.
    pub fn since(&self, version: u64) -> Result<Vec<Change>, u64> {
        let inner = self.lock();
        let oldest = inner
            .history
            .front()
            .map_or(inner.version, |change| change.version - 1);
        if version < oldest {
            return Err(oldest);
        }
        let newer = inner
            .history
            .iter()
            .filter(|change| change.version > version)
            .cloned()
            .collect();
        Ok(newer)
    }

    /// Sees every change of the version.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn store(
        &self,
        inner: &mut Inner,
        resource: &'static ResourceType,
        key: Key,
        mut object: Value,
    ) -> Value {
        object["metadata"]["resourceVersion"] = json!((inner.version + 1).to_string());
        let before = inner.objects.insert(key, object.clone());
        self.note(inner, resource, before, Some(object.clone()));
        object
    }

    fn note(
        &self,
        inner: &mut Inner,
        resource: &'static ResourceType,
        before: Option<Value>,
        after: Option<Value>,
    ) {
        inner.version += 1;
        if inner.history.len() == HISTORY {
            inner.history.pop_front();
        }
        let version = inner.version;
        inner.history.push_back(Change {
            version,
            resource,
            before,
            after,
        });
        self.changed.send_replace(version);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An update with what the API server does not let a writer change.
fn continued(resource: &ResourceType, before: &Value, mut object: Value) -> Result<Value, Refusal> {
    let current = &before["metadata"];
    let believed = &object["metadata"]["resourceVersion"];
    if believed.as_str().is_some_and(|version| !version.is_empty())
        && *believed != current["resourceVersion"]
    {
        return Err(Refusal::Outdated);
    }
    let wanted_uid = &object["metadata"]["uid"];
    if wanted_uid.is_string() && *wanted_uid != current["uid"] {
        return Err(Refusal::Outdated);
    }
    for field in ["uid", "creationTimestamp", "resourceVersion", "generation"] {
        if let Some(value) = current.get(field) {
            object["metadata"][field] = value.clone();
        }
    }
    if object.get("spec") != before.get("spec")
        && let Some(generation) = current["generation"].as_u64()
    {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    Ok(object)
}

fn complete(resource: &ResourceType, object: &mut Value) {
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(Uuid::new_v4().to_string());
    metadata["generation"] = json!(1);
    if !metadata["creationTimestamp"].is_string() {
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        metadata["creationTimestamp"] = json!(now);
    }
}

fn key_of(resource: &'static ResourceType, object: &Value) -> Key {
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let namespace = if resource.namespaced {
        text("namespace")
    } else {
        String::new()
    };
    (resource.group, resource.plural, namespace, text("name"))
}
