//! `naosu-lab serve`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use naosu_lab::lifecycle::{Lab, LabOptions};
use naosu_lab::scenario::{Scenario, ScenarioError};
use tokio::signal::unix::{SignalKind, signal};

use super::ServeArguments;

pub(super) fn serve(arguments: ServeArguments, directory: PathBuf) -> anyhow::Result<()> {
    let scenario = match (&arguments.scenario, &arguments.file) {
        (Some(name), _) => naosu_lab::builtin_scenario(name)?,
        (None, Some(path)) => read(path)?,
        (None, None) => anyhow::bail!("name a scenario with --scenario or a file with --file"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(scenario, arguments, directory))
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let text = std::fs::read_to_string(path).map_err(|reason| ScenarioError::Unreadable {
        path: path.display().to_string(),
        reason: reason.to_string(),
    })?;
    let name = path.file_stem().and_then(|stem| stem.to_str());
    let name = name.context("the file has no name")?;
    Ok(Scenario::parse(name, &text)?)
}

async fn run(
    scenario: Scenario,
    arguments: ServeArguments,
    base_directory: PathBuf,
) -> anyhow::Result<()> {
    // Before the lab exists, so that no signal finds one that nobody takes down.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let options = LabOptions {
        data_plane: arguments.data_plane.into(),
        base_directory,
        arm_port: arguments.arm_port,
        kube_port: arguments.kube_port,
        ..LabOptions::default()
    };
    let lab = tokio::select! {
        lab = Lab::start(scenario, options) => lab?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let mut out = std::io::stdout();
    out.write_all(description(&lab)?.as_bytes())?;
    out.flush()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(lab);
    Ok(())
}

/// What is printed once everything runs: lines that a shell in another terminal takes as
/// they are, with the rest in comments.
fn description(lab: &Lab) -> anyhow::Result<String> {
    let mut text = String::new();
    let scenario = lab.scenario();
    writeln!(text, "# {}: {}", scenario.name, scenario.title)?;
    for line in scenario.story.lines() {
        writeln!(text, "#   {line}")?;
    }
    if let Some(reason) = lab.simulated_because() {
        writeln!(text, "# SIMULATED DATA PLANE, no real packets: {reason}")?;
    }
    for (machine, thread) in lab.machines() {
        writeln!(
            text,
            "# look inside {machine}: nsenter -t {thread} -n -m -u"
        )?;
    }
    writeln!(text, "# paste into another terminal:")?;
    let config = lab.naosu_config_file().display().to_string();
    // A store of its own: what is tried here is nothing of the user's real clusters.
    let store = lab.directory().join("naosu.sqlite").display().to_string();
    let of_naosu = [("NAOSU_CONFIG", config), ("NAOSU_STORE__PATH", store)];
    for (name, value) in lab.environment().into_iter().chain(of_naosu) {
        writeln!(text, "export {name}={}", quoted(&value))?;
    }
    writeln!(text, "naosu diagnose {}", quoted(&lab.cluster_id()))?;
    writeln!(text, "# ready; interrupt to take it down")?;
    Ok(text)
}

/// A value as a shell reads it back.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}
