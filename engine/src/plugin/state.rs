//! What a call has: the reads it may make, its meter, its empty WASI.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    Reads,
    bindings::naosu::plugin::{observe, types as guest},
    convert,
    limits::{Limits, Meter},
    output::Output,
    wasi::{self, ObservedClock},
};
use crate::model::{Capability, Query};

/// Reads of one `read-many` that are begun at the same time. How many of them go
/// out at once, and which first, is the snapshot's to say: it knows them all.
const PARALLEL_READS: usize = 2_048;

/// The data of one store.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub meter: Meter,
    pub output: Output,
    clock: ObservedClock,
    granted: Arc<BTreeSet<Capability>>,
    reads: Option<Arc<dyn Reads>>,
    reads_left: usize,
}

impl State {
    pub fn new(
        limits: &Limits,
        granted: &Arc<BTreeSet<Capability>>,
        reads: Option<Arc<dyn Reads>>,
    ) -> Self {
        let output = Output::new(limits.log_bytes);
        let clock = ObservedClock::default();
        Self {
            wasi: wasi::context(&clock, &output),
            table: ResourceTable::new(),
            meter: Meter::new(limits),
            output,
            clock,
            granted: Arc::clone(granted),
            reads,
            reads_left: limits.reads,
        }
    }

    /// The query, if it is well formed and the plugin may make it.
    fn admit(&mut self, asked: guest::Query) -> Result<Query, guest::ObserveError> {
        let query = convert::query(asked)
            .map_err(|e| guest::ObserveError::Invalid(format!("{}: {}", e.field, e.reason)))?;
        let capability = query.capability();
        if !self.granted.contains(&capability) {
            let message = format!("{query} needs the capability {}", capability.as_str());
            return Err(guest::ObserveError::NotGranted(message));
        }
        if query.holds_credentials() {
            let message = format!("{query}: no plugin may read credentials");
            return Err(guest::ObserveError::NotGranted(message));
        }
        self.reads_left = self.reads_left.checked_sub(1).ok_or_else(|| {
            guest::ObserveError::Unavailable("this call has made all its reads".to_owned())
        })?;
        Ok(query)
    }
}

type Answer = Result<guest::Observation, guest::ObserveError>;

async fn answer(
    reads: Option<Arc<dyn Reads>>,
    query: Result<Query, guest::ObserveError>,
) -> Answer {
    let query = query?;
    match reads {
        Some(reads) => convert::observation_to_guest(&*reads.read(&query).await),
        None => Err(guest::ObserveError::Unavailable(
            "describe reads nothing".to_owned(),
        )),
    }
}

impl guest::Host for State {}

impl observe::Host for State {
    async fn read(&mut self, query: guest::Query) -> Answer {
        let query = self.admit(query);
        let answer = answer(self.reads.clone(), query).await;
        if let Ok(observation) = &answer {
            self.clock.advance_to(observation.observed_at);
        }
        answer
    }

    async fn read_many(&mut self, queries: Vec<guest::Query>) -> Vec<Answer> {
        let admitted: Vec<_> = queries.into_iter().map(|query| self.admit(query)).collect();
        let reads = self.reads.clone();
        let answers: Vec<Answer> = stream::iter(admitted)
            .map(|query| answer(reads.clone(), query))
            .buffered(PARALLEL_READS)
            .collect()
            .await;
        for observation in answers.iter().flatten() {
            self.clock.advance_to(observation.observed_at);
        }
        answers
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Links the contract and the empty WASI.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    observe::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    wasi::link(linker)
}
