//! What a call has: the reads it may make, its meter, its empty WASI.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    Reads,
    bindings::naosu::plugin::{observe, types as guest},
    convert,
    failures::Failures,
    limits::{Limits, Meter},
    names,
    output::Output,
    wasi::{self, ObservedClock},
};
use crate::{
    error::Code,
    model::{Capability, ClusterId, Observation, ObserveErrorKind, Query},
};

/// Reads of one `read-many` that are begun at the same time. How many of them go
/// out at once, and which first, is the snapshot's to say: it knows them all.
const PARALLEL_READS: usize = 2_048;

/// What a call is about, and where it reads.
pub(super) struct Scope {
    pub cluster: ClusterId,
    pub reads: Arc<dyn Reads>,
}

/// The data of one store.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub meter: Meter,
    pub output: Output,
    pub failures: Failures,
    clock: ObservedClock,
    granted: Arc<BTreeSet<Capability>>,
    /// `None` for a call that reads nothing.
    scope: Option<Scope>,
    limits: Limits,
    reads_left: usize,
    answer_bytes_left: usize,
}

impl State {
    pub fn new(limits: &Limits, granted: &Arc<BTreeSet<Capability>>, scope: Option<Scope>) -> Self {
        let output = Output::new(limits.log_bytes);
        let clock = ObservedClock::default();
        Self {
            wasi: wasi::context(&clock, &output),
            table: ResourceTable::new(),
            meter: Meter::new(limits),
            output,
            failures: Failures::default(),
            clock,
            granted: Arc::clone(granted),
            scope,
            limits: *limits,
            reads_left: limits.reads,
            answer_bytes_left: limits.answer_bytes,
        }
    }

    /// The query, if it is well formed and the plugin may make it.
    async fn admit(&mut self, asked: guest::Query) -> Result<Query, guest::ObserveError> {
        use ObserveErrorKind::{Invalid, NotGranted};
        let query = match convert::query(asked) {
            Ok(query) => query,
            Err(wrong) => {
                let message = format!("{}: {}", wrong.field, wrong.reason);
                let code = Code::PluginMisbehaved;
                return Err(self.failures.refused(Invalid, code, message));
            }
        };
        let not_granted = |state: &mut Self, why: String| {
            let code = Code::ObservationNotGranted;
            Err(state
                .failures
                .refused(NotGranted, code, format!("{query}{why}")))
        };
        let capability = query.capability();
        if !self.granted.contains(&capability) {
            let why = format!(" needs the capability {}", capability.as_str());
            return not_granted(self, why);
        }
        if query.holds_credentials() {
            return not_granted(self, ": no plugin may read credentials".to_owned());
        }
        if let Some(name) = names::resolved_by(&query)
            && !self.is_own_name(name).await?
        {
            let why = format!(
                ": {name:?} is no name of the cluster's API server, and no other is resolved \
                 for a plugin; give an address"
            );
            return not_granted(self, why);
        }
        match self.reads_left.checked_sub(1) {
            Some(left) => self.reads_left = left,
            None => {
                let reads = self.limits.reads;
                return Err(self.over(format!("this call has made all its {reads} reads")));
            }
        }
        Ok(query)
    }

    /// Whether a name may be resolved for the guest.
    async fn is_own_name(&mut self, name: &str) -> Result<bool, guest::ObserveError> {
        let Some(scope) = &self.scope else {
            return Ok(false);
        };
        let cluster = scope.reads.read(&names::query(&scope.cluster)).await;
        names::is_own(name, &cluster).map_err(|error| {
            self.failures.observed(cluster);
            convert::observe_error_to_guest(&error)
        })
    }

    fn over(&mut self, message: String) -> guest::ObserveError {
        let kind = ObserveErrorKind::Unavailable;
        self.failures
            .refused(kind, Code::PluginLimitExceeded, message)
    }

    /// Copies for the guest what was read, if it may still be given that much.
    fn hand_over(&mut self, observed: Observed) -> Answer {
        let observation = observed?;
        let bytes = match &observation.answer {
            Ok(body) => body.len(),
            Err(error) => error.message.len(),
        };
        let Some(left) = self.answer_bytes_left.checked_sub(bytes) else {
            let allowed = self.limits.answer_bytes;
            let query = &observation.query;
            return Err(self.over(format!(
                "{query} has {bytes} bytes, too many: one call is given at most {allowed} bytes \
                 of answers"
            )));
        };
        self.answer_bytes_left = left;
        match &observation.answer {
            Ok(body) => {
                let given = convert::observation_to_guest(&observation, body);
                self.clock.advance_to(given.observed_at);
                Ok(given)
            }
            Err(error) => {
                let told = convert::observe_error_to_guest(error);
                self.failures.observed(observation);
                Err(told)
            }
        }
    }
}

type Observed = Result<Arc<Observation>, guest::ObserveError>;
type Answer = Result<guest::Observation, guest::ObserveError>;

/// Shares what was read; nothing is copied yet.
async fn observed(
    reads: Option<Arc<dyn Reads>>,
    query: Result<Query, guest::ObserveError>,
) -> Observed {
    let query = query?;
    match reads {
        Some(reads) => Ok(reads.read(&query).await),
        None => Err(guest::ObserveError::Unavailable(
            "describe reads nothing".to_owned(),
        )),
    }
}

impl guest::Host for State {}

impl observe::Host for State {
    async fn read(&mut self, query: guest::Query) -> Answer {
        let query = self.admit(query).await;
        let reads = self.scope.as_ref().map(|scope| Arc::clone(&scope.reads));
        let observed = observed(reads, query).await;
        self.hand_over(observed)
    }

    async fn read_many(&mut self, queries: Vec<guest::Query>) -> Vec<Answer> {
        let mut admitted = Vec::with_capacity(queries.len());
        for query in queries {
            admitted.push(self.admit(query).await);
        }
        let reads = self.scope.as_ref().map(|scope| Arc::clone(&scope.reads));
        let all: Vec<Observed> = stream::iter(admitted)
            .map(|query| observed(reads.clone(), query))
            .buffered(PARALLEL_READS)
            .collect()
            .await;
        all.into_iter().map(|one| self.hand_over(one)).collect()
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
