//! Diagnoses.

use futures::StreamExt as _;
use jiff::Timestamp;
use naosu_engine::{
    Code, Error,
    facade::{DiagnoseProgress, DiagnoseRequest},
    model::{ClusterId, Diagnosis, DiagnosisId, Judgement, Symptom},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::{
    answer::DiagnosisAnswer,
    catalog::{Call, Entry, LOOK, Nature, OfCluster},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhatToDiagnose {
    /// ARM resource id of the managed cluster.
    cluster: String,
    /// What was seen.
    #[serde(default)]
    symptom: Seen,
    /// Only these plugins; empty for all.
    #[serde(default)]
    plugins: Vec<String>,
}

/// What was seen. As a symptom of the model, but a field that is mistyped is told.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The error text as pasted.
    #[serde(default)]
    text: String,
    /// Names or addresses of nodes concerned, where the text names none.
    #[serde(default)]
    nodes: Vec<String>,
}

/// `diagnose`
pub(super) fn diagnose() -> Result<Entry, String> {
    Entry::new(
        "diagnose",
        "Diagnose a cluster",
        "Looks at a cluster and judges every cause: confirmed, suspected, unknown or ruled_out, \
         each with the evidence that decides. Reads Azure, Kubernetes and nodes; changes nothing \
         on them. Takes seconds to a few minutes. 'cluster' is the ARM resource id of the managed \
         cluster; 'symptom.text' the error as the user pasted it; the answer's 'hint' says what that \
         means and whether it is a fault of the tunnel at all.",
        Nature {
            read_only: false,
            destructive: false,
            idempotent: false,
            open_world: true,
        },
        |call, what: WhatToDiagnose| async move {
            let request = DiagnoseRequest {
                cluster: what.cluster.parse()?,
                symptom: Symptom {
                    text: what.symptom.text,
                    nodes: what.symptom.nodes,
                },
                plugins: what.plugins,
            };
            let diagnosis = follow(&call, request).await?;
            Ok(DiagnosisAnswer::new(diagnosis, false))
        },
    )
}

async fn follow(call: &Call, request: DiagnoseRequest) -> Result<Diagnosis, Error> {
    let mut progress = call.naosu.diagnose(&call.principal, request).await?;
    while let Some(item) = progress.next().await {
        match item? {
            DiagnoseProgress::Reading { .. } => {}
            DiagnoseProgress::Read { what, ok, .. } => {
                (call.progress)(format!(
                    "{} {what}",
                    if ok { "read" } else { "could not read" }
                ));
            }
            DiagnoseProgress::Judged { plugin, judgement } => {
                (call.progress)(format!("{plugin}: {}", words(judgement)));
            }
            DiagnoseProgress::Finished { diagnosis } => return Ok(*diagnosis),
        }
    }
    Err(Error::new(
        Code::Internal,
        "the diagnosis ended without a result",
        "diagnose again",
    ))
}

fn words(judgement: Option<Judgement>) -> &'static str {
    match judgement {
        Some(Judgement::Confirmed) => "confirmed",
        Some(Judgement::Suspected) => "suspected",
        Some(Judgement::Unknown) => "unknown",
        Some(Judgement::RuledOut) => "ruled out",
        None => "gave no finding",
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichDiagnosis {
    /// Id of the diagnosis: "dia-…".
    diagnosis: DiagnosisId,
    /// Whether to give the recorded reads too; they can be long.
    #[serde(default)]
    include_observations: bool,
}

/// `get_diagnosis`
pub(super) fn get() -> Result<Entry, String> {
    Entry::new(
        "get_diagnosis",
        "Read a diagnosis",
        "Gives a stored diagnosis with all findings and their evidence.",
        LOOK,
        |call, which: WhichDiagnosis| async move {
            let diagnosis = call.naosu.diagnosis(&which.diagnosis).await?;
            Ok(DiagnosisAnswer::new(diagnosis, which.include_observations))
        },
    )
}

#[derive(Serialize, JsonSchema)]
struct Diagnoses {
    /// Newest first.
    diagnoses: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    id: DiagnosisId,
    cluster: ClusterId,
    finished_at: Timestamp,
    /// Plugins whose cause is confirmed.
    confirmed: Vec<String>,
    /// Plugins whose cause is suspected, where none is confirmed.
    suspected: Vec<String>,
}

impl From<Diagnosis> for Row {
    fn from(diagnosis: Diagnosis) -> Self {
        let judged = |sure: Judgement| -> Vec<String> {
            let findings = diagnosis.findings.iter();
            let of_this = findings.filter(|finding| finding.judgement == sure);
            of_this.map(|finding| finding.plugin.clone()).collect()
        };
        let confirmed = judged(Judgement::Confirmed);
        Self {
            suspected: if confirmed.is_empty() {
                judged(Judgement::Suspected)
            } else {
                Vec::new()
            },
            confirmed,
            id: diagnosis.id,
            cluster: diagnosis.cluster,
            finished_at: diagnosis.finished_at,
        }
    }
}

/// `list_diagnoses`
pub(super) fn list() -> Result<Entry, String> {
    Entry::new(
        "list_diagnoses",
        "List diagnoses",
        "Lists stored diagnoses, newest first, with what each confirmed or, \
         where it confirmed nothing, suspects.",
        LOOK,
        |call, of: OfCluster| async move {
            let diagnoses = call.naosu.diagnoses(of.id()?.as_ref()).await?;
            let rows = diagnoses.into_iter().map(Row::from);
            Ok(Diagnoses {
                diagnoses: rows.collect(),
            })
        },
    )
}
