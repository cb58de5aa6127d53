//! Run Command v1 on scale-set instances: out of band, one at a time, the exit
//! code hidden and each stream cut to its last 4,096 bytes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::error::ArmError;
use super::id::ArmPath;
use super::operations::urls;
use super::reply::{Family, Reply};
use super::state::State;
use crate::data_plane::NodeName;
use crate::wire::Received;

/// How much of each stream is kept.
pub const STREAM_LIMIT_BYTES: usize = 4096;

/// What became of a run command, as the emulator saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommandEvent {
    /// It was begun on this node.
    Started(NodeName),
    /// It ended, well or not.
    Ended(NodeName),
    /// It was refused since another one was in progress, or as if one were.
    Refused(NodeName),
}

/// Which instances are running a command.
#[derive(Debug)]
pub(super) struct RunCommands {
    busy: Mutex<BTreeSet<String>>,
    /// Everything that happened, in order.
    events: watch::Sender<Vec<RunCommandEvent>>,
    /// Whether commands that were begun do not go on for now.
    held: watch::Sender<bool>,
    /// How many further commands are refused as if one were running.
    pub refusals: AtomicU32,
    /// How long a command takes at least.
    pub duration: Duration,
    /// How much of each stream is kept, in bytes.
    pub kept: AtomicUsize,
    /// Nodes whose VM agent does not answer.
    silent: BTreeSet<NodeName>,
}

impl RunCommands {
    /// Commands that take at least `duration`, the first `refusals` refused, and
    /// none that is run on `silent` nodes.
    pub fn new(refusals: u32, duration: Duration, silent: BTreeSet<NodeName>) -> Self {
        Self {
            busy: Mutex::default(),
            events: watch::Sender::default(),
            held: watch::Sender::default(),
            refusals: AtomicU32::new(refusals),
            duration,
            kept: AtomicUsize::new(STREAM_LIMIT_BYTES),
            silent,
        }
    }

    /// Everything that happened so far, in order.
    pub fn events(&self) -> Vec<RunCommandEvent> {
        self.events.borrow().clone()
    }

    /// Waits until what happened so far is as it is asked for.
    pub async fn wait_until(&self, is_so: impl FnMut(&Vec<RunCommandEvent>) -> bool) {
        // The sender is not dropped while it is borrowed here.
        let _ = self.events.subscribe().wait_for(is_so).await;
    }

    /// Holds commands where they are, or lets them go on.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    async fn released(&self) {
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    fn start(&self, instance_id: &str, node: &NodeName) -> bool {
        let refused = State::take_one(&self.refusals);
        let mut busy = self.lock();
        let is_started = !refused && busy.insert(instance_id.to_ascii_lowercase());
        self.note(match is_started {
            true => RunCommandEvent::Started(node.clone()),
            false => RunCommandEvent::Refused(node.clone()),
        });
        is_started
    }

    fn end(&self, instance_id: &str, node: &NodeName) {
        let mut busy = self.lock();
        busy.remove(&instance_id.to_ascii_lowercase());
        self.note(RunCommandEvent::Ended(node.clone()));
    }

    /// Noted while it is decided who is busy, so that the order is the true one.
    fn note(&self, event: RunCommandEvent) {
        self.events.send_modify(|events| events.push(event));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles `POST …/virtualMachines/{i}/runCommand`.
pub(super) fn post(
    state: &Arc<State>,
    request: &Received,
    path: &ArmPath,
    api_version: &str,
) -> Result<Reply, ArmError> {
    let instance_id = path.parent_id();
    let (location, node) = {
        let store = state.store();
        let Some(instance) = store.get(&instance_id) else {
            return Err(ArmError::new(
                StatusCode::NOT_FOUND,
                "InstanceIdNotFound",
                format!("The instance of '{instance_id}' was not found."),
            ));
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&instance.body["location"]),
            NodeName(text(
                &instance.body["properties"]["osProfile"]["computerName"],
            )),
        )
    };
    let script = script(request)?;
    if !state.run_commands.start(&instance_id, &node) {
        return Err(ArmError::new(
            StatusCode::CONFLICT,
            "Conflict",
            "Run command extension execution is in progress. Please wait for completion before invoking a run command.",
        ));
    }
    let operation = state
        .operations
        .begin(Family::Compute, "RunCommand", &instance_id, false);
    let urls = urls(
        state.endpoint(),
        Family::Compute,
        &path.subscription,
        &location,
        api_version,
        operation,
    );
    let failure = request.fail_operation.clone();
    let task = state.clone();
    tokio::spawn(async move {
        let running = async {
            task.run_commands.released().await;
            tokio::time::sleep(task.run_commands.duration).await;
            task.run_commands.released().await;
            match failure {
                Some((code, message)) => Err(ArmError::new(StatusCode::CONFLICT, &code, message)),
                None => run(&task, &node, &script).await,
            }
        };
        let ended = tokio::select! {
            () = task.stop.cancelled() => return,
            ended = running => ended,
        };
        task.run_commands.end(&instance_id, &node);
        match ended {
            Ok(output) => task.operations.succeed(operation, Some(output)),
            Err(error) => task.operations.fail(operation, &error),
        }
    });
    Ok(Reply::empty(StatusCode::ACCEPTED)
        .header("azure-asyncoperation", urls.status)
        .header("azure-asyncnotification", "Enabled")
        .header("location", urls.result)
        .header("retry-after", state.retry_after_seconds.to_string()))
}

fn script(request: &Received) -> Result<String, ArmError> {
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| {
        ArmError::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContent",
            format!("The request content was invalid and could not be deserialized: '{error}'."),
        )
    })?;
    match body["commandId"].as_str() {
        Some("RunShellScript") => {}
        other => {
            return Err(ArmError::new(
                StatusCode::BAD_REQUEST,
                "InvalidParameter",
                format!(
                    "The entity was not found: run command '{}'.",
                    other.unwrap_or_default()
                ),
            )
            .with_target("commandId"));
        }
    }
    let lines: Vec<&str> = body["script"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Ok(lines.join("\n"))
}

async fn run(state: &State, node: &NodeName, script: &str) -> Result<Value, ArmError> {
    let no_agent = |reason: &str| {
        ArmError::new(
            StatusCode::CONFLICT,
            "VMAgentStatusCommunicationError",
            format!("VM '{node}' has not reported status for VM agent or extensions: {reason}"),
        )
    };
    if state.run_commands.silent.contains(node) {
        return Err(no_agent("the agent did not answer"));
    }
    let output = state.data_plane.run_on_node(node, script).await;
    let output = output.map_err(|error| no_agent(&error.to_string()))?;
    let limit = state.run_commands.kept.load(Ordering::Relaxed);
    let message = format!(
        "Enable succeeded: \n[stdout]\n{}\n[stderr]\n{}",
        kept(&output.stdout, limit),
        kept(&output.stderr, limit)
    );
    Ok(json!({ "value": [{
        "code": "ProvisioningState/succeeded",
        "level": "Info",
        "displayStatus": "Provisioning succeeded",
        "message": message,
    }]}))
}

/// The end of a stream, as text.
fn kept(stream: &[u8], limit: usize) -> String {
    let from = stream.len().saturating_sub(limit);
    String::from_utf8_lossy(stream.get(from..).unwrap_or_default()).into_owned()
}
