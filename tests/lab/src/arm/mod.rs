//! Azure Resource Manager, Azure Monitor and the token endpoint, emulated over
//! real HTTP to the shapes Azure answers.

mod access;
mod change;
mod cluster_effects;
mod dispatch;
mod error;
mod etag;
mod id;
mod metric_definitions;
mod metrics;
mod network_manager;
mod operations;
mod read;
mod reply;
mod run_command;
mod security_admin_rules;
mod seed;
mod service_tags;
mod settle;
mod shape;
mod state;
mod store;
mod target;
mod tokens;
mod write;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use metrics::MetricSeries;
pub use run_command::{RunCommandEvent, STREAM_LIMIT_BYTES};
pub use seed::resources_of;

use crate::data_plane::{ArmResources, DataPlane, DataPlaneError};
use crate::estate::Estate;
use crate::scenario::Switches;
use crate::wire::{
    CannedResponse, Fault, FaultAction, Faults, HttpServer, Identity, RequestLog, listen,
};
use state::State;

/// How the emulator is served; the estate says what it holds.
#[derive(Clone)]
pub struct ArmOptions {
    /// Port of the plain HTTP listener; 0 takes a free one.
    pub port: u16,
    /// Certificate of a second listener over TLS, on a free port: Azure's
    /// credential libraries only ask for tokens over TLS.
    pub identity: Option<Identity>,
    /// Client that gets tokens.
    pub client_id: String,
    /// Its secret, also the managed identity endpoint's header value.
    pub client_secret: String,
    /// Kubeconfig given out by `listClusterUserCredential`.
    pub kubeconfig: String,
    /// `Retry-After` of unfinished operations.
    pub retry_after_seconds: u32,
    /// Items on a page of a list.
    pub page_size: usize,
}

impl Default for ArmOptions {
    fn default() -> Self {
        Self {
            port: 0,
            identity: None,
            client_id: "c11e0000-0000-4000-8000-000000000001".to_owned(),
            client_secret: "lab-client-secret".to_owned(),
            kubeconfig: String::new(),
            retry_after_seconds: 1,
            page_size: 100,
        }
    }
}

