//! A live diagnosis of the lab's three nodes: how long it takes, and how much
//! of that is Naosu's own time, in two measures: when no read is under way, and
//! all processor time of the command, its start included, which none of its work
//! during a read escapes. Written to `lab_diagnosis.json` in the target's
//! temporary folder, for `scripts/bench_report.py`.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use naosu_engine::{
    facade::{DiagnoseProgress, DiagnoseRequest},
    model::{Judgement, Principal, Symptom},
};
use naosu_lab::{Lab, LabOptions, builtin_scenario};
use naosu_server::{
    config::{self, Given},
    embed::Embedded,
};
use naosu_tests::product::Naosu;
use serde_json::json;

const SCENARIO: &str = "nsg-deny-10250";
/// Diagnoses that are measured, of which the median counts.
const ROUNDS: usize = 5;

/// How long a diagnosis took, and how long of it some read was under way.
#[derive(Clone, Copy)]
struct Taken {
    total: Duration,
    waiting: Duration,
    reads: u32,
}

impl Taken {
    fn own(self) -> Duration {
        self.total.saturating_sub(self.waiting)
    }
}

async fn diagnose(embedded: &Embedded, lab: &Lab) -> Taken {
    let request = DiagnoseRequest {
        cluster: lab.cluster_id().parse().expect("an id"),
        symptom: Symptom::default(),
        plugins: Vec::new(),
    };
    let someone = Principal::person("someone");
    let begun = Instant::now();
    let items = embedded.naosu().diagnose(&someone, request).await;
    let mut items = items.expect("it begins");
    let (mut waiting, mut reads, mut under_way) = (Duration::ZERO, 0, 0_u32);
    let mut since = begun;
    while let Some(item) = items.next().await {
        match item.expect("progress") {
            DiagnoseProgress::Reading { .. } => {
                if under_way == 0 {
                    since = Instant::now();
                }
                under_way += 1;
                reads += 1;
            }
            DiagnoseProgress::Read { .. } => {
                under_way -= 1;
                if under_way == 0 {
                    waiting += since.elapsed();
                }
            }
            DiagnoseProgress::Judged { .. } => {}
            DiagnoseProgress::Finished { diagnosis } => {
                assert!(diagnosis.failures.is_empty(), "{:?}", diagnosis.failures);
                let is_confirmed = |judgement| judgement == Judgement::Confirmed;
                let mut findings = diagnosis.findings.iter();
                assert!(findings.any(|f| is_confirmed(f.judgement)));
                return Taken {
                    total: begun.elapsed(),
                    waiting,
                    reads,
                };
            }
        }
    }
    panic!("the stream ended without a diagnosis");
}

/// Processor time of `naosu diagnose` as a command, by the shell that waits for it.
async fn processor_time(naosu: &Naosu, lab: &Lab) -> Duration {
    let cluster = lab.cluster_id();
    let measured = naosu.command(&["diagnose", &cluster]);
    let measured = measured.as_std();
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-c", r#""$@" >/dev/null; times"#, "times"]);
    shell.arg(measured.get_program()).args(measured.get_args());
    for (name, value) in measured.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let told = shell.output().await.expect("bash runs").stdout;
    let told = String::from_utf8(told).expect("text");
    // The shell's own times, then its children's: "0m0.054s 0m0.136s".
    let children = told.lines().nth(1).expect("times of children");
    let seconds = children.split_whitespace().map(|time| {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').expect("a time");
        minutes.parse::<f64>().expect("minutes") * 60. + seconds.parse::<f64>().expect("seconds")
    });
    Duration::from_secs_f64(seconds.sum())
}

async fn measure() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scenario = builtin_scenario(SCENARIO).expect("it is there");
    let lab = Lab::start(scenario, LabOptions::default())
        .await
        .expect("the lab starts");
    let folder = lab.directory().join("bench");
    fs::create_dir_all(&folder).expect("a folder");
    let mut environment: Vec<(OsString, OsString)> = lab
        .environment()
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    for (name, file) in [("STORE__PATH", "naosu.db"), ("PLUGINS__CACHE", "cache")] {
        let path = folder.join(file).display().to_string();
        environment.push((format!("NAOSU_{name}").into(), path.into()));
    }
    let config = config::load(&Given {
        file: Some(lab.naosu_config_file().to_owned()),
        environment,
        flags: Vec::new(),
    })
    .expect("a configuration");
    let embedded = Embedded::start(&config).await.expect("it starts");
    // The first one signs in and connects.
    let first = diagnose(&embedded, &lab).await;
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        taken.push(diagnose(&embedded, &lab).await);
    }
    embedded.shutdown().await;
    let naosu = Naosu::at(&lab).expect("it is built");
    let mut processor = Vec::new();
    for _ in 0..ROUNDS {
        processor.push(processor_time(&naosu, &lab).await);
    }
    processor.sort();
    taken.sort_by_key(|taken| taken.own());
    let middle = taken[ROUNDS / 2];
    let longest = taken.iter().map(|taken| taken.total).max();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let figures = json!({
        "first_total_ms": ms(first.total),
        "first_own_ms": ms(first.own()),
        "total_ms": ms(longest.unwrap_or_default()),
        "own_ms": ms(middle.own()),
        "processor_ms": ms(processor[ROUNDS / 2]),
        "reads": middle.reads,
        "simulated_because": lab.simulated_because(),
    });
    println!("live diagnosis of the lab: {figures}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab_diagnosis.json");
    fs::write(&file, figures.to_string()).expect("the figures are written");
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    // Before any thread exists: the kernel asks for that.
    if let Err(reason) = naosu_lab::machine::become_root() {
        println!("note: {reason}");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}
