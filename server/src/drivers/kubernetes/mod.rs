//! The API server, through kube: any object read, a few kinds of write, and the
//! kubelets behind it asked for their health.

mod belongs;
pub mod connect;
pub mod effects;
pub mod error;
mod evict;
mod given;
mod log_probe;
pub mod probe;
mod read;
mod resource;

use std::{sync::Arc, time::Duration};

use kube::Client;
use naosu_engine::{error::Error, model::ClusterId};
use tokio::sync::Mutex;

pub use error::KubernetesError;

use super::{
    azure::{ArmClient, ManagedClusters},
    config::{KubernetesConfig, ms},
};

/// How long credentials given out by ARM are used before they are fetched again.
const CREDENTIAL_LIFE: Duration = Duration::from_secs(1_800);

/// Reads and writes Kubernetes objects of the clusters it is asked about.
pub struct KubernetesDriver {
    config: KubernetesConfig,
    azure: Arc<ArmClient>,
    managed: Arc<ManagedClusters>,
    clients: Mutex<Vec<Known>>,
}

/// A client, and the cluster that it was found to belong to.
struct Known {
    cluster: ClusterId,
    client: Client,
    since: std::time::Instant,
}

impl KubernetesDriver {
    /// A driver; no API server is asked and no file is read yet.
    pub fn new(
        config: KubernetesConfig,
        azure: Arc<ArmClient>,
        managed: Arc<ManagedClusters>,
    ) -> Self {
        Self {
            config,
            azure,
            managed,
            clients: Mutex::new(Vec::new()),
        }
    }

    /// A client of the cluster's API server, and of no other.
    ///
    /// # Errors
    /// `kubeconfig_invalid` naming the file, `kubeconfig_of_another_cluster`, or why
    /// the credentials could not be had.
    pub async fn client(&self, cluster: &ClusterId) -> Result<Client, Error> {
        let mut clients = self.clients.lock().await;
        if self.config.source.is_arm() {
            clients.retain(|known| known.since.elapsed() < CREDENTIAL_LIFE);
        }
        if let Some(known) = clients.iter().find(|known| known.cluster == *cluster) {
            return Ok(known.client.clone());
        }
        let client = connect::connect(&self.config, &self.azure, &self.managed, cluster).await?;
        clients.push(Known {
            cluster: cluster.clone(),
            client: client.clone(),
            since: std::time::Instant::now(),
        });
        Ok(client)
    }

    /// Forgets the client of a cluster whose credentials are no longer accepted.
    async fn forget(&self, cluster: &ClusterId) {
        let mut clients = self.clients.lock().await;
        clients.retain(|known| known.cluster != *cluster);
    }

    fn request_timeout(&self) -> Duration {
        ms(self.config.request_timeout_ms)
    }
}
