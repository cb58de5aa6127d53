//! The files a lab gives to those who use it.

use std::path::{Path, PathBuf};

use super::state_directory::{StateDirectory, StateError};
use crate::arm::ArmServer;
use crate::kube::KubeServer;
use crate::wire::Authority;

/// Where they are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) authority: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) naosu_config: PathBuf,
}

impl Files {
    pub(super) fn write(
        directory: &StateDirectory,
        authority: &Authority,
        arm: &ArmServer,
        kube: &KubeServer,
    ) -> Result<Self, StateError> {
        let authority = directory.write("authority.pem", &authority.certificate_pem())?;
        let kubeconfig = directory.write("kubeconfig", &kube.kubeconfig())?;
        let secret = directory.write("client-secret", arm.client_secret())?;
        let mut config = toml::Table::new();
        config.insert("azure".into(), azure(arm, &authority, &secret).into());
        config.insert("kubernetes".into(), kubernetes(&kubeconfig).into());
        let naosu_config = directory.write("naosu.toml", &config.to_string())?;
        Ok(Self {
            authority,
            kubeconfig,
            naosu_config,
        })
    }
}

fn azure(arm: &ArmServer, authority_file: &Path, secret: &Path) -> toml::Table {
    let mut credential = toml::Table::new();
    credential.insert("kind".into(), "client_secret".into());
    credential.insert("tenant_id".into(), arm.tenant().into());
    credential.insert("client_id".into(), arm.client_id().into());
    credential.insert("secret_file".into(), text(secret));
    let mut azure = toml::Table::new();
    azure.insert("endpoint".into(), arm.endpoint().into());
    if let Some(authority) = arm.authority() {
        azure.insert("authority".into(), authority.into());
    }
    azure.insert("ca_file".into(), text(authority_file));
    // The lab's operations take milliseconds, not minutes.
    azure.insert("poll_interval_ms".into(), 50.into());
    azure.insert("credential".into(), credential.into());
    azure
}

fn kubernetes(kubeconfig: &Path) -> toml::Table {
    let mut source = toml::Table::new();
    source.insert("kind".into(), "file".into());
    source.insert("path".into(), text(kubeconfig));
    let mut kubernetes = toml::Table::new();
    kubernetes.insert("source".into(), source.into());
    kubernetes
}

fn text(path: &Path) -> toml::Value {
    path.display().to_string().into()
}
