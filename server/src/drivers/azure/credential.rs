//! Tokens: got from `azure_identity`, kept while they last, thrown away when
//! Azure rejects them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    cloud::CustomConfiguration,
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    http::{ClientOptions, HttpClient, Transport},
    time::OffsetDateTime,
};
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use tokio::sync::Mutex;
use url::Url;

use super::error::AzureError;
use crate::drivers::config::{AzureConfig, CredentialConfig};

/// A token is not used in the last minutes of its life.
const MARGIN: Duration = Duration::from_secs(300);
/// The longest that one credential is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where a virtual machine of Azure, and no other, reaches its identity.
const MACHINE_IDENTITY: (&str, u16) = ("169.254.169.254", 80);
/// The longest that it is looked for; where it is, it is one hop away.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// The source of bearer tokens for one audience.
pub struct Credential {
    config: CredentialConfig,
    scope: String,
    transport: Arc<dyn HttpClient>,
    authority: Url,
    current: Mutex<Option<Current>>,
}

/// The credential that worked last and its token.
struct Current {
    credential: Arc<dyn TokenCredential>,
    token: AccessToken,
}

impl Credential {
    /// The credential that `config` asks for. Nothing is asked yet.
    pub fn new(config: &AzureConfig, client: reqwest::Client) -> Self {
        let (transport, authority) = super::authority::transport(&config.authority, client);
        let audience = config.audience.as_str().trim_end_matches('/');
        Self {
            config: config.credential.clone(),
            scope: format!("{audience}/.default"),
            transport,
            authority,
            current: Mutex::new(None),
        }
    }

    /// A token that has some minutes to live.
    ///
    /// # Errors
    /// [`AzureError::Credential`] with what each credential said.
    pub async fn token(&self) -> Result<String, AzureError> {
        let mut current = self.current.lock().await;
        let mut credential = None;
        if let Some(known) = current.as_ref() {
            if known.token.expires_on > OffsetDateTime::now_utc() + MARGIN {
                return Ok(known.token.token.secret().to_owned());
            }
            credential = Some(known.credential.clone());
        }
        if let Some(credential) = credential
            && let Ok(token) = self.ask(credential.as_ref()).await
        {
            let secret = token.token.secret().to_owned();
            *current = Some(Current { credential, token });
            return Ok(secret);
        }
        let fresh = self.first_that_works().await?;
        let secret = fresh.token.token.secret().to_owned();
        *current = Some(fresh);
        Ok(secret)
    }

    /// Forgets `rejected`, so that the next token is another one. The credential
    /// is built anew: those of the library keep tokens of their own.
    pub async fn forget(&self, rejected: &str) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|known| known.token.token.secret() == rejected)
        {
            *current = None;
        }
    }

    async fn ask(&self, credential: &dyn TokenCredential) -> Result<AccessToken, String> {
        let scopes = [self.scope.as_str()];
        let asked = credential.get_token(&scopes, None);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn first_that_works(&self) -> Result<Current, AzureError> {
        let is_automatic = self.config == CredentialConfig::Auto;
        let kinds = match &self.config {
            CredentialConfig::Auto => automatic(),
            one => vec![one.clone()],
        };
        let mut reasons = Vec::new();
        for kind in kinds {
            let name = name_of(&kind);
            match self.try_one(&kind, is_automatic).await {
                Ok(current) => {
                    tracing::info!(credential = name, "got an Azure token");
                    return Ok(current);
                }
                Err(reason) => {
                    reasons.push(format!(
                        "{name}: {}",
                        crate::drivers::text::printable(&reason, 300)
                    ));
                }
            }
        }
        Err(AzureError::Credential {
            reason: reasons.join("; "),
        })
    }

    async fn try_one(
        &self,
        kind: &CredentialConfig,
        is_automatic: bool,
    ) -> Result<Current, String> {
        if is_automatic && matches!(kind, CredentialConfig::ManagedIdentity { .. }) {
            look_for_identity().await?;
        }
        let credential = self.build(kind)?;
        let token = self.ask(credential.as_ref()).await?;
        Ok(Current { credential, token })
    }

    fn build(&self, kind: &CredentialConfig) -> Result<Arc<dyn TokenCredential>, String> {
        let built: azure_core::Result<Arc<dyn TokenCredential>> = match kind {
            CredentialConfig::Auto => return Err("automatic is not one credential".to_owned()),
            CredentialConfig::WorkloadIdentity => {
                let mut options = WorkloadIdentityCredentialOptions::default();
                options.credential_options.client_options = self.client_options();
                WorkloadIdentityCredential::new(Some(options)).map(|c| c as _)
            }
            CredentialConfig::ManagedIdentity { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: self.client_options(),
                };
                ManagedIdentityCredential::new(Some(options)).map(|c| c as _)
            }
            CredentialConfig::AzureCli => AzureCliCredential::new(None).map(|c| c as _),
            CredentialConfig::ClientSecret {
                tenant_id,
                client_id,
                secret_file,
            } => {
                let secret = match secret_file {
                    None => setting(None, "AZURE_CLIENT_SECRET")?,
                    Some(path) => std::fs::read_to_string(path)
                        .map(|text| text.trim().to_owned())
                        .map_err(|error| format!("{}: {error}", path.display()))?,
                };
                ClientSecretCredential::new(
                    &setting(tenant_id.as_deref(), "AZURE_TENANT_ID")?,
                    setting(client_id.as_deref(), "AZURE_CLIENT_ID")?,
                    Secret::new(secret),
                    Some(ClientSecretCredentialOptions {
                        client_options: self.client_options(),
                    }),
                )
                .map(|c| c as _)
            }
            CredentialConfig::TokenFile { path } => Ok(Arc::new(TokenFile { path: path.clone() })),
        };
        built.map_err(|error| error.to_string())
    }

    fn client_options(&self) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.authority.to_string();
        ClientOptions {
            transport: Some(Transport::new(self.transport.clone())),
            cloud: Some(Arc::new(cloud.into())),
            ..ClientOptions::default()
        }
    }
}

