//! The façade of a server elsewhere. Thin: every call is one call.

use std::{fmt, path::PathBuf, time::Duration};

use futures::StreamExt;
use naosu_engine::{
    Code, Error, Naosu,
    facade::{DiagnoseProgress, DiagnoseRequest, ItemStream, PlanFilter, PlanRequest},
    model::{
        ClusterId, Diagnosis, DiagnosisId, Digest, Plan, PlanId, PluginInfo, Principal, Run, RunId,
    },
};
use naosu_proto::v1::{
    self, diagnosis_service_client::DiagnosisServiceClient, plan_service_client::PlanServiceClient,
    plugin_service_client::PluginServiceClient, run_service_client::RunServiceClient,
};
use tonic::{
    Request, Status, Streaming, async_trait,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{
    MAX_ANSWER_BYTES, ROLE_METADATA,
    status::{error_of_status, is_from_naosu},
    wire::{Wire, WireError},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An error's details travel in headers, and a peer's default bound on them is small.
const MAX_HEADER_BYTES: u32 = 256 * 1024;

/// Where a server is and how to be known there.
#[derive(Clone, Default)]
pub struct ServerAddress {
    /// `unix:///run/naosu.sock`, `http://127.0.0.1:7443`, `https://naosu.example:7443`.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// Certificates to trust, in PEM, for https.
    pub ca_file: Option<PathBuf>,
}

/// Without the token: it must not reach a log line.
impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerAddress")
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// A server elsewhere. Connects at the first call, and again when it must.
#[derive(Clone)]
pub struct Client {
    url: String,
    channel: InterceptedService<Channel, Introduction>,
}

/// How each call says who asks.
#[derive(Clone)]
struct Introduction {
    token: Option<MetadataValue<Ascii>>,
    is_assistant: bool,
}

impl Interceptor for Introduction {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            metadata.insert("authorization", token.clone());
        }
        if self.is_assistant {
            metadata.insert(ROLE_METADATA, MetadataValue::from_static("assistant"));
        }
        Ok(request)
    }
}

impl Client {
    /// A client of the server at `address`.
    ///
    /// # Errors
    /// `invalid_configuration` when the address, the token or the certificate is malformed.
    pub fn new(address: &ServerAddress) -> Result<Self, Error> {
        Self::introduced(address, false)
    }

