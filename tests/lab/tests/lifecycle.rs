//! Labs start quickly, do not see each other, and leave nothing however they end.

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use naosu_lab::builtin_scenario;
use naosu_lab::lifecycle::{DataPlaneChoice, Lab, LabOptions};
use naosu_lab::planes::{Probe, ProbeResult};

fn options(base: &Path) -> LabOptions {
    let mut options = LabOptions {
        base_directory: base.to_owned(),
        ..LabOptions::default()
    };
    options.data_plane_options.dial_limit = Duration::from_millis(400);
    options
}

#[tokio::test]
async fn a_lab_of_three_nodes_starts_within_three_seconds() {
    if !real_packets_are_possible() {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let scenario = builtin_scenario("nsg-deny-10250").expect("it is there");
    let started = Instant::now();
    let lab = Lab::start(scenario, options(base.path()))
        .await
        .expect("it starts");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(lab.simulated_because(), None);
    drop(lab);
    let left = std::fs::read_dir(base.path()).expect("it is there").count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn two_labs_at_once_have_the_same_addresses_and_not_the_same_packets() {
    if !real_packets_are_possible() {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let start = |name| {
        Lab::start(
            builtin_scenario(name).expect("it is there"),
            options(base.path()),
        )
    };
    let (faulty, healthy) = tokio::join!(start("nsg-deny-10250"), start("healthy"));
    let (faulty, healthy) = (faulty.expect("it starts"), healthy.expect("it starts"));
    let from = Probe::FromNode(node(0));
    let in_faulty = faulty.probe(&from, kubelet(1)).await.expect("a probe");
    let in_healthy = healthy.probe(&from, kubelet(1)).await.expect("a probe");
    assert_eq!(in_faulty, ProbeResult::TimedOut);
    assert_eq!(in_healthy, ProbeResult::Connected);
}

#[tokio::test]
async fn a_simulated_lab_says_so_and_shows_the_same_symptom() {
    let base = tempfile::tempdir().expect("a directory");
    let options = LabOptions {
        data_plane: DataPlaneChoice::Simulated,
        ..options(base.path())
    };
    let scenario = builtin_scenario("nsg-deny-10250").expect("it is there");
    let lab = Lab::start(scenario, options).await.expect("it starts");
    assert_eq!(lab.simulated_because(), Some("asked for"));
    let plane = lab.data_plane();
    assert!(
        plane
            .dial_through_tunnel(kubelet(0).ip(), 10250)
            .await
            .is_ok()
    );
    let far = plane.dial_through_tunnel(kubelet(1).ip(), 10250).await;
    assert_eq!(
        far.err().map(|error| error.to_string()).as_deref(),
        Some("dial tcp 10.224.0.5:10250: i/o timeout")
    );
    let script = plane.run_on_node(&node(0), "true").await;
    let refused = script.expect_err("there is no node").to_string();
    assert!(refused.starts_with("simulated_data_plane: "), "{refused}");
}

const STRAGGLER: &str = "
title = 'a process that stays'
story = 'a process of a node outlives the lab'
[[estate.nodes]]
name = 'aks-nodepool1-28341567-vmss000000'
agent = true
commands = ['''
setsid sh -c 'echo > /run/up; exec sleep 600' > /dev/null 2>&1 &
while [ ! -e /run/up ]; do sleep 0.01; done
''']
[expect.findings]
nsg = 'ruled_out'
ufw = 'ruled_out'
iptables = 'ruled_out'
egress = 'ruled_out'
snat = 'ruled_out'
tunnel-pods = 'ruled_out'
konnectivity-scale = 'ruled_out'
route = 'ruled_out'
";

/// Starts `naosu-lab serve` with a process that would outlive it, and waits until it is ready.
fn serve(base: &Path) -> Child {
    let file = base.join("straggler.toml");
    std::fs::write(&file, STRAGGLER).expect("it is written");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_naosu-lab"))
        .args(["serve", "--data-plane", "real", "--file"])
        .arg(&file)
        .arg("--directory")
        .arg(base.join("labs"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = lab.stdout.take().expect("it is piped");
    let ready = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("# ready"));
    assert!(ready, "the lab never got ready");
    lab
}

fn only_lab(base: &Path) -> String {
    let entry = std::fs::read_dir(base.join("labs"))
        .expect("it is there")
        .next()
        .expect("a lab")
        .expect("readable");
    entry.file_name().into_string().expect("text")
}

fn processes_of(lab_id: &str) -> usize {
    let mark = format!("NAOSU_LAB_ID={lab_id}");
    std::fs::read_dir("/proc")
        .expect("it is there")
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("environ")).ok())
        .filter(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|v| v == mark.as_bytes())
        })
        .count()
}

#[tokio::test]
async fn what_a_killed_lab_left_is_removed_when_the_next_one_starts() {
    if !real_packets_are_possible() {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let mut killed = serve(base.path());
    let lab_id = only_lab(base.path());
    killed.kill().expect("it can be killed");
    killed.wait().expect("it ends");
    assert_eq!(
        processes_of(&lab_id),
        1,
        "the process in the node should still run"
    );
    let scenario = builtin_scenario("healthy").expect("it is there");
    let next = Lab::start(scenario, options(&base.path().join("labs")))
        .await
        .expect("it starts");
    assert_eq!(next.removed_leftovers().labs, [lab_id.as_str()]);
    assert_eq!(next.removed_leftovers().processes, 1);
    assert!(!base.path().join("labs").join(&lab_id).exists());
}

#[test]
fn a_terminated_lab_ends_well_and_leaves_nothing() {
    if !real_packets_are_possible() {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let mut lab = serve(base.path());
    let lab_id = only_lab(base.path());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(lab.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is ours");
    let status = lab.wait().expect("it ends");
    assert!(status.success(), "{status}");
    assert_eq!(processes_of(&lab_id), 0);
    assert_eq!(
        std::fs::read_dir(base.path().join("labs"))
            .expect("there")
            .count(),
        0
    );
}

#[test]
fn without_root_packets_are_as_real_where_user_namespaces_are_allowed() {
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65534;
    let as_nobody = |program: &str| {
        let mut command = Command::new(program);
        command.uid(NOBODY).gid(NOBODY);
        command
    };
    let allowed = as_nobody("unshare")
        .args(["-U", "-r", "-n", "true"])
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("skipped: not root, or no user namespaces for others");
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::chown(base.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    let mut lab = as_nobody(env!("CARGO_BIN_EXE_naosu-lab"))
        .args(["serve", "--scenario", "ufw-deny", "--directory"])
        .arg(base.path().join("labs"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(lab.stdout.take().expect("it is piped"));
    let lines: Vec<String> = output
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.contains("# ready"))
        .collect();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(lab.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is ours");
    assert!(lab.wait().expect("it ends").success());
    let text = lines.join("\n");
    assert!(
        text.contains("nsenter") && !text.contains("SIMULATED"),
        "{text}"
    );
    // What is printed can be pasted, and leaves the user's own store alone.
    for name in ["KUBECONFIG", "NAOSU_CONFIG", "NAOSU_STORE__PATH"] {
        assert!(text.contains(&format!("\nexport {name}=")), "{text}");
    }
    let is_for_a_shell = |line: &&String| {
        ["# ", "#", "export ", "naosu diagnose /subscriptions/"]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    assert!(lines.iter().all(|line| is_for_a_shell(&line)), "{text}");
}