/// The emulator cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ArmServeError {
    /// No listener.
    #[error("listen_failed: cannot listen on loopback: {0}")]
    Listen(#[from] io::Error),
    /// The packets cannot be made to follow the estate.
    #[error(transparent)]
    DataPlane(#[from] DataPlaneError),
}

/// The running emulator; dropping it stops it.
pub struct ArmServer {
    state: Arc<State>,
    faults: Faults,
    requests: RequestLog,
    http: HttpServer,
    tls: Option<HttpServer>,
    client_secret: String,
}

/// Serves the estate's Azure resources.
///
/// # Errors
/// No free port, or a data plane that refuses the estate.
pub async fn serve(
    estate: &Estate,
    switches: &Switches,
    options: ArmOptions,
    data_plane: Arc<dyn DataPlane>,
) -> Result<ArmServer, ArmServeError> {
    let mut locked_groups = BTreeSet::new();
    if estate.cluster.lockdown {
        locked_groups.insert(estate.cluster.node_resource_group().to_ascii_lowercase());
    }
    let nodes = estate.nodes().into_iter();
    let silent = nodes.filter(|node| node.settings.vm_agent_stopped);
    let state = Arc::new(State {
        store: Mutex::new(seed::store_of(estate)),
        operations: operations::Operations::default(),
        tokens: tokens::Tokens::new(
            &estate.cluster.tenant,
            &options.client_id,
            &options.client_secret,
        ),
        metrics: metrics::Metrics::default(),
        run_commands: run_command::RunCommands::new(
            switches.busy_run_commands,
            Duration::from_millis(switches.run_command_milliseconds),
            silent.map(|node| node.name).collect(),
        ),
        service_tags: service_tags::ServiceTags(estate.service_tags.clone()),
        kubeconfig: Mutex::new(options.kubeconfig),
        data_plane,
        endpoint: OnceLock::new(),
        operation_duration: Duration::from_millis(switches.operation_milliseconds),
        retry_after_seconds: options.retry_after_seconds,
        page_size: options.page_size.max(1),
        locked_groups: Mutex::new(locked_groups),
        forbidden: Mutex::new(switches.forbidden_paths.clone()),
        etag_conflicts: AtomicU32::new(switches.etag_conflicts),
        enforcing: tokio::sync::Mutex::new(()),
        stop: CancellationToken::new(),
    });
    state.enforce().await?;
    let faults = switched_faults(switches);
    let requests = RequestLog::default();
    let handler = dispatch::handler(state.clone(), estate.cluster.subscription.clone());
    let http = listen(
        options.port,
        None,
        faults.clone(),
        requests.clone(),
        handler.clone(),
    )
    .await?;
    let tls = match options.identity {
        None => None,
        Some(identity) => Some(
            listen(
                0,
                Some(identity.server_config),
                faults.clone(),
                requests.clone(),
                handler,
            )
            .await?,
        ),
    };
    let _ = state.endpoint.set(format!("http://{}", http.address()));
    Ok(ArmServer {
        state,
        faults,
        requests,
        http,
        tls,
        client_secret: options.client_secret,
    })
}

fn switched_faults(switches: &Switches) -> Faults {
    let faults = Faults::default();
    let throttled = || FaultAction::Respond(CannedResponse::throttled(1));
    let everything = "/subscriptions/*";
    if switches.throttled_requests > 0 {
        let times = switches.throttled_requests;
        faults.inject(Fault::times(times, everything, throttled()));
    }
    if switches.throttled_writes > 0 {
        for method in [Method::PUT, Method::DELETE] {
            faults.inject(Fault {
                method: Some(method),
                ..Fault::times(switches.throttled_writes, everything, throttled())
            });
        }
    }
    if switches.throttled_polls > 0 {
        let path = "/subscriptions/*/operations/*";
        faults.inject(Fault::times(switches.throttled_polls, path, throttled()));
    }
    if switches.async_failures > 0 {
        let code = switches.async_failure_code.clone();
        let message = match code.as_str() {
            "AnotherOperationInProgress" => {
                "Another operation on this or dependent resource is in progress.".to_owned()
            }
            _ => format!("The operation failed: {code}."),
        };
        faults.inject(Fault {
            method: Some(Method::PUT),
            path: "/subscriptions/*".to_owned(),
            times: switches.async_failures,
            action: FaultAction::FailOperation { code, message },
        });
    }
    faults
}

impl ArmServer {
    /// The management endpoint, without a slash at the end.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// The token authority over TLS, when an identity was given.
    pub fn authority(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        Some(format!("https://localhost:{}", tls.address().port()))
    }

    /// The managed identity endpoint, for `IDENTITY_ENDPOINT`; the value for
    /// `IDENTITY_HEADER` is the client secret.
    pub fn managed_identity_endpoint(&self) -> String {
        format!("{}/msi/token", self.endpoint())
    }

    /// Tenant of the token endpoint.
    pub fn tenant(&self) -> &str {
        self.state.tokens.tenant()
    }

    /// Client that gets tokens.
    pub fn client_id(&self) -> &str {
        self.state.tokens.client_id()
    }

    /// Secret of that client.
    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// A bearer token that is accepted for an hour.
    pub fn token(&self) -> String {
        self.state.tokens.issue("https://management.azure.com")
    }

    /// Ends every token given out so far.
    pub fn expire_tokens(&self) {
        self.state.tokens.expire_all();
    }

    /// Faults of the next requests.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every request received.
    pub fn requests(&self) -> &RequestLog {
        &self.requests
    }

    /// A resource as Azure would show it now.
    pub fn resource(&self, id: &str) -> Option<Value> {
        let snapshot = self.state.snapshot();
        snapshot.get(id).cloned()
    }

    /// Every resource as Azure would show it now.
    pub fn snapshot(&self) -> ArmResources {
        self.state.snapshot()
    }

    /// Allows, in a resource group, only reading: a deny assignment as node
    /// resource group lockdown makes it.
    pub fn lock_group(&self, resource_group: &str) {
        self.state
            .locked_groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(resource_group.to_ascii_lowercase());
    }

    /// Takes away every right on request paths that match a pattern, where `*`
    /// stands for any text.
    pub fn forbid(&self, path_pattern: &str) {
        self.state
            .forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path_pattern.to_owned());
    }

    /// From now on only the last bytes of a run command's output are kept, fewer
    /// than the limit: what comes is cut.
    pub fn cut_run_commands(&self, bytes: usize) {
        self.state.run_commands.kept.store(bytes, Ordering::Relaxed);
    }

    /// Lets the next run commands be refused because one is in progress.
    pub fn refuse_run_commands(&self, times: u32) {
        self.state
            .run_commands
            .refusals
            .store(times, Ordering::SeqCst);
    }

    /// What became of run commands so far, in order.
    pub fn run_command_events(&self) -> Vec<RunCommandEvent> {
        self.state.run_commands.events()
    }

    /// Waits until what became of run commands is as it is asked for.
    pub async fn wait_for_run_commands(&self, is_so: impl FnMut(&Vec<RunCommandEvent>) -> bool) {
        self.state.run_commands.wait_until(is_so).await;
    }

    /// Holds run commands where they are, or lets them go on.
    pub fn hold_run_commands(&self, held: bool) {
        self.state.run_commands.hold(held);
    }

    /// Lets someone else write just before each of the next conditional writes.
    pub fn conflict_writes(&self, times: u32) {
        self.state.etag_conflicts.store(times, Ordering::SeqCst);
    }

    /// Adds points to a metric.
    pub fn record_metric(&self, series: MetricSeries) {
        self.state.metrics.record(series);
    }

    /// Sets the kubeconfig given out for the cluster.
    pub fn set_kubeconfig(&self, kubeconfig: &str) {
        kubeconfig.clone_into(
            &mut self
                .state
                .kubeconfig
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

impl Drop for ArmServer {
    fn drop(&mut self) {
        self.state.stop.cancel();
    }
}
