//! One finished command.

use std::path::PathBuf;

use serde_json::Value;

/// Why the product could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// The binary is not built.
    #[error("{0} is not there; build it with `cargo build -p naosu-server`")]
    NotBuilt(PathBuf),
    /// The command could not be run, or its files not be written.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        reason: std::io::Error,
    },
    /// It took longer than anything should.
    #[error("{0} did not end in time")]
    Timeout(String),
    /// It ended, or said nothing, where it should go on.
    #[error("{0} ended early")]
    Ended(String),
    /// It ended with another exit code than 0.
    #[error("{0}")]
    Failed(Box<Finished>),
    /// It printed no JSON where it should.
    #[error("{command} printed no JSON ({reason}): {stdout}")]
    NotJson {
        /// The command line.
        command: String,
        /// What is wrong with it.
        reason: serde_json::Error,
        /// What it printed.
        stdout: String,
    },
}

/// What a finished command left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 when it died of a signal.
    pub exit_code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ended with {}\n{}{}",
            self.command, self.exit_code, self.stdout, self.stderr
        )
    }
}

impl Finished {
    /// Itself when it succeeded.
    ///
    /// # Errors
    /// [`ProductError::Failed`] with all that it printed.
    pub fn success(self) -> Result<Self, ProductError> {
        if self.exit_code == 0 {
            Ok(self)
        } else {
            Err(ProductError::Failed(Box::new(self)))
        }
    }

    /// Its standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value, ProductError> {
        serde_json::from_str(&self.stdout).map_err(|reason| ProductError::NotJson {
            command: self.command.clone(),
            reason,
            stdout: self.stdout.clone(),
        })
    }
}

/// Runs a command to its end, at most `limit`.
pub(super) async fn finish(
    mut command: tokio::process::Command,
    limit: std::time::Duration,
) -> Result<Finished, ProductError> {
    let line = {
        let plain = command.as_std();
        let mut words = vec![
            std::path::Path::new(plain.get_program())
                .file_name()
                .unwrap_or(plain.get_program())
                .to_string_lossy()
                .into_owned(),
        ];
        words.extend(
            plain
                .get_args()
                .map(|word| word.to_string_lossy().into_owned()),
        );
        words.join(" ")
    };
    command
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null());
    let output = match tokio::time::timeout(limit, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(reason)) => return Err(ProductError::Io { what: line, reason }),
        Err(_) => return Err(ProductError::Timeout(line)),
    };
    Ok(Finished {
        command: line,
        exit_code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
