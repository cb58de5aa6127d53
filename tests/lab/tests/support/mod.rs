//! What the tests of the emulated APIs share: a data plane that only remembers,
//! a small HTTP client, and the reference data.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use naosu_lab::arm::{self, ArmOptions, ArmServer};
use naosu_lab::data_plane::{
    AgentStatus, ArmResources, DataPlane, DataPlaneError, KubeletPod, NodeName, ScriptOutput,
    TunnelError, TunnelStream,
};
use naosu_lab::estate::Estate;
use naosu_lab::scenario::Switches;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A data plane without packets: it remembers what it was told.
#[derive(Default)]
pub struct RememberingDataPlane {
    pub enforced: Mutex<Vec<ArmResources>>,
    pub refuse_enforcing: Mutex<bool>,
    pub output: Mutex<Option<ScriptOutput>>,
    pub scripts: Mutex<Vec<(NodeName, String)>>,
    pub pods: Mutex<BTreeMap<NodeName, Vec<KubeletPod>>>,
    pub running_agents: Mutex<BTreeSet<NodeName>>,
    /// Where dialling a node's kubelet really goes; nothing there times out.
    pub kubelets: Mutex<BTreeMap<IpAddr, std::net::SocketAddr>>,
    pub kubelet_tls: Mutex<Option<Arc<rustls::ClientConfig>>>,
}

#[async_trait]
impl DataPlane for RememberingDataPlane {
    async fn enforce(&self, resources: &ArmResources) -> Result<(), DataPlaneError> {
        if *self.refuse_enforcing.lock().unwrap() {
            return Err(DataPlaneError::ResourcesInvalid("refused".to_owned()));
        }
        self.enforced.lock().unwrap().push(resources.clone());
        Ok(())
    }

    async fn run_on_node(
        &self,
        node: &NodeName,
        script: &str,
    ) -> Result<ScriptOutput, DataPlaneError> {
        self.scripts
            .lock()
            .unwrap()
            .push((node.clone(), script.to_owned()));
        let output = self.output.lock().unwrap().clone();
        output.ok_or_else(|| DataPlaneError::NodeNotFound(node.clone()))
    }

    async fn dial_through_tunnel(
        &self,
        node_address: IpAddr,
        port: u16,
    ) -> Result<TunnelStream, TunnelError> {
        if self.running_agents.lock().unwrap().is_empty() {
            return Err(TunnelError::NoAgent);
        }
        let kubelet = self.kubelets.lock().unwrap().get(&node_address).copied();
        let timed_out =
            || TunnelError::Dial(format!("dial tcp {node_address}:{port}: i/o timeout"));
        let kubelet = kubelet.ok_or_else(timed_out)?;
        let stream = tokio::net::TcpStream::connect(kubelet)
            .await
            .map_err(|_| timed_out())?;
        Ok(Box::new(stream))
    }

    fn kubelet_tls(&self) -> Arc<rustls::ClientConfig> {
        self.kubelet_tls
            .lock()
            .unwrap()
            .clone()
            .expect("a test that reads logs sets the kubelet's authority")
    }

    async fn set_pods(&self, node: &NodeName, pods: Vec<KubeletPod>) -> Result<(), DataPlaneError> {
        self.pods.lock().unwrap().insert(node.clone(), pods);
        Ok(())
    }

    async fn agents(&self) -> Vec<AgentStatus> {
        let running = self.running_agents.lock().unwrap();
        let status = |node: &NodeName| AgentStatus {
            node: node.clone(),
            running: true,
            connected: true,
        };
        running.iter().map(status).collect()
    }

    async fn start_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        self.running_agents.lock().unwrap().insert(node.clone());
        Ok(())
    }

    async fn stop_agent(&self, node: &NodeName) -> Result<(), DataPlaneError> {
        self.running_agents.lock().unwrap().remove(node);
        Ok(())
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Code of an error in ARM's envelope.
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// The ARM emulator with its data plane and a caller that has a token.
pub struct Arm {
    pub server: ArmServer,
    pub data_plane: Arc<RememberingDataPlane>,
    pub client: reqwest::Client,
    pub token: String,
}

pub fn http_client() -> reqwest::Client {
    // Several tests of one process do this; the first one wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// Switches with operations that take no time.
pub fn quick() -> Switches {
    Switches {
        operation_milliseconds: 0,
        run_command_milliseconds: 0,
        ..Switches::default()
    }
}

impl Arm {
    pub async fn serve(estate: &Estate, switches: &Switches) -> Self {
        Self::serve_with(estate, switches, ArmOptions::default()).await
    }

    pub async fn serve_with(estate: &Estate, switches: &Switches, options: ArmOptions) -> Self {
        let data_plane = Arc::new(RememberingDataPlane::default());
        let options = ArmOptions {
            retry_after_seconds: 0,
            ..options
        };
        let server = arm::serve(estate, switches, options, data_plane.clone())
            .await
            .unwrap();
        let token = server.token();
        Self {
            server,
            data_plane,
            client: http_client(),
            token,
        }
    }

    /// Sends a request with the token; `path` begins with a slash.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = match path.strip_prefix("http") {
            Some(_) => path.to_owned(),
            None => format!("{}{path}", self.server.endpoint()),
        };
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Follows an operation's status URL until it ends.
    pub async fn settled(&self, answer: &Answer) -> Answer {
        let url = answer.header("azure-asyncoperation").to_owned();
        assert!(!url.is_empty(), "no operation in {answer:?}");
        for _ in 0..500 {
            let status = self.get(&url).await;
            if status.json()["status"] != "InProgress" {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{url} never ended");
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// The reference data, or `None` after saying that the test is skipped.
pub fn reference(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("NAOSU_AZURE_REFERENCE")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/azure"));
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!(
        "skipped: no Azure reference data at {}; set NAOSU_AZURE_REFERENCE",
        path.display()
    );
    None
}
