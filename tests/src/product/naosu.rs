//! The `naosu` binary at a lab.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use naosu_lab::Lab;
use serde_json::Value;

use super::command::{Finished, ProductError, finish};

/// Longer than any command here takes; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// The binary, its configuration and its own store, all within the lab's directory.
#[derive(Clone, Debug)]
pub struct Naosu {
    binary: PathBuf,
    config: PathBuf,
    state: PathBuf,
    environment: Vec<(String, String)>,
}

impl Naosu {
    /// Points the built binary at a lab. Nothing outside the lab's directory is
    /// read or written.
    ///
    /// # Errors
    /// When the binary is not built.
    pub fn at(lab: &Lab) -> Result<Self, ProductError> {
        let state = lab.directory().join("naosu");
        std::fs::create_dir_all(&state).map_err(|reason| ProductError::Io {
            what: state.display().to_string(),
            reason,
        })?;
        Ok(Self {
            binary: built_binary("naosu")?,
            config: lab.naosu_config_file().to_owned(),
            state,
            environment: lab
                .environment()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        })
    }

    /// The same product with one more environment variable.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where its store and cache are.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The command, ready to be run.
    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.binary);
        command
            .env("NAOSU_CONFIG", &self.config)
            .env("NAOSU_STORE__PATH", self.state.join("naosu.db"))
            .env("NAOSU_PLUGINS__CACHE", shared_cache())
            // The lab's changes take effect at once, and one person drives it.
            .env("NAOSU_RUNS__VERIFY_FOR_SECONDS", "8")
            .env("NAOSU_RUNS__VERIFY_PAUSE_MS", "200")
            .env("NAOSU_RUNS__RETRY_PAUSE_MS", "200")
            .env("NAOSU_POLICY__STRONG_APPROVALS", "1")
            .env("NO_COLOR", "1")
            .env("COLUMNS", "80")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments);
        command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be run or does not end; not when it fails.
    pub async fn run(&self, arguments: &[&str]) -> Result<Finished, ProductError> {
        finish(self.command(arguments), LIMIT).await
    }

    /// Runs it with `--output json` and reads what it printed.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value, ProductError> {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        self.run(&all).await?.success()?.json()
    }

    /// Runs it with `--output json`, expecting that it fails: the error's stable
    /// code (empty when it gave none) and all that it printed.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn failure(&self, arguments: &[&str]) -> Result<(String, Finished), ProductError> {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let finished = self.run(&all).await?;
        let error: Value = serde_json::from_str(&finished.stderr).unwrap_or_default();
        let code = error["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok((code, finished))
    }
}

/// Compiled plugins are the same for all tests of one build.
fn shared_cache() -> PathBuf {
    build_directory()
        .unwrap_or_else(|| PathBuf::from("."))
        .join("naosu-test-cache")
}

fn build_directory() -> Option<PathBuf> {
    let me = std::env::current_exe().ok()?;
    let folder = me.parent()?;
    // Test binaries are in `deps`, others beside the product.
    Some(if folder.ends_with("deps") {
        folder.parent()?.to_owned()
    } else {
        folder.to_owned()
    })
}

/// A binary of this workspace, beside or above the one that runs.
fn built_binary(name: &str) -> Result<PathBuf, ProductError> {
    let path = build_directory().unwrap_or_default().join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ProductError::NotBuilt(path))
    }
}
