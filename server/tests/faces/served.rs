//! A product served on a Unix-domain socket of its own, and the binary run
//! against it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use naosu_engine::Naosu;
use naosu_server::{
    auth::{Authenticator, Role, TokenHolder, Tokens},
    grpc::{
        client::{Client, ServerAddress},
        limits::Limits,
        serve::{Listen, bind},
    },
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Names, tokens and roles.
pub const TOKENS: [(&str, &str, Role); 3] = [
    ("alice", "alice-secret", Role::Approver),
    ("bob", "bob-secret", Role::Requester),
    ("bot", "bot-secret", Role::Assistant),
];

/// No call in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with this value.
pub struct Served {
    folder: TempDir,
    pub tcp: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), naosu_engine::Error>>,
}

impl Served {
    pub async fn start(naosu: impl Naosu + 'static) -> Self {
        Self::start_within(naosu, Limits::default()).await
    }

    pub async fn start_within(naosu: impl Naosu + 'static, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tokens = Tokens::default();
        for (name, token, role) in TOKENS {
            let holder = TokenHolder {
                name: name.to_owned(),
                role,
                os_user: None,
            };
            tokens.insert(holder, &sha256_by_coreutils(token)).unwrap();
        }
        let authenticator = Authenticator {
            tokens,
            os_users: [].into(),
            other_os_users: Some(Role::Approver),
            loopback: None,
        };
        let listen = Listen {
            unix: Some(folder.path().join("naosu.sock")),
            unix_mode: 0o600,
            tcp: Some("127.0.0.1:0".parse().unwrap()),
            tls: None,
            limits,
        };
        let bound = bind(&listen).await.unwrap();
        let tcp = bound.tcp_address().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(bound.serve(Arc::new(naosu), authenticator, stop.clone()));
        Self {
            folder,
            tcp,
            stop,
            task,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("naosu.sock")
    }

    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn client(&self) -> Client {
        client(&self.unix_url(), None)
    }

    pub fn tcp_client(&self, token: Option<&str>) -> Client {
        client(&format!("http://{}", self.tcp), token)
    }

    /// Runs the built binary against this server.
    pub async fn naosu(&self, arguments: &[&str]) -> Output {
        let url = self.unix_url();
        let all: Vec<String> = ["--server", &url]
            .iter()
            .chain(arguments)
            .map(ToString::to_string)
            .collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
            run_naosu(Path::new("/"), &arguments)
        })
        .await
        .unwrap()
    }

    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the server ends")
            .unwrap()
            .unwrap();
    }
}

pub fn client(url: &str, token: Option<&str>) -> Client {
    Client::new(&address(url, token)).unwrap()
}

pub fn address(url: &str, token: Option<&str>) -> ServerAddress {
    ServerAddress {
        url: url.to_owned(),
        token: token.map(str::to_owned),
        ca_file: None,
    }
}

/// Runs the built binary with nothing of this process's environment.
pub fn run_naosu(home: &Path, arguments: &[&str]) -> Output {
    naosu_command(home, arguments).output().unwrap()
}

/// The built binary with nothing of this process's environment.
pub fn naosu_command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_naosu"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("NAOSU_CONFIG", "/dev/null");
    command
}

/// The digest as the documentation says to make it.
fn sha256_by_coreutils(token: &str) -> String {
    let script = format!("printf %s '{token}' | sha256sum");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}
