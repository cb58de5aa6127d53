//! The API server, through kube: any object read, a few kinds of write, and the
//! kubelets behind it asked for their health.

pub mod connect;
pub mod effects;
pub mod error;
mod evict;
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
    azure::ArmClient,
    config::{KubernetesConfig, ms},
};

/// How long credentials given out by ARM are used before they are fetched again.
const CREDENTIAL_LIFE: Duration = Duration::from_secs(1_800);

/// Reads and writes Kubernetes objects of the clusters it is asked about.
pub struct KubernetesDriver {
    config: KubernetesConfig,
    azure: Arc<ArmClient>,
    clients: Mutex<Vec<Known>>,
}

/// A client and the cluster it belongs to; `None` where one source serves all.
struct Known {
    cluster: Option<ClusterId>,
    client: Client,
    since: std::time::Instant,
}

impl KubernetesDriver {
    /// A driver; no API server is asked and no file is read yet.
    pub fn new(config: KubernetesConfig, azure: Arc<ArmClient>) -> Self {
        Self {
            config,
            azure,
            clients: Mutex::new(Vec::new()),
        }
    }

    /// A client of the cluster's API server.
    ///
    /// # Errors
    /// `kubeconfig_invalid` naming the file, or why the credentials could not be had.
    pub async fn client(&self, cluster: &ClusterId) -> Result<Client, Error> {
        let cluster = self.config.source.is_per_cluster().then_some(cluster);
        let mut clients = self.clients.lock().await;
        clients.retain(|known| known.cluster.is_none() || known.since.elapsed() < CREDENTIAL_LIFE);
        if let Some(known) = clients
            .iter()
            .find(|known| known.cluster.as_ref() == cluster)
        {
            return Ok(known.client.clone());
        }
        let client = connect::connect(&self.config, &self.azure, cluster).await?;
        clients.push(Known {
            cluster: cluster.cloned(),
            client: client.clone(),
            since: std::time::Instant::now(),
        });
        Ok(client)
    }

    /// Forgets the client of a cluster whose credentials are no longer accepted.
    async fn forget(&self, cluster: &ClusterId) {
        let mut clients = self.clients.lock().await;
        clients.retain(|known| known.cluster.as_ref().is_some_and(|known| known != cluster));
    }

    fn request_timeout(&self) -> Duration {
        ms(self.config.request_timeout_ms)
    }
}
