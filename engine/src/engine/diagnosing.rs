//! One look at a cluster by all plugins, over one snapshot.

use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use super::Engine;
use crate::{
    effect::facts::ClusterFacts,
    error::{Code, Error},
    facade::{DiagnoseProgress, DiagnoseRequest, ItemStream},
    model::{
        Diagnosis, DiagnosisId, Evidence, Finding, Hint, Judgement, PluginFailure, Principal,
        Symptom, diagnosis::next_of, observations_digest,
    },
    planning::not_loaded,
    plugin::{Plugin, Reads},
    run::Tools,
    snapshot::Snapshot,
    symptom, tunnel,
};

/// How many plugins judge at once.
const CONCURRENT_PLUGINS: usize = 16;

type Sender = mpsc::UnboundedSender<Result<DiagnoseProgress, Error>>;

impl Engine {
    pub(super) fn begin_diagnosis(
        &self,
        principal: &Principal,
        request: DiagnoseRequest,
    ) -> Result<ItemStream<DiagnoseProgress>, Error> {
        let all = &self.tools.plugins;
        let plugins = if request.plugins.is_empty() {
            all.values().cloned().collect()
        } else {
            let wanted = request.plugins.iter();
            wanted
                .map(|id| all.get(id).cloned().ok_or_else(|| not_loaded(id)))
                .collect::<Result<Vec<_>, _>>()?
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let looking = Looking {
            tools: Arc::clone(&self.tools),
            plugins,
            requester: principal.clone(),
            request,
            sender: sender.clone(),
        };
        tokio::spawn(async move {
            // Nobody listening ends it: reading alone leaves nothing behind.
            tokio::select! {
                () = sender.closed() => {}
                last = looking.look() => {
                    let last = last.map(|diagnosis| DiagnoseProgress::Finished {
                        diagnosis: Box::new(diagnosis),
                    });
                    drop(sender.send(last));
                }
            }
        });
        Ok(Box::pin(UnboundedReceiverStream::new(receiver)))
    }
}

struct Looking {
    tools: Arc<Tools>,
    plugins: Vec<Arc<dyn Plugin>>,
    requester: Principal,
    request: DiagnoseRequest,
    sender: Sender,
}

impl Looking {
    async fn look(&self) -> Result<Diagnosis, Error> {
        let tools = &self.tools;
        let cluster = &self.request.cluster;
        let started_at = tools.clock.now();
        let progress = self.sender.clone();
        let snapshot = Arc::new(
            Snapshot::live(
                cluster.clone(),
                Arc::clone(&tools.observer),
                Arc::clone(&tools.clock),
            )
            .with_progress(Arc::new(move |p| drop(progress.send(Ok(p))))),
        );
        // A cluster that is not there, or not to be read, is no diagnosis.
        let facts = snapshot.read(&ClusterFacts::query(cluster)).await;
        ClusterFacts::of(&facts)?;
        self.require_kubeconfig(&snapshot).await?;
        let (mut hint, told) = self.hint(&snapshot).await;
        if let Some(hint) = &hint {
            snapshot.lead(hint.nodes.iter().cloned());
        }
        let request = DiagnoseRequest {
            symptom: told,
            ..self.request.clone()
        };
        let judging = |plugin: &Arc<dyn Plugin>| {
            let (plugin, snapshot) = (Arc::clone(plugin), Arc::clone(&snapshot));
            in_its_own_task(plugin, request.clone(), snapshot, self.sender.clone())
        };
        let judged: Vec<_> = self.plugins.iter().map(judging).collect();
        let judging = stream::iter(judged)
            .buffer_unordered(CONCURRENT_PLUGINS)
            .collect();
        let named = hint.as_ref().map(|hint| hint.nodes.clone());
        let probing = self.probe(Arc::clone(&snapshot), named.unwrap_or_default());
        let (judged, looked): (Vec<Result<Finding, PluginFailure>>, _) =
            tokio::join!(judging, probing);
        if let Some(looked) = looked {
            let reads: Arc<dyn Reads> = Arc::clone(&snapshot) as _;
            looked.ways(&reads, &snapshot.observations()).await;
        }
        let (mut findings, mut failures) = (Vec::new(), Vec::new());
        for result in judged {
            match result {
                Ok(finding) => findings.push(finding),
                Err(failure) => {
                    findings.extend(self.unjudged(&failure));
                    failures.push(failure);
                }
            }
        }
        // What the text speaks for comes first among equals, and never more.
        let rank = |cause: &str| hint.as_ref().map_or(0, |hint| hint.rank(cause));
        findings.sort_by_key(|f: &Finding| {
            let place = (f.judgement, f.infeasible.is_some(), rank(&f.cause));
            (place, f.plugin.clone())
        });
        for finding in &mut findings {
            if let Some(hint) = &hint {
                hint.sort_evidence(finding);
            }
        }
        failures.sort_by(|a: &PluginFailure, b| a.plugin.cmp(&b.plugin));
        let observations = snapshot.observations();
        let tunnel = tunnel::among(&observations);
        if let Some(hint) = &mut hint {
            hint.weigh(tunnel.as_ref());
        }
        let diagnosis = Diagnosis {
            id: DiagnosisId(format!("dia-{}", uuid::Uuid::now_v7())),
            cluster: cluster.clone(),
            symptom: self.request.symptom.clone(),
            hint,
            tunnel,
            requester: self.requester.clone(),
            started_at,
            finished_at: tools.clock.now().max(started_at),
            findings,
            failures,
            observations_digest: observations_digest(&observations)?,
            observations,
        };
        tools.store.add_diagnosis(&diagnosis).await?;
        Ok(diagnosis)
    }

