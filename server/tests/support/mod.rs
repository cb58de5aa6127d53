//! A peer on a real loopback socket that answers what a test tells it to, and
//! remembers exactly what it was sent.
#![allow(dead_code)] // each test file uses its part

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use naosu_engine::{
    driver::IdempotencyKey,
    error::Code,
    model::{ClusterId, Digest, Observation, Query, journal::Way},
};
use naosu_server::drivers::{
    DriverConfig, Drivers,
    config::{CredentialConfig, KubeconfigSource},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }
}

/// What the peer does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    Answer(u16, Vec<(String, String)>, String),
    Close,
    Hang,
}

pub fn answer(status: u16, body: &str) -> Action {
    Action::Answer(status, vec![], body.to_owned())
}

pub fn answer_with(status: u16, headers: &[(&str, &str)], body: &str) -> Action {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Action::Answer(status, headers, body.to_owned())
}

type Handler = Box<dyn FnMut(&Received) -> Action + Send>;

pub struct Peer {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Answers in this order, then closes each connection.
    pub async fn script(actions: Vec<Action>) -> Self {
        let mut actions = actions.into_iter();
        Self::with(move |_| actions.next().unwrap_or(Action::Close)).await
    }

    /// Answers what it is told to, but for the cluster itself, which is there
    /// whenever a driver asks to whom a node or an API server belongs.
    pub async fn with(mut handler: impl FnMut(&Received) -> Action + Send + 'static) -> Self {
        Self::with_all(move |request| {
            if is_of_the_cluster(request) {
                return answer(200, &cluster_body());
            }
            handler(request)
        })
        .await
    }

    pub async fn with_all(handler: impl FnMut(&Received) -> Action + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = received.clone();
        let handler: Arc<Mutex<Handler>> = Arc::new(Mutex::new(Box::new(handler)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, handler.clone(), log.clone()));
            }
        });
        Self {
            url,
            received,
            task,
        }
    }

    /// What it was sent, questions about the cluster itself aside.
    pub fn received(&self) -> Vec<Received> {
        let mut all = self.received.lock().unwrap().clone();
        all.retain(|request| !is_of_the_cluster(request));
        all
    }

    pub fn count(&self, method: &str) -> usize {
        let received = self.received();
        received.iter().filter(|r| r.method == method).count()
    }
}

fn is_of_the_cluster(request: &Received) -> bool {
    let path = request.path.split('?').next().unwrap_or_default();
    request.method == "GET" && path == cluster().as_str()
}

/// The managed cluster, whose API server is the peer and whose nodes are in [`GROUP`].
fn cluster_body() -> String {
    let group = GROUP.rsplit('/').next().unwrap();
    format!(
        r#"{{"id":"{}","properties":{{"nodeResourceGroup":"{group}","fqdn":"127.0.0.1"}}}}"#,
        cluster()
    )
}

async fn serve(
    mut stream: TcpStream,
    handler: Arc<Mutex<Handler>>,
    log: Arc<Mutex<Vec<Received>>>,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    log.lock().unwrap().push(request.clone());
    let action = tokio::task::block_in_place(|| (handler.lock().unwrap())(&request));
    match action {
        Action::Close => {}
        Action::Hang => std::future::pending().await,
        Action::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers
                .iter()
                .find(|(name, _)| name == "content-length")
                .map_or(0, |(_, value)| value.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(Received {
                    method: first.next()?.to_owned(),
                    path: first.next()?.to_owned(),
                    headers,
                    body: String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap(),
                });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Where tests keep tokens and kubeconfigs.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// Drivers that talk to the peer alone, impatiently.
pub fn config(peer: &Peer, files: &Files) -> DriverConfig {
    let mut config = DriverConfig::default();
    config.azure.endpoint = peer.url.parse().unwrap();
    config.azure.credential = CredentialConfig::TokenFile {
        path: files.write("token", "first-token"),
    };
    config.azure.request_timeout_ms = 400;
    config.azure.poll_interval_ms = 20;
    config.azure.operation_timeout_ms = 1_500;
    config.azure.retry.attempts = 3;
    config.azure.retry.base_delay_ms = 1;
    config.azure.retry.delay_limit_ms = 2_000;
    config.kubernetes.request_timeout_ms = 2_000;
    config.kubernetes.retry.base_delay_ms = 1;
    config.kubernetes.source = KubeconfigSource::File {
        path: Some(files.write("kubeconfig", &kubeconfig(&peer.url))),
        context: None,
    };
    config
}

pub fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
         clusters: [{{name: t, cluster: {{server: \"{server}\"}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n\
         users: [{{name: t, user: {{token: t}}}}]\n"
    )
}

pub fn drivers(peer: &Peer, files: &Files) -> Drivers {
    Drivers::connect(config(peer, files)).unwrap()
}

pub const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg";

pub fn cluster() -> ClusterId {
    format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters/aks")
        .parse()
        .unwrap()
}

pub fn nsg_id() -> String {
    format!("{GROUP}/providers/Microsoft.Network/networkSecurityGroups/nsg")
}

pub fn key() -> IdempotencyKey {
    IdempotencyKey {
        plan: Digest::of_bytes(b"plan"),
        step: 0,
        way: Way::Forward,
        attempt: 1,
    }
}

pub fn observation(query: Query, body: &str, version: Option<&str>) -> Observation {
    Observation {
        query,
        answer: Ok(body.into()),
        version: version.map(str::to_owned),
        observed_at: jiff::Timestamp::UNIX_EPOCH,
        digest: Digest::of_bytes(body.as_bytes()),
    }
}

/// For tables of expectations.
pub type Row = (&'static str, Action, Code, usize);