/// Whether a variable has a value. An empty one is as one that is not set.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Whether there may be a managed identity at all. Asking for one away from Azure
/// means waiting long for an address that does not answer.
async fn look_for_identity() -> Result<(), String> {
    if is_set("IDENTITY_ENDPOINT") {
        return Ok(());
    }
    let connecting = tokio::net::TcpStream::connect(MACHINE_IDENTITY);
    match tokio::time::timeout(LOOK_FOR, connecting).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(format!(
            "{} does not answer; this is no machine of Azure",
            MACHINE_IDENTITY.0
        )),
    }
}

/// The order of `auto`.
fn automatic() -> Vec<CredentialConfig> {
    let mut kinds = Vec::new();
    if is_set("AZURE_CLIENT_SECRET") {
        kinds.push(CredentialConfig::ClientSecret {
            tenant_id: None,
            client_id: None,
            secret_file: None,
        });
    }
    if is_set("AZURE_FEDERATED_TOKEN_FILE") {
        kinds.push(CredentialConfig::WorkloadIdentity);
    }
    kinds.push(CredentialConfig::AzureCli);
    kinds.push(CredentialConfig::ManagedIdentity { client_id: None });
    kinds
}

fn name_of(kind: &CredentialConfig) -> &'static str {
    match kind {
        CredentialConfig::Auto => "automatic",
        CredentialConfig::WorkloadIdentity => "workload identity",
        CredentialConfig::ManagedIdentity { .. } => "managed identity",
        CredentialConfig::AzureCli => "Azure CLI",
        CredentialConfig::ClientSecret { .. } => "client secret",
        CredentialConfig::TokenFile { .. } => "token file",
    }
}

fn setting(given: Option<&str>, variable: &str) -> Result<String, String> {
    match given {
        Some(value) => Ok(value.to_owned()),
        None if is_set(variable) => {
            std::env::var(variable).map_err(|_| format!("{variable} is no text"))
        }
        None => Err(format!("{variable} is not set")),
    }
}

/// A token kept fresh in a file by someone else.
#[derive(Debug)]
struct TokenFile {
    path: PathBuf,
}

#[async_trait]
impl TokenCredential for TokenFile {
    async fn get_token(
        &self,
        _scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let text = tokio::fs::read_to_string(&self.path)
            .await
            .map_err(|error| {
                azure_core::Error::with_message(
                    azure_core::error::ErrorKind::Credential,
                    format!("{}: {error}", self.path.display()),
                )
            })?;
        // When it really ends is in the token, which is opaque; it is read again
        // often enough, and at once when Azure rejects it.
        let soon = OffsetDateTime::now_utc() + 2 * MARGIN;
        Ok(AccessToken::new(text.trim().to_owned(), soon))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// The library asks a virtual machine's identity endpoint at its fixed address
    /// only; a proxy stands in for it here.
    #[tokio::test]
    async fn a_virtual_machine_is_asked_for_its_identity_as_azure_documents() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let answered = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let body = r#"{"access_token":"of-the-machine","expires_on":"4102444800","token_type":"Bearer","resource":"x"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).to_ascii_lowercase()
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .proxy(reqwest::Proxy::http(proxy).unwrap())
            .build()
            .unwrap();
        let config = AzureConfig {
            credential: CredentialConfig::ManagedIdentity {
                client_id: Some("1234".to_owned()),
            },
            ..AzureConfig::default()
        };
        let token = Credential::new(&config, client).token().await.unwrap();
        assert_eq!(token, "of-the-machine");
        let request = answered.await.unwrap();
        let asked = "get http://169.254.169.254/metadata/identity/oauth2/token?";
        assert!(request.starts_with(asked), "{request}");
        assert!(request.contains("metadata: true"), "{request}");
        assert!(request.contains("client_id=1234"), "{request}");
        assert!(
            request.contains("resource=https%3a%2f%2fmanagement.azure.com"),
            "{request}"
        );
    }
}
