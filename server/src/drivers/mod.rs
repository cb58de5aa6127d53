//! The host's adapters to Azure, Kubernetes and nodes: the only code that reads
//! from or writes to a cluster.

pub mod azure;
pub mod config;
pub mod kubernetes;
pub mod node;
pub mod text;

use std::sync::Arc;

use async_trait::async_trait;
use naosu_engine::{
    driver::{Effector, IdempotencyKey, Observer, PerformError, Performed, Reading},
    error::{Code, Error},
    model::{ClusterId, DryRun, Effect, Observation, ObserveError, Query},
};

pub use config::DriverConfig;

use azure::{ArmClient, ManagedClusters, MetricQuery, ResourceId, error::observe_error};
use kubernetes::KubernetesDriver;
use node::NodeDriver;

/// All drivers behind the engine's two traits.
pub struct Drivers {
    azure: Arc<ArmClient>,
    kubernetes: Arc<KubernetesDriver>,
    node: NodeDriver,
}

impl Drivers {
    /// Drivers as `config` says. Nothing is asked yet: credentials and kubeconfig
    /// are read at their first use, so that their faults are told to whoever asks.
    ///
    /// # Errors
    /// `invalid_configuration` naming the setting.
    pub fn connect(config: DriverConfig) -> Result<Self, Error> {
        let azure = Arc::new(ArmClient::new(&config.azure)?);
        let clusters = Arc::new(ManagedClusters::new(azure.clone()));
        let kubernetes = Arc::new(KubernetesDriver::new(
            config.kubernetes,
            azure.clone(),
            clusters.clone(),
        ));
        Ok(Self {
            node: NodeDriver::new(config.node, azure.clone(), clusters, kubernetes.clone()),
            kubernetes,
            azure,
        })
    }

    async fn read(&self, cluster: &ClusterId, query: &Query) -> Result<Reading, Error> {
        match query {
            Query::AzureGet { resource } => {
                let id = ResourceId::parse(resource)?;
                self.azure
                    .read(&id)
                    .await
                    .map_err(|error| cluster_not_found(cluster, resource, error.into()))
            }
            Query::AzureList { path } => Ok(self.azure.list(&ResourceId::parse(path)?).await?),
            Query::AzureMetric {
                resource,
                metric,
                aggregation,
                filter,
                window_minutes,
            } => {
                let resource = ResourceId::parse(resource)?;
                let query = MetricQuery {
                    resource: &resource,
                    metric,
                    aggregation,
                    filter,
                    window_minutes: *window_minutes,
                };
                Ok(self.azure.metric(&query).await?)
            }
            Query::KubernetesGet { object } => self.kubernetes.get(cluster, object).await,
            Query::KubernetesList {
                api_version,
                object_kind,
                namespace,
                label_selector,
            } => {
                self.kubernetes
                    .list(cluster, api_version, object_kind, namespace, label_selector)
                    .await
            }
            Query::Node { node, what } => Ok(self.node.observe(cluster, node, *what).await?),
            Query::TcpProbe {
                from_node,
                to_host,
                port,
            } => {
                let result = self.node.probe(cluster, from_node, to_host, *port).await?;
                json(&result)
            }
            Query::TcpProbes {
                from_node,
                to_hosts,
                port,
            } => {
                let hosts: Vec<&str> = to_hosts.iter().map(String::as_str).collect();
                let results = self.node.probe_many(cluster, from_node, &hosts, *port);
                json(&results.await?)
            }
            Query::TunnelProbe { node } => json(&self.kubernetes.probe(cluster, node).await?),
            Query::LogProbe { node } => json(&self.kubernetes.probe_log(cluster, node).await?),
        }
    }
}

/// The managed cluster itself missing has a code of its own.
fn cluster_not_found(cluster: &ClusterId, resource: &str, error: Error) -> Error {
    if error.code == Code::AzureNotFound && resource.eq_ignore_ascii_case(cluster.as_str()) {
        Error::new(
            Code::ClusterNotFound,
            error.message,
            "`az aks list --query [].id` lists the clusters that the identity can see",
        )
    } else {
        error
    }
}

fn json(value: &impl serde::Serialize) -> Result<Reading, Error> {
    let body = serde_json::to_string(value)
        .map_err(|error| Error::new(Code::Internal, error.to_string(), "please report this"))?;
    Ok(Reading {
        body,
        version: None,
    })
}

#[async_trait]
impl Observer for Drivers {
    async fn observe(&self, cluster: &ClusterId, query: &Query) -> Result<Reading, ObserveError> {
        self.read(cluster, query).await.map_err(observe_error)
    }
}

#[async_trait]
impl Effector for Drivers {
    async fn perform(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Result<Performed, PerformError> {
        if let Some(done) = self.azure.perform(effect, before, key).await {
            return done;
        }
        if let Some(done) = self.kubernetes.perform(cluster, effect, before, key).await {
            return done;
        }
        if let Some(done) = self.node.perform(cluster, effect, before).await {
            return done;
        }
        Err(PerformError::NotApplied(Error::new(
            Code::Unsupported,
            format!("no driver performs {:?}", effect.kind()),
            "a person has to do this step",
        )))
    }

    async fn dry_run(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
    ) -> Result<Option<DryRun>, Error> {
        if let Some(shown) = self.azure.show(effect, before) {
            return shown;
        }
        if let Some(shown) = self.kubernetes.dry_run(cluster, effect, before).await {
            return shown;
        }
        if let Some(shown) = self.node.dry_run(cluster, effect, before).await {
            return shown;
        }
        Ok(None)
    }
}
