//! The real process told to end, or killed, while an effect is in flight: the
//! next start ends the run, and nothing is half known.

use std::{process::Stdio, time::Duration};

use axum::http::Method;
use naosu_engine::{
    driver::{Effector as _, IdempotencyKey, Observer as _},
    model::{
        ClusterId, Digest, Effect, Event, Observation, Query,
        effect::{Access, Direction, NsgRule},
        journal::Way,
    },
    store::{RunRecord, SqliteStore, Store as _},
};
use naosu_lab::{
    Lab, LabOptions, builtin_scenario,
    lifecycle::DataPlaneChoice,
    wire::{Fault, FaultAction, Gate, RecordedRequest},
};
use naosu_server::drivers::{DriverConfig, Drivers};
use naosu_tests::{
    mending::text,
    product::{Mcp, Naosu, Server},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr},
};

/// Longer than anything here takes; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A lab whose only fix is one security rule, and the product at it.
struct Bench {
    lab: Lab,
    naosu: Naosu,
}

impl Bench {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = LabOptions {
            // Nothing here depends on packets.
            data_plane: DataPlaneChoice::Simulated,
            ..LabOptions::default()
        };
        let scenario = builtin_scenario("nsg-deny-10250").unwrap();
        let lab = Lab::start(scenario, options).await.unwrap();
        let naosu = Naosu::at(&lab).unwrap();
        Self { lab, naosu }
    }

    /// An approved plan, made with these further words on each command line.
    async fn approved(&self, face: &[&str]) -> String {
        let cluster = self.lab.cluster_id();
        let call = async |words: &[&str]| self.naosu.json(&[words, face].concat()).await.unwrap();
        let diagnosis = call(&["diagnose", &cluster, "--plugin", "nsg-allow-port"]).await;
        let plan = call(&["plan", "create", &text(&diagnosis["id"])]).await;
        let (id, digest) = (text(&plan["id"]), text(&plan["digest"]));
        let approved = call(&["plan", "approve", &id, "--digest", &digest]).await;
        assert_eq!(approved["state"], "APPROVED");
        self.lab.arm().requests().clear();
        id
    }

    /// The next write of a security group meets this.
    fn at_the_next_write(&self, action: FaultAction) {
        let path = "*/networkSecurityGroups/*";
        self.lab
            .arm()
            .faults()
            .inject(Fault::once(Method::PUT, path, action));
    }

    /// Waits until a write of a security group arrived, and was handled if asked.
    async fn write_came(&self, handled: bool) {
        let came = |request: &RecordedRequest| {
            is_group_write(request) && (!handled || request.status.is_some())
        };
        let requests = self.lab.arm().requests();
        assert!(requests.wait_for(LIMIT, came).await, "nothing was written");
    }

    /// How many writes of security groups Azure took.
    fn writes_taken(&self) -> usize {
        let requests = self.lab.arm().requests().all();
        let taken =
            |r: &&RecordedRequest| is_group_write(r) && r.status.is_some_and(|status| status < 300);
        requests.iter().filter(taken).count()
    }

    /// Names of the custom rules of the group that denies.
    fn rule_names(&self) -> Vec<String> {
        let snapshot = self.lab.arm().snapshot();
        let mut groups = snapshot.of_type("Microsoft.Network/networkSecurityGroups");
        let group = groups.find(|g| g.to_string().contains("\"Deny\"")).unwrap();
        let rules = group["properties"]["securityRules"].as_array().unwrap();
        rules.iter().map(|rule| text(&rule["name"])).collect()
    }

    fn spawn(&self, arguments: &[&str]) -> Process {
        let mut command = self.naosu.command(arguments);
        command
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Process { child, stderr }
    }

    /// The only run in a store, as it is on the disk: nothing goes on with it.
    async fn on_disk(&self, store: &str) -> RunRecord {
        let store = SqliteStore::open(&self.naosu.state().join(store)).unwrap();
        let mut runs = store.runs(None, 10).await.unwrap();
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }

    /// Starts the product again and waits for the run's end.
    async fn end_of(&self, run: &str, face: &[&str]) -> Value {
        let words = [&["run", "watch", run, "--output", "json"], face].concat();
        self.naosu.run(&words).await.unwrap().json().unwrap()
    }
}