    /// A client that asks as an AI assistant of whom the server knows by token or
    /// socket: it may do less than that person, and what it does is recorded as its own.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn of_assistant(address: &ServerAddress) -> Result<Self, Error> {
        Self::introduced(address, true)
    }

    fn introduced(address: &ServerAddress, is_assistant: bool) -> Result<Self, Error> {
        let invalid = |problem: String, next: &str| {
            Error::new(
                Code::InvalidConfiguration,
                format!("server {:?}: {problem}", address.url),
                next,
            )
        };
        let mut endpoint = Endpoint::from_shared(address.url.clone())
            .map_err(|e| {
                invalid(
                    e.to_string(),
                    "give unix:///<path>, http://<host>:<port> or https://<host>:<port>",
                )
            })?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_adaptive_window(true)
            .keep_alive_while_idle(true);
        if address.url.starts_with("https:") {
            let mut tls = ClientTlsConfig::new();
            if let Some(path) = &address.ca_file {
                let pem = std::fs::read(path).map_err(|e| {
                    invalid(
                        format!("{}: {e}", path.display()),
                        "give a PEM file by `client.ca_file`",
                    )
                })?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|e| invalid(e.to_string(), "give a PEM file by `client.ca_file`"))?;
        }
        let token = match &address.token {
            Some(token) => {
                let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
                    .parse()
                    .map_err(|_| invalid("the token is not ASCII".into(), "give another token"))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            url: address.url.clone(),
            channel: InterceptedService::new(
                endpoint.connect_lazy(),
                Introduction {
                    token,
                    is_assistant,
                },
            ),
        })
    }

    fn plugin_service(&self) -> PluginServiceClient<InterceptedService<Channel, Introduction>> {
        PluginServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    fn diagnosis_service(
        &self,
    ) -> DiagnosisServiceClient<InterceptedService<Channel, Introduction>> {
        DiagnosisServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    fn plan_service(&self) -> PlanServiceClient<InterceptedService<Channel, Introduction>> {
        PlanServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    fn run_service(&self) -> RunServiceClient<InterceptedService<Channel, Introduction>> {
        RunServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// What a failed call means; names the server when it did not answer at all.
    fn failed(&self) -> impl Fn(Status) -> Error + Clone + Send + 'static {
        let url = self.url.clone();
        move |status| {
            let mut error = error_of_status(&status);
            if error.code == Code::ServerUnreachable && !is_from_naosu(&status) {
                error.message = format!(
                    "the server at {url} does not answer: {}",
                    innermost(&status)
                );
            }
            error
        }
    }
}

/// The cause at the bottom: "Connection refused" says more than "transport error".
fn innermost(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => cause.to_string(),
    }
}

fn answer<W, T: Wire<W>>(wire: W) -> Result<T, Error> {
    T::from_wire(wire).map_err(WireError::of_response)
}

fn items<M: Send + 'static, T: Send + 'static>(
    stream: Streaming<M>,
    failed: impl Fn(Status) -> Error + Send + 'static,
    item: impl Fn(M) -> Result<T, Error> + Send + 'static,
) -> ItemStream<T> {
    Box::pin(stream.map(move |message| message.map_err(&failed).and_then(&item)))
}

/// The principal is the server's to tell, by token, socket and introduction; what is
/// passed is ignored.
#[async_trait]
impl Naosu for Client {
    async fn plugins(&self) -> Result<Vec<PluginInfo>, Error> {
        let request = v1::ListPluginsRequest {};
        let response = self.plugin_service().list_plugins(request).await;
        answer(response.map_err(self.failed())?.into_inner().plugins)
    }

    async fn plugin(&self, id: &str) -> Result<PluginInfo, Error> {
        let request = v1::GetPluginRequest { id: id.to_owned() };
        let response = self.plugin_service().get_plugin(request).await;
        answer(response.map_err(self.failed())?.into_inner().plugin)
    }

    async fn diagnose(
        &self,
        _principal: &Principal,
        request: DiagnoseRequest,
    ) -> Result<ItemStream<DiagnoseProgress>, Error> {
        let DiagnoseRequest {
            cluster,
            symptom,
            plugins,
        } = request;
        let request = v1::DiagnoseRequest {
            cluster: cluster.into_wire(),
            symptom: symptom.into_wire(),
            plugins,
        };
        let response = self.diagnosis_service().diagnose(request).await;
        let stream = response.map_err(self.failed())?.into_inner();
        Ok(items(stream, self.failed(), answer))
    }

    async fn diagnosis(&self, id: &DiagnosisId) -> Result<Diagnosis, Error> {
        let request = v1::GetDiagnosisRequest { id: id.0.clone() };
        let response = self.diagnosis_service().get_diagnosis(request).await;
        answer(response.map_err(self.failed())?.into_inner().diagnosis)
    }

    async fn diagnoses(&self, cluster: Option<&ClusterId>) -> Result<Vec<Diagnosis>, Error> {
        let request = v1::ListDiagnosesRequest {
            cluster: cluster.map(ToString::to_string),
        };
        let response = self.diagnosis_service().list_diagnoses(request).await;
        answer(response.map_err(self.failed())?.into_inner().diagnoses)
    }

    async fn create_plan(
        &self,
        _principal: &Principal,
        request: PlanRequest,
    ) -> Result<Plan, Error> {
        let PlanRequest {
            diagnosis,
            plugin,
            parameters,
        } = request;
        let request = v1::CreatePlanRequest {
            diagnosis: diagnosis.0,
            plugin,
            parameters_json: serde_json::Value::Object(parameters).into_wire(),
        };
        let response = self.plan_service().create_plan(request).await;
        answer(response.map_err(self.failed())?.into_inner().plan)
    }

    async fn plan(&self, id: &PlanId) -> Result<Plan, Error> {
        let request = v1::GetPlanRequest { id: id.0.clone() };
        let response = self.plan_service().get_plan(request).await;
        answer(response.map_err(self.failed())?.into_inner().plan)
    }

    async fn plans(&self, filter: &PlanFilter) -> Result<Vec<Plan>, Error> {
        let request = v1::ListPlansRequest {
            cluster: filter.cluster.as_ref().map(ToString::to_string),
            state: filter.state.map(Wire::into_wire).unwrap_or_default(),
        };
        let response = self.plan_service().list_plans(request).await;
        answer(response.map_err(self.failed())?.into_inner().plans)
    }

    async fn approve(
        &self,
        _principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        comment: &str,
    ) -> Result<Plan, Error> {
        let request = v1::ApprovePlanRequest {
            id: id.0.clone(),
            digest: digest.to_string(),
            comment: comment.to_owned(),
        };
        let response = self.plan_service().approve_plan(request).await;
        answer(response.map_err(self.failed())?.into_inner().plan)
    }

    async fn reject(
        &self,
        _principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        comment: &str,
    ) -> Result<Plan, Error> {
        let request = v1::RejectPlanRequest {
            id: id.0.clone(),
            digest: digest.to_string(),
            comment: comment.to_owned(),
        };
        let response = self.plan_service().reject_plan(request).await;
        answer(response.map_err(self.failed())?.into_inner().plan)
    }

    async fn apply(&self, _principal: &Principal, id: &PlanId) -> Result<Run, Error> {
        let request = v1::ApplyPlanRequest { plan: id.0.clone() };
        let response = self.run_service().apply_plan(request).await;
        answer(response.map_err(self.failed())?.into_inner().run)
    }

    async fn run(&self, id: &RunId) -> Result<Run, Error> {
        let request = v1::GetRunRequest { id: id.0.clone() };
        let response = self.run_service().get_run(request).await;
        answer(response.map_err(self.failed())?.into_inner().run)
    }

    async fn runs(&self, cluster: Option<&ClusterId>) -> Result<Vec<Run>, Error> {
        let request = v1::ListRunsRequest {
            cluster: cluster.map(ToString::to_string),
        };
        let response = self.run_service().list_runs(request).await;
        answer(response.map_err(self.failed())?.into_inner().runs)
    }

    async fn watch_run(&self, id: &RunId) -> Result<ItemStream<Run>, Error> {
        let request = v1::WatchRunRequest { id: id.0.clone() };
        let response = self.run_service().watch_run(request).await;
        let stream = response.map_err(self.failed())?.into_inner();
        Ok(items(stream, self.failed(), |message| answer(message.run)))
    }

    async fn rollback(&self, _principal: &Principal, id: &RunId) -> Result<Run, Error> {
        let request = v1::RollbackRunRequest { id: id.0.clone() };
        let response = self.run_service().rollback_run(request).await;
        answer(response.map_err(self.failed())?.into_inner().run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_in_no_debug_output() {
        let address = ServerAddress {
            token: Some("secret".to_owned()),
            ..ServerAddress::default()
        };
        let printed = format!("{address:?} {address:#?}");
        assert!(!printed.contains("secret"), "{printed}");
        assert!(printed.contains("token: Some"), "{printed}");
    }
}
