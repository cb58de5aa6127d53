//! `naosu diagnose` and `naosu diagnosis`.

use futures::StreamExt;
use naosu_engine::{
    Code, Error,
    facade::{DiagnoseProgress, DiagnoseRequest},
    model::{ClusterId, DiagnosisId, Symptom},
};

use crate::{
    cli::{
        args::{Diagnose, DiagnosisCommand},
        exit::Exit,
        output::Printer,
        progress::Progress,
        render,
        session::with_connection,
    },
    config::Config,
};

/// Looks at a cluster.
pub async fn diagnose(config: &Config, printer: &Printer, args: Diagnose) -> Result<Exit, Error> {
    let Diagnose {
        cluster,
        symptom,
        nodes,
        plugins,
    } = args;
    let request = DiagnoseRequest {
        cluster: cluster.parse()?,
        symptom: Symptom {
            text: symptom,
            nodes,
        },
        plugins,
    };
    with_connection(config, printer, |connection| async move {
        let progress = Progress::start(printer, "diagnosing");
        let mut news = connection
            .naosu
            .diagnose(&connection.caller.principal, request)
            .await?;
        while let Some(item) = news.next().await {
            match item? {
                DiagnoseProgress::Finished { diagnosis } => {
                    progress.end();
                    printer.value(&*diagnosis, render::diagnosis);
                    return Ok(Exit::Success);
                }
                news => progress.diagnosing(&news),
            }
        }
        Err(Error::new(
            Code::Internal,
            "the diagnosis ended without a result",
            "see the log, then try again",
        ))
    })
    .await
}

/// Reads stored diagnoses.
pub async fn diagnosis(
    config: &Config,
    printer: &Printer,
    args: DiagnosisCommand,
) -> Result<Exit, Error> {
    with_connection(config, printer, |connection| async move {
        match args {
            DiagnosisCommand::Show { id } => {
                let diagnosis = connection.naosu.diagnosis(&DiagnosisId(id)).await?;
                printer.value(&diagnosis, render::diagnosis);
            }
            DiagnosisCommand::List(of) => {
                let cluster = of.cluster.map(|id| id.parse::<ClusterId>()).transpose()?;
                let diagnoses = connection.naosu.diagnoses(cluster.as_ref()).await?;
                printer.value(diagnoses.as_slice(), render::diagnoses);
            }
        }
        Ok(Exit::Success)
    })
    .await
}
