//! Microsoft Entra's token endpoint: client secrets, federated assertions, and
//! the managed identity endpoint of App Service, which is plain HTTP.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::reply::Reply;
use crate::wire::Received;

const LIFETIME: Duration = Duration::from_secs(3599);

/// The tokens given out, and who may have one.
pub struct Tokens {
    tenant: String,
    client_id: String,
    client_secret: String,
    valid_until: Mutex<HashMap<String, Instant>>,
}

/// Why a token is refused.
pub(super) enum TokenProblem {
    /// Not one of this endpoint's.
    Unknown,
    /// Too old.
    Expired {
        /// When it ended.
        expiry: jiff::Timestamp,
    },
}

impl Tokens {
    /// An endpoint that knows one client.
    pub(super) fn new(tenant: &str, client_id: &str, client_secret: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            valid_until: Mutex::default(),
        }
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Makes a token that is accepted for an hour.
    pub(super) fn issue(&self, audience: &str) -> String {
        let now = jiff::Timestamp::now().as_second();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{}/", self.tenant),
            "iat": now,
            "exp": now + LIFETIME.as_secs().cast_signed(),
            "appid": self.client_id,
            "tid": self.tenant,
            "uti": Uuid::new_v4().to_string(),
        });
        let header = json!({ "typ": "JWT", "alg": "none" });
        let token = format!("{}.{}.", part(&header), part(&claims));
        self.lock().insert(token.clone(), Instant::now() + LIFETIME);
        token
    }

    /// Ends every token given out so far, as if its hour were over.
    pub(super) fn expire_all(&self) {
        let now = Instant::now();
        for until in self.lock().values_mut() {
            *until = now;
        }
    }

    pub(super) fn check(&self, token: &str) -> Result<(), TokenProblem> {
        match self.lock().get(token) {
            None => Err(TokenProblem::Unknown),
            Some(until) if *until <= Instant::now() => {
                let ago = until.elapsed();
                Err(TokenProblem::Expired {
                    expiry: jiff::Timestamp::now()
                        .checked_sub(ago)
                        .unwrap_or(jiff::Timestamp::UNIX_EPOCH),
                })
            }
            Some(_) => Ok(()),
        }
    }

    /// Answers a request of the token endpoints; `None` for any other path.
    pub(super) fn answer(&self, request: &Received, endpoint: &str) -> Option<Reply> {
        let path = request.uri.path();
        if path == "/msi/token" {
            return Some(self.managed_identity(request));
        }
        let (tenant, rest) = path.trim_start_matches('/').split_once('/')?;
        match rest {
            "oauth2/v2.0/token" if request.method == Method::POST => {
                Some(self.client_credentials(tenant, request))
            }
            "v2.0/.well-known/openid-configuration" => Some(Reply::json(
                StatusCode::OK,
                json!({
                    "token_endpoint": format!("{endpoint}/{tenant}/oauth2/v2.0/token"),
                    "token_endpoint_auth_methods_supported":
                        ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                    "issuer": format!("{endpoint}/{tenant}/v2.0"),
                    "authorization_endpoint": format!("{endpoint}/{tenant}/oauth2/v2.0/authorize"),
                }),
            )),
            _ => None,
        }
    }

    fn client_credentials(&self, tenant: &str, request: &Received) -> Reply {
        let form: HashMap<String, String> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if !tenant.eq_ignore_ascii_case(&self.tenant) {
            return refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                90_002,
                &format!("Tenant '{tenant}' not found."),
            );
        }
        if field("grant_type") != "client_credentials" {
            return refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                70_003,
                "The app requested an unsupported grant type.",
            );
        }
        if field("client_id") != self.client_id {
            return refusal(
                StatusCode::BAD_REQUEST,
                "unauthorized_client",
                700_016,
                &format!(
                    "Application with identifier '{}' was not found in the directory '{tenant}'.",
                    field("client_id")
                ),
            );
        }
        let by_assertion = field("client_assertion_type")
            == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            && !field("client_assertion").is_empty();
        if !by_assertion && field("client_secret") != self.client_secret {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                7_000_215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
            );
        }
        let audience = field("scope").trim_end_matches("/.default");
        Reply::json(
            StatusCode::OK,
            json!({
                "token_type": "Bearer",
                "expires_in": LIFETIME.as_secs(),
                "ext_expires_in": LIFETIME.as_secs(),
                "access_token": self.issue(audience),
            }),
        )
    }

    fn managed_identity(&self, request: &Received) -> Reply {
        if request.header("x-identity-header") != Some(self.client_secret.as_str()) {
            return Reply::json(
                StatusCode::UNAUTHORIZED,
                json!({ "statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong." }),
            );
        }
        let resource = request.query("resource").unwrap_or_default();
        let expires_on = jiff::Timestamp::now().as_second() + LIFETIME.as_secs().cast_signed();
        Reply::json(
            StatusCode::OK,
            json!({
                "access_token": self.issue(&resource),
                "expires_on": expires_on.to_string(),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": self.client_id,
            }),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.valid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(status: StatusCode, error: &str, number: u64, message: &str) -> Reply {
    let trace = Uuid::new_v4().to_string();
    let time = jiff::Timestamp::now()
        .strftime("%Y-%m-%d %H:%M:%SZ")
        .to_string();
    Reply::json(
        status,
        json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {message} Trace ID: {trace} Correlation ID: {trace} Timestamp: {time}"),
            "error_codes": [number],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": trace,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        }),
    )
}
