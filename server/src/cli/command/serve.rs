//! `naosu serve`.

use naosu_engine::{Code, Error};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::exit::Exit, config::Config, embed::Embedded, grpc::serve::bind, signal::asked_to_end,
};

/// Serves until the process is asked to end.
pub async fn serve(config: &Config) -> Result<Exit, Error> {
    if config.listen.unix.is_none() && config.listen.tcp.is_none() {
        return Err(Error::new(
            Code::InvalidConfiguration,
            "listen.unix and listen.tcp are both absent",
            "set one: --set listen.unix=/run/naosu/naosu.sock",
        ));
    }
    // Before the engine, which resumes runs.
    let asked = asked_to_end();
    tokio::pin!(asked);
    // The address first: one that is taken must not start the engine.
    let bound = bind(&config.listen).await?;
    let embedded = tokio::select! {
        biased;
        started = Embedded::start(config) => started?,
        () = &mut asked => return Ok(Exit::Success),
    };
    let tcp = bound.tcp_address();
    tracing::info!(unix = ?config.listen.unix, ?tcp, "serving");
    if let Some(path) = &config.listen.unix {
        eprintln!("serving on unix://{}", path.display());
    }
    if let Some(address) = tcp {
        eprintln!("serving on {address}");
    }
    let stop = CancellationToken::new();
    let serving = bound.serve(embedded.naosu(), config.authenticator.clone(), stop.clone());
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => {
            embedded.shutdown().await;
            served
        }
        () = &mut asked => {
            eprintln!("asked to end: effects in flight are finished and journaled first");
            stop.cancel();
            // Together: no run may begin another effect while a call is waited for.
            tokio::join!(serving, embedded.shutdown()).0
        }
    };
    served.map(|()| Exit::Success)
}