fn is_group_write(request: &RecordedRequest) -> bool {
    let path = request.path.to_ascii_lowercase();
    request.method == Method::PUT && path.contains("/networksecuritygroups/")
}

/// A command that runs.
struct Process {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Process {
    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill(Pid::from_raw(id.cast_signed()), signal).unwrap();
    }

    async fn says(&mut self, beginning: &str) {
        let heard = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                if line.starts_with(beginning) {
                    return;
                }
            }
            panic!("it ended without saying {beginning:?}");
        };
        tokio::time::timeout(LIMIT, heard).await.expect("it speaks");
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code; none when it died of a signal.
    async fn exit_code(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended.expect("it ends").unwrap().code()
    }
}

/// What happened in a run, one word an entry; asking the tunnel changes nothing.
fn words(run: &RunRecord) -> Vec<&'static str> {
    let word = |event: &Event| {
        Some(match event {
            Event::Probed { .. } => return None,
            Event::Started { .. } => "started",
            Event::Intent { .. } => "intent",
            Event::Applied { .. } => "applied",
            Event::Refused { .. } => "refused",
            Event::VerifyStarted => "verifying",
            Event::Verified { .. } => "verified",
            Event::RollbackStarted { .. } => "rolling back",
            Event::Succeeded => "succeeded",
            Event::RolledBack => "rolled back",
            Event::Cancelled { .. } => "cancelled",
            Event::Stuck { .. } => "stuck",
        })
    };
    run.entries
        .iter()
        .filter_map(|entry| word(&entry.event))
        .collect()
}

