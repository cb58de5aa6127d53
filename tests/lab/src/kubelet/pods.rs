//! The pods a kubelet runs.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use crate::data_plane::KubeletPod;

/// The pods of one node, shared by whoever sets them and the kubelet that serves them.
#[derive(Debug, Clone, Default)]
pub struct PodsOfNode {
    pods: Arc<RwLock<Vec<RunningPod>>>,
}

/// A pod and when the kubelet first saw it.
#[derive(Debug, Clone)]
pub(super) struct RunningPod {
    pub(super) pod: KubeletPod,
    pub(super) since: Timestamp,
}

impl PodsOfNode {
    /// Replaces the pods; those that were there already go on.
    pub fn set(&self, pods: Vec<KubeletPod>) {
        let mut running = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        *running = pods
            .into_iter()
            .map(|pod| {
                let since = running
                    .iter()
                    .find(|old| old.pod.name == pod.name && old.pod.namespace == pod.namespace)
                    .map_or(now, |old| old.since);
                RunningPod { pod, since }
            })
            .collect();
    }

    pub(super) fn all(&self) -> Vec<RunningPod> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.clone()
    }

    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<RunningPod> {
        self.all()
            .into_iter()
            .find(|running| running.pod.namespace == namespace && running.pod.name == name)
    }
}
