//! From a kubeconfig, a service account or ARM to a client.

use std::path::PathBuf;

use base64::Engine as _;
use http::Method;
use http_body_util::Limited;
use kube::{
    Client, Config,
    client::{ClientBuilder, DynBody},
    config::{KubeConfigOptions, Kubeconfig},
};
use naosu_engine::{error::Error, model::ClusterId};
use serde_json::Value;
use tower::util::MapResponseLayer;
use uuid::Uuid;

use super::{KubernetesError, belongs, given};
use crate::drivers::{
    azure::{ArmClient, ManagedClusters, ResourceId, client::ArmRequest},
    config::{KubeconfigSource, KubernetesConfig, ms},
    text::{MESSAGE_LIMIT, printable},
};

/// Largest answer of an API server that is read. A page of a list has 500 objects.
const ANSWER_LIMIT_BYTES: usize = 32 << 20;

impl KubeconfigSource {
    /// Whether ARM gives each cluster its own credentials, for a while.
    pub(super) fn is_arm(&self) -> bool {
        matches!(self, Self::Arm)
    }
}

/// A client of the cluster's API server, from where `config` says.
///
/// # Errors
/// `kubeconfig_invalid` naming the file and what is wrong with it,
/// `kubeconfig_of_another_cluster`, or Azure's or Kubernetes' error.
pub async fn connect(
    config: &KubernetesConfig,
    azure: &ArmClient,
    clusters: &ManagedClusters,
    cluster: &ClusterId,
) -> Result<Client, Error> {
    crate::drivers::azure::install_tls_provider();
    let mut kube = match &config.source {
        KubeconfigSource::File { path, context } => {
            from_file(path.clone(), context.clone()).await?
        }
        KubeconfigSource::InCluster => {
            Config::incluster().map_err(|error| KubernetesError::InCluster {
                reason: error.to_string(),
            })?
        }
        KubeconfigSource::Arm => from_arm(azure, cluster).await?,
    };
    kube.connect_timeout = Some(ms(config.request_timeout_ms));
    // kube would repeat writes as well; what may be repeated is decided here.
    kube.default_retry = false;
    let server = kube.cluster_url.host().unwrap_or_default().to_owned();
    let builder = ClientBuilder::try_from(kube).map_err(|error| KubernetesError::Kubeconfig {
        place: place_of(&config.source),
        reason: printable(&error.to_string(), MESSAGE_LIMIT),
    })?;
    let bounded = MapResponseLayer::new(bounded::<Box<DynBody>>);
    let client = builder.with_layer(&bounded).build();
    if !config.source.is_arm() {
        let managed = clusters.get(cluster).await?;
        let waited = ms(config.request_timeout_ms);
        let belongs = belongs::require(&client, &server, cluster, &managed);
        tokio::time::timeout(waited, belongs)
            .await
            .unwrap_or_else(|_| Err(KubernetesError::silent("Node list", waited).into()))?;
    }
    Ok(client)
}

/// No answer is read beyond the limit, whoever asks for it.
fn bounded<B>(response: http::Response<B>) -> http::Response<Limited<B>> {
    response.map(|body| Limited::new(body, ANSWER_LIMIT_BYTES))
}

fn place_of(source: &KubeconfigSource) -> String {
    match source {
        KubeconfigSource::Arm => "from ARM".to_owned(),
        KubeconfigSource::InCluster => "of the service account".to_owned(),
        KubeconfigSource::File { path, .. } => path
            .clone()
            .or_else(default_path)
            .map_or_else(|| "(no file)".to_owned(), |path| path.display().to_string()),
    }
}

async fn from_file(path: Option<PathBuf>, context: Option<String>) -> Result<Config, Error> {
    let source = KubeconfigSource::File {
        path: path.clone(),
        context: None,
    };
    let place = place_of(&source);
    let wrong = |reason: String| KubernetesError::Kubeconfig {
        place: place.clone(),
        reason: printable(&reason, MESSAGE_LIMIT),
    };
    let read = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = read.map_err(|error| wrong(error.to_string()))?;
    checked(&kubeconfig, context.as_deref()).map_err(wrong)?;
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    Ok(Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| wrong(error.to_string()))?)
}

/// Where `kubectl` looks.
fn default_path() -> Option<PathBuf> {
    match std::env::var_os("KUBECONFIG") {
        Some(paths) => std::env::split_paths(&paths).next(),
        None => std::env::home_dir().map(|home| home.join(".kube/config")),
    }
}

/// A YAML file of any other kind parses as an empty kubeconfig: say what is
/// missing instead of failing later for a reason further away.
fn checked(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<(), String> {
    let Some(name) = context.or(kubeconfig.current_context.as_deref()) else {
        return Err("it names no current-context".to_owned());
    };
    if kubeconfig.contexts.iter().any(|known| known.name == name) {
        Ok(())
    } else {
        Err(format!("it has no context {name:?}"))
    }
}

async fn from_arm(azure: &ArmClient, cluster: &ClusterId) -> Result<Config, Error> {
    let id = ResourceId::parse(cluster.as_str())?;
    let mut url = azure.url(&id)?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push("listClusterUserCredential");
    }
    let request = ArmRequest {
        method: Method::POST,
        url,
        body: None,
        if_match: None,
        correlation: Uuid::new_v4(),
        repeatable: true,
    };
    let answer = azure.send(&request).await?.success()?;
    let wrong = |reason: String| KubernetesError::Kubeconfig {
        place: format!("from ARM for {}", cluster.name()),
        reason: printable(&reason, MESSAGE_LIMIT),
    };
    let encoded = answer
        .object()?
        .pointer("/kubeconfigs/0/value")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| wrong("the answer has none".to_owned()))?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text".to_owned()))?;
    let kubeconfig = Kubeconfig::from_yaml(&text).map_err(|error| wrong(error.to_string()))?;
    checked(&kubeconfig, None).map_err(wrong)?;
    given::check(&kubeconfig).map_err(wrong)?;
    Ok(
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| wrong(error.to_string()))?,
    )
}

#[cfg(test)]
mod tests {
    use naosu_engine::error::Code;

    use super::*;

    async fn refused(text: &str) -> Error {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let error = from_file(Some(file.path().to_owned()), None)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::KubeconfigInvalid, "{text}");
        assert!(error.message.contains(&file.path().display().to_string()));
        error
    }

    #[tokio::test]
    async fn a_kubeconfig_that_does_not_parse_names_file_and_reason() {
        refused("{ not yaml").await;
        refused("clusters: 5").await;
        assert!(
            refused("hello: world")
                .await
                .message
                .contains("current-context")
        );
        assert!(
            refused("current-context: a\ncontexts: []")
                .await
                .message
                .contains("\"a\"")
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_names_the_path() {
        let error = from_file(Some("/nonexistent/kubeconfig".into()), None)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::KubeconfigInvalid);
        assert!(error.message.contains("/nonexistent/kubeconfig"));
    }
}