/// The effect is journaled, and nothing was concluded after it. That all steps
/// are in place may be noted already: the process says that it ends a moment
/// before it stops its runs.
fn require_stopped_after_the_effect(run: &RunRecord) {
    let words = words(run);
    let (effect, rest) = words.split_at(3);
    assert_eq!(effect, ["started", "intent", "applied"]);
    assert!(rest.is_empty() || rest == ["verifying"], "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_told_to_end_finishes_the_effect_and_the_next_start_goes_on() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let bench = Bench::start().await;
        let plan = bench.approved(&[]).await;
        let gate = Gate::default();
        bench.at_the_next_write(FaultAction::Hold(gate.clone()));
        let mut apply = bench.spawn(&["apply", &plan]);
        bench.write_came(false).await;
        apply.signal(signal);
        apply.says("interrupted: an effect in flight").await;
        assert!(apply.runs(), "{signal}: the effect was dropped midway");
        gate.open();
        assert_eq!(apply.exit_code().await, Some(130), "{signal}");
        let run = bench.on_disk("naosu.db").await;
        require_stopped_after_the_effect(&run);
        let end = bench.end_of(&run.id.0, &[]).await;
        assert_eq!(end["state"], "SUCCEEDED", "{signal}: {end:#}");
        assert_eq!(bench.writes_taken(), 1, "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_command_that_resumed_a_run_finishes_its_effect_when_told_to_end() {
    let bench = Bench::start().await;
    let plan = bench.approved(&[]).await;
    bench.at_the_next_write(FaultAction::Hold(Gate::default()));
    let mut apply = bench.spawn(&["apply", &plan]);
    bench.write_came(false).await;
    apply.signal(Signal::SIGKILL);
    assert_eq!(apply.exit_code().await, None);
    // It only wants to look at the cluster, but goes on with the run as well.
    bench.lab.arm().requests().clear();
    let gate = Gate::default();
    bench.at_the_next_write(FaultAction::Hold(gate.clone()));
    let cluster = bench.lab.cluster_id();
    let path = format!("{cluster}*");
    bench
        .lab
        .arm()
        .faults()
        .inject(Fault::once(Method::GET, path, FaultAction::Hang));
    let mut diagnose = bench.spawn(&["diagnose", &cluster]);
    bench.write_came(false).await;
    diagnose.signal(Signal::SIGINT);
    diagnose.says("interrupted: a diagnosis only reads").await;
    assert!(diagnose.runs(), "the effect was dropped midway");
    gate.open();
    assert_eq!(diagnose.exit_code().await, Some(130));
    let run = bench.on_disk("naosu.db").await;
    assert_eq!(words(&run).last(), Some(&"applied"), "{run:#?}");
    assert_eq!(bench.writes_taken(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_told_to_end_while_it_compiles_plugins_does_not_go_on_with_it() {
    let mut bench = Bench::start().await;
    let plugins = bench.naosu.json(&["plugin", "list"]).await.unwrap();
    let cache = bench.naosu.state().join("cold-cache");
    let compiled = || std::fs::read_dir(&cache).map_or(0, Iterator::count);
    let path = cache.display().to_string();
    bench.naosu = bench.naosu.with_environment("NAOSU_PLUGINS__CACHE", &path);
    let mut list = bench.spawn(&["plugin", "list"]);
    let begun = async {
        while compiled() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, begun)
        .await
        .expect("it compiles");
    list.signal(Signal::SIGINT);
    assert_eq!(list.exit_code().await, Some(130));
    assert!(compiled() < plugins.as_array().unwrap().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_told_to_end_finishes_what_it_takes_back_and_goes_on_later() {
    let bench = Bench::start().await;
    let before = bench.rule_names();
    let plan = bench.approved(&[]).await;
    let applied = bench.naosu.json(&["apply", &plan]).await.unwrap();
    let id = text(&applied["id"]);
    bench.lab.arm().requests().clear();
    let gate = Gate::default();
    bench.at_the_next_write(FaultAction::HoldAnswer(gate.clone()));
    let mut rollback = bench.spawn(&["run", "rollback", &id]);
    bench.write_came(true).await;
    rollback.signal(Signal::SIGTERM);
    rollback.says("interrupted: an effect in flight").await;
    assert!(rollback.runs(), "the effect was dropped midway");
    gate.open();
    assert_eq!(rollback.exit_code().await, Some(130));
    let run = bench.on_disk("naosu.db").await;
    assert!(words(&run).ends_with(&["rolling back", "intent", "applied"]));
    assert_eq!(bench.end_of(&id, &[]).await["state"], "ROLLED_BACK");
    assert_eq!(bench.writes_taken(), 1);
    assert_eq!(bench.rule_names(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_told_to_end_finishes_the_effect_and_the_next_server_goes_on() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let bench = Bench::start().await;
        let mut server = Server::start(&bench.naosu).await.unwrap();
        let address = server.address.clone();
        let face = ["--server", address.as_str()];
        let plan = bench.approved(&face).await;
        let gate = Gate::default();
        bench.at_the_next_write(FaultAction::Hold(gate.clone()));
        let mut follower = bench.spawn(&[&["apply", &plan], &face[..]].concat());
        bench.write_came(false).await;
        server.signal(signal).unwrap();
        server.says("asked to end").await.unwrap();
        // Who watched is told that the run goes on later.
        follower.says("error[shutting_down]").await;
        assert_eq!(follower.exit_code().await, Some(130), "{signal}");
        assert!(server.runs().unwrap(), "{signal}: dropped midway");
        gate.open();
        assert_eq!(server.end().await.unwrap(), Some(0), "{signal}");
        let run = bench.on_disk("served.db").await;
        require_stopped_after_the_effect(&run);
        let _again = Server::start(&bench.naosu).await.unwrap();
        let end = bench.end_of(&run.id.0, &face).await;
        assert_eq!(end["state"], "SUCCEEDED", "{signal}: {end:#}");
        assert_eq!(bench.writes_taken(), 1, "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_told_to_end_finishes_the_effect_though_its_client_stays() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let bench = Bench::start().await;
        let mut mcp = Mcp::start(&bench.naosu).await.unwrap();
        let store = bench.naosu.state().join("mcp.db");
        let setting = format!("store.path={}", store.display());
        let plan = bench.approved(&["--set", &setting]).await;
        let gate = Gate::default();
        bench.at_the_next_write(FaultAction::Hold(gate.clone()));
        let begun = mcp.call("apply_plan", json!({ "plan": plan })).await;
        let id = text(&begun.unwrap()["run"]["id"]);
        bench.write_came(false).await;
        mcp.signal(signal).unwrap();
        mcp.says("asked to end").await.unwrap();
        gate.open();
        // Its standard input is still open.
        assert_eq!(mcp.end().await.unwrap(), Some(0), "{signal}");
        let run = bench.on_disk("mcp.db").await;
        require_stopped_after_the_effect(&run);
        let end = bench.end_of(&id, &["--set", &setting]).await;
        assert_eq!(end["state"], "SUCCEEDED", "{signal}: {end:#}");
        assert_eq!(bench.writes_taken(), 1, "{signal}");
    }
}

/// Kills `apply` at its write, either before Azure handles it or after it did,
/// before the answer.
async fn killed_at_the_write(bench: &Bench, handled: bool) -> RunRecord {
    let plan = bench.approved(&[]).await;
    // Never opened: the caller is gone before.
    let gate = Gate::default();
    bench.at_the_next_write(if handled {
        FaultAction::HoldAnswer(gate)
    } else {
        FaultAction::Hold(gate)
    });
    let mut apply = bench.spawn(&["apply", &plan]);
    bench.write_came(handled).await;
    apply.signal(Signal::SIGKILL);
    assert_eq!(apply.exit_code().await, None);
    let run = bench.on_disk("naosu.db").await;
    assert_eq!(words(&run), ["started", "intent"]);
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_the_write_the_next_start_reads_back_and_writes_once() {
    for handled in [false, true] {
        let bench = Bench::start().await;
        let run = killed_at_the_write(&bench, handled).await;
        let end = bench.end_of(&run.id.0, &[]).await;
        assert_eq!(end["state"], "SUCCEEDED", "{end:#}");
        assert_eq!(bench.writes_taken(), 1, "handled {handled}");
        let run = bench.on_disk("naosu.db").await;
        let tries = words(&run).iter().filter(|w| **w == "intent").count();
        assert_eq!(tries, if handled { 1 } else { 2 }, "{run:#?}");
        let back = bench.naosu.json(&["run", "rollback", &run.id.0]).await;
        assert_eq!(back.unwrap()["state"], "ROLLED_BACK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_the_write_is_followed_by_one_that_goes_on_unasked() {
    let bench = Bench::start().await;
    let mut server = Server::start(&bench.naosu).await.unwrap();
    let address = server.address.clone();
    let face = ["--server", address.as_str()];
    let plan = bench.approved(&face).await;
    bench.at_the_next_write(FaultAction::HoldAnswer(Gate::default()));
    let detached = [&["apply", &plan, "--detach"], &face[..]].concat();
    let id = text(&bench.naosu.json(&detached).await.unwrap()["id"]);
    bench.write_came(true).await;
    server.signal(Signal::SIGKILL).unwrap();
    assert_eq!(server.end().await.unwrap(), None);
    // The socket that it left is no obstacle.
    let _again = Server::start(&bench.naosu).await.unwrap();
    assert_eq!(bench.end_of(&id, &face).await["state"], "SUCCEEDED");
    assert_eq!(bench.writes_taken(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_write_it_does_not_touch_what_someone_else_wrote_meanwhile() {
    let bench = Bench::start().await;
    let run = killed_at_the_write(&bench, false).await;
    someone_else_adds_a_rule(&bench.lab).await;
    bench.lab.arm().requests().clear();
    let names = bench.rule_names();
    let end = bench.end_of(&run.id.0, &[]).await;
    assert_eq!(end["state"], "CANCELLED", "{end:#}");
    assert_eq!(bench.writes_taken(), 0);
    assert_eq!(bench.rule_names(), names);
}

/// Kills `apply` while the tunnel holds every question; gives the run as it was
/// left, and lets the tunnel answer again.
async fn killed_at_a_probe(bench: &Bench, mut apply: Process) -> RunRecord {
    let kube = bench.lab.kube();
    let probed = |request: &RecordedRequest| request.path.contains("/proxy/");
    assert!(kube.requests().wait_for(LIMIT, probed).await);
    apply.signal(Signal::SIGKILL);
    assert_eq!(apply.exit_code().await, None);
    kube.faults().clear();
    bench.on_disk("naosu.db").await
}

fn hold_probes(bench: &Bench) {
    let kube = bench.lab.kube();
    kube.requests().clear();
    let hold = FaultAction::Hold(Gate::default());
    kube.faults().inject(Fault::times(100, "*/proxy/*", hold));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_asks_the_tunnel_first_the_next_start_asks_again() {
    let bench = Bench::start().await;
    let plan = bench.approved(&[]).await;
    hold_probes(&bench);
    let apply = bench.spawn(&["apply", &plan]);
    let run = killed_at_a_probe(&bench, apply).await;
    assert_eq!(words(&run), ["started"]);
    let end = bench.end_of(&run.id.0, &[]).await;
    assert_eq!(end["state"], "SUCCEEDED", "{end:#}");
    assert_eq!(bench.writes_taken(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_verifies_the_next_start_verifies() {
    let bench = Bench::start().await;
    let plan = bench.approved(&[]).await;
    let written = Gate::default();
    bench.at_the_next_write(FaultAction::Hold(written.clone()));
    let apply = bench.spawn(&["apply", &plan]);
    bench.write_came(false).await;
    // From here on the tunnel is asked in order to verify.
    hold_probes(&bench);
    written.open();
    let run = killed_at_a_probe(&bench, apply).await;
    assert_eq!(words(&run), ["started", "intent", "applied", "verifying"]);
    let end = bench.end_of(&run.id.0, &[]).await;
    assert_eq!(end["state"], "SUCCEEDED", "{end:#}");
    assert_eq!(bench.writes_taken(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_takes_back_the_next_start_takes_back() {
    for handled in [false, true] {
        let bench = Bench::start().await;
        let before = bench.rule_names();
        let plan = bench.approved(&[]).await;
        let applied = bench.naosu.json(&["apply", &plan]).await.unwrap();
        let id = text(&applied["id"]);
        bench.lab.arm().requests().clear();
        let gate = Gate::default();
        bench.at_the_next_write(if handled {
            FaultAction::HoldAnswer(gate)
        } else {
            FaultAction::Hold(gate)
        });
        let mut rollback = bench.spawn(&["run", "rollback", &id]);
        bench.write_came(handled).await;
        rollback.signal(Signal::SIGKILL);
        assert_eq!(rollback.exit_code().await, None);
        let end = bench.end_of(&id, &[]).await;
        assert_eq!(end["state"], "ROLLED_BACK", "handled {handled}: {end:#}");
        assert_eq!(bench.writes_taken(), 1, "handled {handled}");
        assert_eq!(bench.rule_names(), before);
    }
}

/// Another tool adds a rule to the group that denies.
async fn someone_else_adds_a_rule(lab: &Lab) {
    let text = std::fs::read_to_string(lab.naosu_config_file()).unwrap();
    let config: DriverConfig = toml::from_str(&text).unwrap();
    let drivers = Drivers::connect(config).unwrap();
    let cluster: ClusterId = lab.cluster_id().parse().unwrap();
    let snapshot = lab.arm().snapshot();
    let mut groups = snapshot.of_type("Microsoft.Network/networkSecurityGroups");
    let group = groups.find(|g| g.to_string().contains("\"Deny\"")).unwrap();
    let nsg = group["id"].as_str().unwrap().to_owned();
    let query = Query::AzureGet {
        resource: nsg.clone(),
    };
    let read = drivers.observe(&cluster, &query).await.unwrap();
    let before = Observation {
        digest: Digest::of_bytes(read.body.as_bytes()),
        answer: Ok(read.body.into()),
        version: read.version,
        observed_at: jiff::Timestamp::now(),
        query,
    };
    let rule = NsgRule {
        name: "someone-elses".to_owned(),
        priority: 4000,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".to_owned(),
        source_prefixes: vec!["*".to_owned()],
        source_ports: vec!["*".to_owned()],
        source_groups: vec![],
        destination_prefixes: vec!["*".to_owned()],
        destination_ports: vec!["443".to_owned()],
        destination_groups: vec![],
        description: String::new(),
    };
    let key = IdempotencyKey {
        plan: Digest::of_bytes(b"another plan"),
        step: 0,
        way: Way::Forward,
        attempt: 1,
    };
    let effect = Effect::NsgRuleCreate { nsg, rule };
    let done = drivers.perform(&cluster, &effect, &before, &key).await;
    done.unwrap();
}
