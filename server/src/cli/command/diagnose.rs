//! `naosu diagnose` and `naosu diagnosis`.

use futures::StreamExt;
use naosu_engine::{
    Code, Error, Naosu,
    facade::{DiagnoseProgress, DiagnoseRequest},
    model::{ClusterId, Diagnosis, DiagnosisId, Symptom, Unreadable},
};
use serde::Serialize;

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
    signal::asked_to_end,
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
        let interrupted = asked_to_end();
        tokio::pin!(interrupted);
        loop {
            let item = tokio::select! {
                item = news.next() => item,
                () = &mut interrupted => {
                    progress.end();
                    printer.note(
                        "interrupted: a diagnosis only reads, so it changed nothing; none was \
                         stored.",
                    );
                    return Ok(Exit::Interrupted);
                }
            };
            match item.transpose()? {
                Some(DiagnoseProgress::Finished { diagnosis }) => {
                    progress.end();
                    show(connection.naosu.as_ref(), printer, &diagnosis).await;
                    return Ok(Exit::of_diagnosis(&diagnosis));
                }
                Some(news) => progress.diagnosing(&news),
                None => break,
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

/// Shows it, to a person with the plans that can be made of it.
async fn show(naosu: &dyn Naosu, printer: &Printer, diagnosis: &Diagnosis) {
    // Which plugins only advise is beside the diagnosis, which is shown without it too.
    let plugins = if printer.is_text() {
        naosu.plugins().await.unwrap_or_default()
    } else {
        Vec::new()
    };
    let shown = Shown {
        diagnosis,
        not_readable: diagnosis.unreadable(),
    };
    printer.value(&shown, |page, shown| {
        render::diagnosis(page, shown.diagnosis, &plugins);
    });
}

/// A diagnosis, and what of it could not be read.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
    not_readable: Vec<Unreadable>,
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
                show(connection.naosu.as_ref(), printer, &diagnosis).await;
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
