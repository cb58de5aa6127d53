//! The built binary against a served product.

use std::{path::Path, process::Output};

use naosu_engine::{Code, Error, error::Category};
use serde_json::Value;

use crate::{
    product::{CLUSTER, MESSAGE, NEXT, Scripted, Trouble},
    served::{Served, naosu_command, run_naosu},
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A text with its commands as a shell reads them, continued lines as one.
fn one_line(text: &str) -> String {
    let joined = text.replace(" \\\n", " ");
    joined.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The documented exit code.
fn exit_of(code: Code) -> i32 {
    if code == Code::ShuttingDown {
        return 130;
    }
    match code.category() {
        Category::Internal => 1,
        Category::InvalidArgument => 2,
        Category::NotFound => 3,
        Category::FailedPrecondition => 4,
        Category::PermissionDenied | Category::Unauthenticated => 5,
        Category::Aborted => 6,
        Category::ResourceExhausted | Category::Unavailable | Category::DeadlineExceeded => 7,
    }
}

const COMMANDS: [&[&str]; 13] = [
    &["diagnose", CLUSTER],
    &["diagnosis", "show", "dia-1"],
    &["diagnosis", "list"],
    &["plan", "create", "dia-1"],
    &["plan", "show", "plan-1"],
    &["plan", "list"],
    &["plan", "approve", "plan-1", "--digest", DIGEST],
    &["plan", "reject", "plan-1", "--digest", DIGEST],
    &["apply", "plan-1"],
    &["run", "show", "run-1"],
    &["run", "list"],
    &["plugin", "list"],
    &["plugin", "inspect", "nsg-allow-port"],
];

#[tokio::test]
async fn every_command_gives_text_and_json_and_nothing_else_on_standard_output() {
    let served = Served::start(Scripted::default()).await;
    for command in COMMANDS {
        let text = served.naosu(command).await;
        assert!(text.status.success(), "{command:?}: {}", stderr(&text));
        assert!(!stdout(&text).is_empty());
        assert!(!stdout(&text).contains('\u{1b}'), "{command:?}");
        assert_eq!(
            stderr(&text),
            "",
            "no progress where nobody looks: {command:?}"
        );
        let json = served.naosu(&[command, &["-o", "json"]].concat()).await;
        let parsed: Value = serde_json::from_str(&stdout(&json)).unwrap();
        assert!(parsed.is_object() || parsed.is_array());
        assert_eq!(stderr(&json), "", "{command:?}");
    }
    served.end().await;
}

#[tokio::test]
async fn every_failure_keeps_its_code_next_step_and_documented_exit_code() {
    for code in Code::ALL {
        let served = Served::start(Scripted::failing(Trouble::Error(*code))).await;
        let output = served.naosu(&["plan", "show", "p", "-o", "json"]).await;
        assert_eq!(
            output.status.code(),
            Some(exit_of(*code)),
            "{}",
            code.as_str()
        );
        assert_eq!(stdout(&output), "");
        let said: Value = serde_json::from_str(&stderr(&output)).unwrap();
        let error: Error = serde_json::from_value(said["error"].clone()).unwrap();
        assert_eq!(error, Error::new(*code, MESSAGE, NEXT));
        served.end().await;
    }
}

#[tokio::test]
async fn every_command_that_fails_says_so_in_text() {
    let served = Served::start(Scripted::failing(Trouble::Error(Code::Drift))).await;
    for command in COMMANDS {
        let output = served.naosu(command).await;
        assert_eq!(output.status.code(), Some(6), "{command:?}");
        assert_eq!(stdout(&output), "", "{command:?}");
        let said = stderr(&output);
        assert!(said.contains("error[drift]: \"x\" is wrong"), "{said}");
        assert!(said.contains("next: do it right"), "{said}");
    }
    served.end().await;
}

#[tokio::test]
async fn a_run_that_ends_otherwise_than_asked_has_an_exit_code_of_its_own() {
    use naosu_engine::model::RunState::{Cancelled, RolledBack, Stuck, Succeeded};
    let apply = &["apply", "plan-1"][..];
    let watch = &["run", "watch", "run-1"][..];
    let rollback = &["run", "rollback", "run-1"][..];
    for (end, command, code) in [
        (Succeeded, apply, 0),
        (RolledBack, apply, 8),
        (Cancelled, apply, 8),
        (Stuck, apply, 9),
        (RolledBack, watch, 8),
        (Stuck, watch, 9),
        (RolledBack, rollback, 0),
        (Succeeded, rollback, 8),
        (Stuck, rollback, 9),
    ] {
        let served = Served::start(Scripted::failing(Trouble::RunEndsIn(end))).await;
        let output = served.naosu(command).await;
        assert_eq!(output.status.code(), Some(code), "{command:?} {end:?}");
        assert!(stdout(&output).contains("State"), "the run is shown");
        served.end().await;
    }
}

#[tokio::test]
async fn a_run_that_drift_cancelled_ends_with_the_code_for_that() {
    for (code, exit) in [
        (Code::Drift, 6),
        (Code::AzurePreconditionFailed, 6),
        (Code::AzureForbidden, 8),
    ] {
        let served = Served::start(Scripted::failing(Trouble::CancelledBy(code))).await;
        let output = served.naosu(&["apply", "plan-1"]).await;
        assert_eq!(output.status.code(), Some(exit), "{}", code.as_str());
        assert!(stdout(&output).contains("Nothing was changed."));
        served.end().await;
    }
}

#[tokio::test]
async fn a_diagnosis_that_could_read_nothing_of_kubernetes_is_shown_and_ends_with_that_failure() {
    let served = Served::start(Scripted::failing(Trouble::NoKubeconfig)).await;
    let output = served.naosu(&["diagnose", CLUSTER]).await;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stdout(&output).contains("dia-1"));
    served.end().await;
}

#[tokio::test]
async fn a_digest_without_its_prefix_and_an_id_with_a_slash_at_its_end_are_taken() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let bare = DIGEST.trim_start_matches("sha256:");
    let output = served
        .naosu(&["plan", "approve", "plan-1", "--digest", bare])
        .await;
    assert!(output.status.success(), "{}", stderr(&output));
    let output = served.naosu(&["diagnose", &format!("{CLUSTER}/")]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(asked.lock().unwrap().len(), 2);
    served.end().await;
}

#[test]
fn a_folder_that_is_named_for_the_store_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let setting = format!("store.path={}", absent.join("naosu.sqlite").display());
    let output = run_naosu(folder.path(), &["--set", &setting, "plan", "list"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("there is no folder"),
        "{}",
        stderr(&output)
    );
    assert!(!absent.exists());
}

#[tokio::test]
async fn a_plan_is_shown_with_the_id_of_its_run_where_that_cannot_be_read() {
    let served = Served::start(Scripted::failing(Trouble::NoRunIsRead)).await;
    let text = served.naosu(&["plan", "show", "plan-1"]).await;
    assert!(text.status.success(), "{}", stderr(&text));
    let shown = one_line(&stdout(&text));
    assert!(shown.contains("run show run-1"), "{shown}");
    let json = served
        .naosu(&["plan", "show", "plan-1", "-o", "json"])
        .await;
    let plan: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(plan["run"], "run-1");
    served.end().await;
}

#[tokio::test]
async fn a_suspicion_that_can_be_mended_is_shown_with_the_command_for_it() {
    let served = Served::start(Scripted::failing(Trouble::OnlySuspicion)).await;
    let text = stdout(&served.naosu(&["diagnosis", "show", "dia-1"]).await);
    assert!(text.contains("SUSPECTED "), "{text}");
    // As it is pasted: with the server that was named, and whole.
    let command = format!(
        "naosu --server {} plan create dia-1 --plugin nsg-allow-port",
        served.unix_url()
    );
    assert!(one_line(&text).contains(&command), "{text}");
    served.end().await;
}

#[tokio::test]
async fn an_approval_needs_the_whole_digest_where_nobody_can_be_asked() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    for digest in [
        &[][..],
        &["--digest", "sha256:e3b0c44298fc"],
        &["--digest", ""],
    ] {
        let command = [&["plan", "approve", "plan-1"], digest].concat();
        let output = served.naosu(&command).await;
        assert_eq!(output.status.code(), Some(2), "{digest:?}");
        assert!(stderr(&output).contains("error[invalid_parameter]"));
    }
    assert!(asked.lock().unwrap().is_empty(), "the product was asked");
    served.end().await;
}

