//! Hosts, recorded reads and components of the tests.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use naosu_engine::{
    Error,
    model::{
        Capability, ClusterId, Digest, Finding, Observation, ObserveError, ObserveErrorKind, Query,
        Symptom,
    },
    plugin::{Grant, Grants, HostSettings, Limits, Origin, Plugin, PluginHost, Reads},
};

/// When every observation of these tests was made.
pub const OBSERVED_AT: &str = "2026-03-04T05:06:07Z";

/// Limits that a test does not wait long for.
pub fn limits() -> Limits {
    Limits {
        memory_bytes: 32 << 20,
        transfer_bytes: 8 << 20,
        log_bytes: 2_000,
        running_ms: 500,
        elapsed_ms: 3_000,
        concurrent_calls: 2,
        ..Limits::default()
    }
}

pub fn granting(capabilities: &[Capability]) -> Grants {
    let grant = Grant {
        capabilities: capabilities.iter().copied().collect(),
        digest: None,
    };
    Grants([("hostile".to_owned(), grant)].into())
}

pub fn settings() -> HostSettings {
    HostSettings {
        limits: limits(),
        grants: granting(&[Capability::AzureRead, Capability::KubernetesRead]),
        cache_directory: None,
    }
}

pub fn file() -> Origin {
    Origin::File("hostile.wasm".into())
}

/// The hostile component with another description.
pub fn hostile_describing(how: &str) -> Vec<u8> {
    let marker = b"naosu-hostile-describe:";
    let mut bytes = naosu_bundle::HOSTILE.to_vec();
    let at = bytes
        .windows(marker.len())
        .position(|window| window == marker)
        .expect("the marker is in the component");
    let word = format!("{how:<9}");
    bytes[at + marker.len()..at + marker.len() + 9].copy_from_slice(word.as_bytes());
    bytes
}

pub async fn hostile() -> Arc<dyn Plugin> {
    let host = PluginHost::new(settings()).unwrap();
    host.load(naosu_bundle::HOSTILE, file()).await.unwrap()
}

pub fn cluster() -> ClusterId {
    "/subscriptions/0/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks"
        .parse()
        .unwrap()
}

pub async fn diagnose(plugin: &dyn Plugin, text: &str) -> Result<Finding, Error> {
    let symptom = Symptom {
        text: text.to_owned(),
        nodes: Vec::new(),
    };
    let reads = Arc::new(NothingThere::default());
    plugin.diagnose(&cluster(), &symptom, reads).await
}

/// Asks the hostile plugin for this behaviour over these reads.
pub async fn diagnose_reading(
    plugin: &dyn Plugin,
    text: &str,
    reads: Arc<dyn Reads>,
) -> Result<Finding, Error> {
    let symptom = Symptom {
        text: text.to_owned(),
        nodes: Vec::new(),
    };
    plugin.diagnose(&cluster(), &symptom, reads).await
}

/// Answers every read alike, and remembers what it was asked.
pub struct Always {
    pub answer: Result<Arc<str>, ObserveError>,
    pub asked: Mutex<Vec<Query>>,
}

impl Always {
    pub fn new(answer: Result<&str, ObserveError>) -> Arc<Self> {
        Arc::new(Self {
            answer: answer.map(Into::into),
            asked: Mutex::default(),
        })
    }
}

#[async_trait]
impl Reads for Always {
    async fn read(&self, query: &Query) -> Arc<Observation> {
        self.asked.lock().unwrap().push(query.clone());
        Arc::new(Observation {
            query: query.clone(),
            answer: self.answer.clone(),
            version: None,
            observed_at: OBSERVED_AT.parse().unwrap(),
            digest: Digest::of_bytes(b""),
        })
    }
}

/// Finds nothing, and remembers what it was asked.
#[derive(Default)]
pub struct NothingThere(pub Mutex<Vec<Query>>);

#[async_trait]
impl Reads for NothingThere {
    async fn read(&self, query: &Query) -> Arc<Observation> {
        self.0.lock().unwrap().push(query.clone());
        let observed_at: Timestamp = OBSERVED_AT.parse().unwrap();
        Arc::new(Observation {
            query: query.clone(),
            answer: Err(ObserveError {
                kind: ObserveErrorKind::NotFound,
                code: naosu_engine::Code::AzureNotFound,
                message: "nothing there".to_owned(),
            }),
            version: None,
            observed_at,
            digest: Digest::of_bytes(b""),
        })
    }
}
