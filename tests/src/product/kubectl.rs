//! A real `kubectl` at the lab's API server.

use std::{path::PathBuf, time::Duration};

use super::command::{Finished, ProductError, finish};

/// `kubectl` with the lab's kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// For this kubeconfig; nothing when no `kubectl` is installed.
    pub fn find(kubeconfig: impl Into<PathBuf>) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .any(|folder| folder.join("kubectl").is_file())
            .then(|| Self {
                kubeconfig: kubeconfig.into(),
            })
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be run or does not end; not when it fails.
    pub async fn run(&self, arguments: &[&str]) -> Result<Finished, ProductError> {
        let mut command = tokio::process::Command::new("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        finish(command, Duration::from_secs(60)).await
    }
}