#[tokio::test]
async fn a_malformed_cluster_id_is_refused_before_anything_is_asked() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let output = served.naosu(&["diagnose", "aks"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("error[invalid_resource_id]"));
    assert!(asked.lock().unwrap().is_empty());
    served.end().await;
}

#[tokio::test]
async fn what_could_not_be_read_is_told_first_with_its_code_and_next_step_in_text_and_json() {
    let served = Served::start(Scripted::failing(Trouble::NoKubeconfig)).await;
    for command in [&["diagnose", CLUSTER][..], &["diagnosis", "show", "dia-1"]] {
        let text = stdout(&served.naosu(command).await);
        let told = text.find("(kubeconfig_invalid)").unwrap();
        let next = text.find("next: correct the kubeconfig").unwrap();
        let first_finding = text.find("CONFIRMED: ").unwrap();
        assert!(told < next && next < first_finding, "{text}");
        assert!(
            text.contains("CAUTION: not everything could be read"),
            "{text}"
        );
        let json = served.naosu(&[command, &["-o", "json"]].concat()).await;
        let diagnosis: Value = serde_json::from_str(&stdout(&json)).unwrap();
        let unreadable = &diagnosis["not_readable"][0];
        assert_eq!(unreadable["code"], "kubeconfig_invalid");
        assert_eq!(unreadable["message"], MESSAGE);
        assert_eq!(diagnosis["id"], "dia-1");
    }
    served.end().await;
    let served = Served::start(Scripted::default()).await;
    let text = stdout(&served.naosu(&["diagnosis", "show", "dia-1"]).await);
    assert!(!text.contains("could be read"), "{text}");
    served.end().await;
}

