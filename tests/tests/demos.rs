//! `make demo SCENARIO=…` of every scenario: it ends well only if it observed all
//! that it tells, and what a user sees is asked of a real `kubectl`.

use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use naosu_lab::builtin_scenario_names;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let trials = builtin_scenario_names()
        .into_iter()
        .map(|name| Trial::test(name, move || demonstrate(name)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn demonstrate(scenario: &str) -> Result<(), Failed> {
    let demo = Command::new(env!("CARGO_BIN_EXE_naosu-demo"))
        .arg(scenario)
        .output()?;
    let told = String::from_utf8_lossy(&demo.stdout);
    let all = || format!("{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    if !demo.status.success() {
        return Err(format!("{}\n{}", demo.status, all()).into());
    }
    if !told.contains("$ kubectl logs") {
        return Err(format!("no kubectl was asked; `make setup` installs it\n{}", all()).into());
    }
    Ok(())
}