    /// A kubeconfig that is none is for its owner to correct: without it nothing about
    /// the tunnel can be told. Every plugin lists the nodes as well, so this costs no
    /// read of its own.
    async fn require_kubeconfig(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let nodes = snapshot.read(&tunnel::all_nodes()).await;
        match &nodes.answer {
            Err(error) if error.code == Code::KubeconfigInvalid => {
                let message = error.message.clone();
                Err(Error::new(error.code, message, next_of(error.code)))
            }
            _ => Ok(()),
        }
    }

    /// Asks the tunnel beside the plugins, unless only some of them are wanted.
    async fn probe(&self, snapshot: Arc<Snapshot>, first: Vec<String>) -> Option<tunnel::Looked> {
        if !self.request.plugins.is_empty() {
            return None;
        }
        let reads: Arc<dyn Reads> = snapshot;
        tunnel::look(&reads, &first).await
    }

    /// The finding of a cause whose plugin gave none: it is not known.
    fn unjudged(&self, failure: &PluginFailure) -> Option<Finding> {
        let mut plugins = self.plugins.iter().map(|plugin| plugin.info());
        let info = plugins.find(|info| info.id == failure.plugin)?;
        let PluginFailure { plugin, error } = failure;
        Some(Finding {
            plugin: plugin.clone(),
            cause: info.cause.clone(),
            judgement: Judgement::Unknown,
            summary: format!("It could not be judged: {}", error.message),
            evidence: vec![Evidence {
                resource: format!("plugin/{plugin}"),
                field: "failure".to_owned(),
                value: error.code.as_str().to_owned(),
                observed_at: self.tools.clock.now(),
                meaning: "its plugin gave no finding, so the cause may be there or not".to_owned(),
            }],
            required_flows: Vec::new(),
            infeasible: None,
            subject: serde_json::Value::Null,
        })
    }

    /// What the symptom says, and how plugins are told of it.
    async fn hint(&self, snapshot: &Snapshot) -> (Option<Hint>, Symptom) {
        let given = &self.request.symptom;
        let Some(mut hint) = symptom::read(given) else {
            return (None, given.clone());
        };
        // Every plugin lists the nodes as well, so this costs no read of its own.
        let nodes = snapshot.read(&tunnel::all_nodes()).await;
        let Ok(nodes) = tunnel::nodes_in(&nodes) else {
            return (Some(hint), given.clone());
        };
        hint.locate(given, &nodes);
        let told = hint.symptom_for_plugins(given);
        (Some(hint), told)
    }
}

/// Judges in a task, so that plugins compute on all processors. Dropping the
/// future ends the task.
async fn in_its_own_task(
    plugin: Arc<dyn Plugin>,
    request: DiagnoseRequest,
    snapshot: Arc<Snapshot>,
    sender: Sender,
) -> Result<Finding, PluginFailure> {
    let id = plugin.info().id.clone();
    let judging = tokio::spawn(judge(plugin, request, snapshot, sender));
    AbortOnDropHandle::new(judging).await.unwrap_or_else(|e| {
        let message = format!("{id} did not end as it should: {e}");
        Err(PluginFailure {
            plugin: id,
            error: Error::new(Code::Internal, message, "report it"),
        })
    })
}

async fn judge(
    plugin: Arc<dyn Plugin>,
    request: DiagnoseRequest,
    snapshot: Arc<Snapshot>,
    sender: Sender,
) -> Result<Finding, PluginFailure> {
    let reads: Arc<dyn Reads> = snapshot;
    let result = plugin
        .diagnose(&request.cluster, &request.symptom, reads)
        .await;
    let id = &plugin.info().id;
    drop(sender.send(Ok(DiagnoseProgress::Judged {
        plugin: id.clone(),
        judgement: result.as_ref().ok().map(|f| f.judgement),
    })));
    match result {
        // Whose finding it is, is not the plugin's to say.
        Ok(finding) => Ok(Finding {
            plugin: id.clone(),
            ..finding
        }),
        Err(error) => Err(PluginFailure {
            plugin: id.clone(),
            error,
        }),
    }
}

/// The moment, as everyone in the engine takes it.
pub(super) fn now(engine: &Engine) -> Timestamp {
    engine.tools.clock.now()
}
