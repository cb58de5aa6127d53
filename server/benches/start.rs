//! How long `naosu serve` takes until its health service says SERVING, with
//! compiled plugins in the cache, and what memory it holds when idle. Written
//! to `start.json` in the target's temporary folder, for `scripts/bench_report.py`.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Starts that count; one before them fills the cache.
const STARTS: usize = 9;
/// Longer than any start takes; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server is left alone before its memory is read.
const SETTLING: Duration = Duration::from_millis(500);
const SERVICE: &str = "naosu.v1.DiagnosisService";

struct Started {
    server: Child,
    serving: Duration,
}

async fn start(folder: &Path) -> Started {
    let socket = folder.join("naosu.sock");
    let begun = Instant::now();
    let server = Command::new(env!("CARGO_BIN_EXE_naosu"))
        .arg("serve")
        .args(["--set", &format!("listen.unix={}", socket.display())])
        .args([
            "--set",
            &format!("store.path={}", folder.join("naosu.db").display()),
        ])
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("HOME", folder)
        .kill_on_drop(true)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("naosu starts");
    let serving = tokio::time::timeout(PATIENCE, until_serving(&socket));
    serving.await.expect("naosu serves in time");
    Started {
        server,
        serving: begun.elapsed(),
    }
}

/// Asks again from the connection on: the socket is there before the server is.
async fn until_serving(socket: &Path) {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).expect("a URL");
    loop {
        if let Ok(channel) = endpoint.connect().await
            && is_serving(channel).await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn is_serving(channel: Channel) -> bool {
    let asked = HealthCheckRequest {
        service: SERVICE.to_owned(),
    };
    let answer = HealthClient::new(channel).check(asked).await;
    answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}

async fn end(mut server: Child) {
    let id = server.id().expect("it runs");
    kill(
        Pid::from_raw(i32::try_from(id).expect("an id")),
        Signal::SIGTERM,
    )
    .expect("it is told");
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await;
    ended.expect("it ends in time").expect("it ends");
}

/// A line of `/proc/<id>/status` in KiB.
fn memory_kib(id: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("Linux");
    let line = status.lines().find(|line| line.starts_with(what));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a number").parse().expect("a number")
}

#[tokio::main]
async fn main() {
    // `cargo bench` asks for the list of what is here when other benches are wanted.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cold = start(folder.path()).await;
    let first = cold.serving;
    end(cold.server).await;
    let (mut warm, mut resident, mut anonymous) = (Vec::new(), 0, 0);
    for _ in 0..STARTS {
        let started = start(folder.path()).await;
        warm.push(started.serving.as_secs_f64() * 1e3);
        tokio::time::sleep(SETTLING).await;
        let id = started.server.id().expect("it runs");
        resident = resident.max(memory_kib(id, "VmRSS:"));
        anonymous = anonymous.max(memory_kib(id, "RssAnon:"));
        end(started.server).await;
    }
    warm.sort_by(f64::total_cmp);
    let figures = json!({
        "cold_ms": first.as_secs_f64() * 1e3,
        "warm_best_ms": warm[0],
        "warm_median_ms": warm[STARTS / 2],
        "resident_kib": resident,
        "anonymous_kib": anonymous,
    });
    println!("start: {figures}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("start.json");
    fs::write(&file, figures.to_string()).expect("the figures are written");
}
