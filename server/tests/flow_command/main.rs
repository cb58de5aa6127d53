//! `naosu flow` through the built binary, on files alone.

mod azure_files;
mod bad_input;
mod delta;
mod explain;
mod forwarded;
mod help;
mod place;
mod set;
mod stays;
mod ufw;
mod way;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/flow_command/samples")
        .join(name)
}

/// Runs `naosu flow` among the samples, with nothing of this process's
/// environment and a configuration that cannot be read.
fn flow(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_naosu"))
        .arg("flow")
        .args(arguments.split_whitespace())
        .current_dir(sample(""))
        .env_clear()
        .env("NAOSU_CONFIG", "no-such-configuration.toml")
        .output()
        .unwrap()
}

fn text(arguments: &str) -> String {
    let output = flow(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON answer, checked against the schema the command prints.
fn json(arguments: &str) -> Value {
    let answer: Value = serde_json::from_str(&text(&format!("{arguments} -o json"))).unwrap();
    let schema: Value = serde_json::from_str(&text("schema")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&answer)
        .map(|fault| fault.to_string())
        .collect();
    assert_eq!(faults, Vec::<String>::new(), "{answer:#}");
    answer
}

/// The words of an answer without the line breaks of an 80-column page.
fn words(arguments: &str) -> String {
    let page = text(arguments);
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_schema_refuses_an_answer_without_a_verdict() {
    let schema: Value = serde_json::from_str(&text("schema")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut answer =
        json("explain --nsg nsg-open.json --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp");
    assert!(validator.is_valid(&answer));
    answer.as_object_mut().unwrap().remove("verdict");
    assert!(!validator.is_valid(&answer));
}

#[test]
fn the_schema_refuses_lists_that_are_joined_in_one_text() {
    let schema: Value = serde_json::from_str(&text("schema")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let answer = json("delta --kind nsg --before nsg-closed.json --after nsg-open.json");
    for (field, joined) in [
        ("src", "10.20.0.0/24, 10.20.2.0/24"),
        ("dst", "10.20.0.0/24, 10.20.2.0/24"),
        ("ports", "10250, 10255"),
        ("source_ports", "any"),
    ] {
        let mut changed = answer.clone();
        changed["newly_allowed"][0][field] = serde_json::json!([joined]);
        assert!(!validator.is_valid(&changed), "{field}");
        changed["newly_allowed"][0][field] = serde_json::json!(joined);
        assert!(!validator.is_valid(&changed), "{field}");
    }
}
