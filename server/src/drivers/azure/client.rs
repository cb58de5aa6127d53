//! Requests to ARM: authenticated, bounded, tried again where that is safe.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{
    api_version::api_version, authority::is_loopback, credential::Credential, error::AzureError,
    resource_id::ResourceId, response::ArmResponse, retry::Retries,
};
use crate::drivers::config::{AzureConfig, ms};
use naosu_engine::error::{Code, Error};

/// One request.
#[derive(Clone, Debug)]
pub struct ArmRequest {
    /// HTTP method.
    pub method: Method,
    /// Whole URL.
    pub url: Url,
    /// JSON body.
    pub body: Option<Value>,
    /// ETag that must still hold.
    pub if_match: Option<String>,
    /// Groups the requests of one read or write, in Azure's logs as in ours.
    pub correlation: Uuid,
    /// Whether doing it twice is the same as doing it once: reads, and commands
    /// that only read. Others are sent again only when they certainly never arrived.
    pub repeatable: bool,
}

/// The one client of ARM.
pub struct ArmClient {
    http: reqwest::Client,
    credential: Credential,
    config: AzureConfig,
}

impl ArmClient {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// `invalid_configuration` naming the setting.
    pub fn new(config: &AzureConfig) -> Result<Self, Error> {
        for (name, url) in [
            ("azure.endpoint", &config.endpoint),
            ("azure.authority", &config.authority),
        ] {
            let in_the_clear = url.scheme() == "http" && is_loopback(url);
            if url.scheme() != "https" && !in_the_clear {
                return Err(Error::new(
                    Code::InvalidConfiguration,
                    format!("{name} = \"{url}\" would send tokens in the clear"),
                    "give an https URL; plain http is for loopback only",
                ));
            }
        }
        let http = http_client(config)?;
        Ok(Self {
            credential: Credential::new(config, http.clone()),
            http,
            config: config.clone(),
        })
    }

    /// How the client is bounded.
    pub fn config(&self) -> &AzureConfig {
        &self.config
    }

    /// The URL of a path, in the API version of its type.
    ///
    /// # Errors
    /// [`AzureError::UnknownType`].
    pub fn url(&self, id: &ResourceId) -> Result<Url, AzureError> {
        let version = api_version(id)?;
        let mut url = self.config.endpoint.clone();
        url.set_query(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(id.segments());
        }
        url.query_pairs_mut().append_pair("api-version", version);
        Ok(url)
    }

    /// A URL that ARM gave, which must not lead elsewhere: it gets the token.
    ///
    /// # Errors
    /// [`AzureError::BadResponse`].
    pub fn given_url(&self, text: &str, by: &ArmResponse) -> Result<Url, AzureError> {
        let url = Url::parse(text)
            .map_err(|error| by.bad(&format!("it points to {text:?}, no URL: {error}")))?;
        if url.origin() == self.config.endpoint.origin() {
            Ok(url)
        } else {
            Err(by.bad(&format!(
                "it points to {} instead of {}",
                url.origin().ascii_serialization(),
                self.config.endpoint.origin().ascii_serialization()
            )))
        }
    }

    /// Sends a request and reads its answer, whatever its status.
    ///
    /// # Guarantees
    /// - A rejected token is replaced once.
    /// - 429 is waited out within bounds: ARM refused, so nothing was done.
    /// - A server error or a lost answer is tried again for repeatable requests
    ///   only.
    ///
    /// # Errors
    /// [`AzureError::Credential`], [`AzureError::Unreachable`], or
    /// [`AzureError::BadResponse`] for an answer over the size limit.
    pub async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, AzureError> {
        let mut retries = Retries::new(&self.config.retry);
        let mut may_refresh = true;
        loop {
            let token = self.credential.token().await?;
            let outcome = self.send_once(request, &token).await;
            let delay = match &outcome {
                Ok(response) if response.status == StatusCode::UNAUTHORIZED && may_refresh => {
                    may_refresh = false;
                    self.credential.forget(&token).await;
                    Some(Duration::ZERO)
                }
                Ok(response) if response.status == StatusCode::TOO_MANY_REQUESTS => {
                    retries.next_delay(response.retry_after())
                }
                Ok(response) if request.repeatable && is_transient(response.status) => {
                    retries.next_delay(response.retry_after())
                }
                Err(AzureError::Unreachable { sent, .. }) if request.repeatable || !sent => {
                    retries.next_delay(None)
                }
                _ => None,
            };
            let Some(delay) = delay else { return outcome };
            tracing::debug!(
                correlation = %request.correlation,
                path = request.url.path(),
                delay_ms = delay.as_millis(),
                "request to Azure is tried again"
            );
            tokio::time::sleep(delay).await;
        }
    }

    async fn send_once(
        &self,
        request: &ArmRequest,
        token: &str,
    ) -> Result<ArmResponse, AzureError> {
        let path = request.url.path().to_owned();
        let mut builder = self
            .http
            .request(request.method.clone(), request.url.clone())
            .bearer_auth(token)
            .header("accept", "application/json")
            .header(
                "x-ms-correlation-request-id",
                request.correlation.to_string(),
            )
            .header("x-ms-client-request-id", Uuid::new_v4().to_string())
            .header("x-ms-return-client-request-id", "true");
        if let Some(etag) = &request.if_match {
            builder = builder.header("if-match", etag);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        } else if request.method == Method::POST {
            builder = builder.header("content-length", "0");
        }
        let unreachable = |error: &reqwest::Error| AzureError::Unreachable {
            method: request.method.to_string(),
            path: path.clone(),
            reason: reasons(error),
            sent: !(error.is_connect() || error.is_builder()),
        };
        let mut response = builder.send().await.map_err(|error| unreachable(&error))?;
        let mut answer = ArmResponse {
            method: request.method.clone(),
            path: path.clone(),
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Vec::new(),
        };
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(&error))?
        {
            if (answer.body.len() + chunk.len()) as u64 > self.config.response_limit_bytes {
                return Err(answer.bad(&format!(
                    "the body exceeds {} bytes",
                    self.config.response_limit_bytes
                )));
            }
            answer.body.extend_from_slice(&chunk);
        }
        tracing::debug!(
            method = %request.method,
            path,
            status = answer.status.as_u16(),
            correlation = %request.correlation,
            request_id = answer.header("x-ms-request-id").unwrap_or_default(),
            "Azure answered"
        );
        Ok(answer)
    }
}

/// Whether a read may succeed if it is tried again.
fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// The whole chain of causes: the outermost alone says nothing.
fn reasons(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else {
        String::new()
    };
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(current) = cause {
        let shown = current.to_string();
        if !text.contains(&shown) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&shown);
        }
        cause = current.source();
    }
    if text.is_empty() {
        error.to_string()
    } else {
        text
    }
}

fn http_client(config: &AzureConfig) -> Result<reqwest::Client, Error> {
    super::install_tls_provider();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("naosu/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(ms(config.connect_timeout_ms))
        .timeout(ms(config.request_timeout_ms))
        // ARM never redirects; a redirect would carry the token elsewhere.
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(&config.endpoint) {
        builder = builder.no_proxy();
    }
    if let Some(path) = &config.ca_file {
        let wrong = |reason: String| {
            Error::new(
                Code::InvalidConfiguration,
                format!("azure.ca_file = \"{}\": {reason}", path.display()),
                "give a readable PEM file of certificates",
            )
        };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| wrong(error.to_string()))?;
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| {
        Error::new(
            Code::InvalidConfiguration,
            format!("no HTTPS client can be made: {}", reasons(&error)),
            "check that the system has certificate authorities (package ca-certificates)",
        )
    })
}