#[test]
fn help_example_and_completion_need_no_configuration() {
    let broken = ["--config", "/nonexistent/naosu.toml"];
    for command in [
        &["config", "example"][..],
        &["completion", "bash"],
        &["plan", "approve", "--help"],
    ] {
        let output = run_naosu(Path::new("/"), &[&broken, command].concat());
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    }
    let help = stdout(&run_naosu(Path::new("/"), &["--help"]));
    assert!(
        help.contains("Exit codes:") && help.contains("Examples:"),
        "{help}"
    );
    let long: Vec<&str> = help.lines().filter(|l| l.chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn a_shell_completes_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = run_naosu(Path::new("/"), &["completion", shell]);
        assert!(stdout(&printed).contains("diagnose"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("naosu");
    let printed = run_naosu(Path::new("/"), &["completion", "bash"]);
    std::fs::write(&file, printed.stdout).unwrap();
    for (typed, offered) in [
        ("naosu pl", "plan plugin"),
        ("naosu plan ap", "approve"),
        ("naosu diagnose --sym", "--symptom"),
    ] {
        let script = format!(
            "source {}; COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _naosu naosu \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(stdout(&output).trim(), offered, "{}", stderr(&output));
    }
}

#[test]
fn every_problem_of_the_configuration_is_on_standard_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("naosu.toml");
    std::fs::write(&file, "sever = 1\n[log]\nformat = \"xml\"\n").unwrap();
    let path = file.display().to_string();
    let output = run_naosu(folder.path(), &["--config", &path, "config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("error[invalid_configuration]"), "{said}");
    for place in ["naosu.toml:1: sever", "naosu.toml:3: log.format"] {
        assert!(said.contains(place), "{place} not in {said}");
    }
}

#[test]
fn what_is_not_utf_8_in_the_environment_is_told_where_it_is_naosus_own_and_never_crashes() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let checked = |name: &[u8], value: &[u8]| {
        naosu_command(Path::new("/"), &["config", "check"])
            .env(OsStr::from_bytes(name), OsStr::from_bytes(value))
            .output()
            .unwrap()
    };
    for (name, value) in [(&b"FOO"[..], &b"\xff"[..]), (b"FOO\xff", b"x")] {
        let output = checked(name, value);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let output = checked(b"NAOSU_LOG__LEVEL", b"\xff");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("environment NAOSU_LOG__LEVEL: log.level: "),
        "{said}"
    );
}

#[test]
fn the_printed_example_is_a_correct_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("naosu.toml");
    let example = run_naosu(folder.path(), &["config", "example"]);
    std::fs::write(&file, example.stdout).unwrap();
    let path = file.display().to_string();
    let output = run_naosu(folder.path(), &["--config", &path, "config", "check"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
