//! Recorded reads. One snapshot serves one diagnosis, plan or verification:
//! each query is read once, whoever asks, and replayed from then on.

mod lanes;
mod together;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::{lanes::Lanes, together::Together};

use crate::{
    clock::Clock,
    driver::{Observer, Reading},
    error::Code,
    facade::DiagnoseProgress,
    model::{ClusterId, Observation, ObserveError, ObserveErrorKind, Query},
    plugin::Reads,
};

/// How many different queries one snapshot answers; more is a plugin gone astray.
const QUERIES_AT_MOST: usize = 20_000;

/// How many bytes the answers of one snapshot have together: it holds them all.
const BYTES_AT_MOST: usize = 512 << 20;

/// Told of each read that really happens.
pub type ProgressSink = Arc<dyn Fn(DiagnoseProgress) + Send + Sync>;

type Cell = Arc<OnceCell<Arc<Observation>>>;

/// The reads of one diagnosis, plan or verification.
pub struct Snapshot {
    cluster: ClusterId,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    progress: Option<ProgressSink>,
    lanes: Lanes,
    together: Together,
    cells: Mutex<BTreeMap<Query, Cell>>,
    bytes_left: AtomicUsize,
}

impl Snapshot {
    /// Reads each query once from `observer`.
    pub fn live(cluster: ClusterId, observer: Arc<dyn Observer>, clock: Arc<dyn Clock>) -> Self {
        Self {
            cluster,
            observer: Some(observer),
            clock,
            progress: None,
            lanes: Lanes::default(),
            together: Together::default(),
            cells: Mutex::default(),
            bytes_left: AtomicUsize::new(BYTES_AT_MOST),
        }
    }

    /// Answers from `recorded` alone; anything else is `observation_missing`.
    pub fn replay(
        cluster: ClusterId,
        recorded: impl IntoIterator<Item = Arc<Observation>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let snapshot = Self {
            cluster,
            observer: None,
            clock,
            progress: None,
            lanes: Lanes::default(),
            together: Together::default(),
            cells: Mutex::default(),
            bytes_left: AtomicUsize::new(BYTES_AT_MOST),
        };
        snapshot.with_recorded(recorded)
    }

    /// Replays `recorded` for its queries.
    #[must_use]
    pub fn with_recorded(mut self, recorded: impl IntoIterator<Item = Arc<Observation>>) -> Self {
        let cells = self.cells.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes_left = self.bytes_left.get_mut();
        for observation in recorded {
            // What was recorded is never refused, but counts.
            let bytes = observation.answer.as_ref().map_or(0, |body| body.len());
            *bytes_left = bytes_left.saturating_sub(bytes);
            cells.insert(
                observation.query.clone(),
                Arc::new(OnceCell::new_with(Some(observation))),
            );
        }
        self
    }

    /// Tells `sink` of each read.
    #[must_use]
    pub fn with_progress(mut self, sink: ProgressSink) -> Self {
        self.progress = Some(sink);
        self
    }

    /// Names nodes whose commands wait for no other node's. Nodes named before stay so.
    pub fn lead(&self, nodes: impl IntoIterator<Item = String>) {
        self.lanes.lead(nodes);
    }

    /// The cluster that is read.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Every finished read, in the order of the queries.
    pub fn observations(&self) -> Vec<Arc<Observation>> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.values().filter_map(|c| c.get().cloned()).collect()
    }

    fn cell(&self, query: &Query) -> Option<Cell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(query) {
            return Some(Arc::clone(cell));
        }
        if cells.len() >= QUERIES_AT_MOST {
            return None;
        }
        Some(Arc::clone(cells.entry(query.clone()).or_default()))
    }

    fn tell(&self, progress: DiagnoseProgress) {
        if let Some(sink) = &self.progress {
            sink(progress);
        }
    }

    async fn observe(&self, query: &Query) -> Arc<Observation> {
        let Some(observer) = &self.observer else {
            let message = format!("{query} is not among the recorded observations");
            return self.recorded(query, Err(missing(Code::ObservationMissing, message)));
        };
        self.together.ask(query);
        // Whoever asks at the same moment is to be known before a turn is taken.
        tokio::task::yield_now().await;
        let _pass = self.lanes.enter(query).await;
        let answer = match self.together.answered(query) {
            Some(answer) => answer,
            None => {
                let joined = self.together.joined(query);
                let answer = self.ask(observer.as_ref(), &joined).await;
                self.together.shared(query, &joined, answer)
            }
        };
        let kept = answer.and_then(|reading| self.keep(query, reading));
        self.recorded(query, kept.map(|r| (r.body, r.version)))
    }

    /// Reads, and tells of it.
    async fn ask(&self, observer: &dyn Observer, query: &Query) -> Result<Reading, ObserveError> {
        let what = query.to_string();
        self.tell(DiagnoseProgress::Reading { what: what.clone() });
        let began = tokio::time::Instant::now();
        let answer = observer.observe(&self.cluster, query).await;
        self.tell(DiagnoseProgress::Read {
            what,
            elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ok: answer.is_ok(),
        });
        answer
    }

    /// The reading, if the snapshot may hold that much more.
    fn keep(&self, query: &Query, reading: Reading) -> Result<Reading, ObserveError> {
        let bytes = reading.body.len();
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        let took = self
            .bytes_left
            .fetch_update(set, get, |left| left.checked_sub(bytes));
        took.map(|_| reading).map_err(|left| {
            let message = format!(
                "{query} has {bytes} bytes, and {left} are left of the {BYTES_AT_MOST} that one \
                 snapshot holds at most"
            );
            missing(Code::PluginLimitExceeded, message)
        })
    }

    fn recorded(
        &self,
        query: &Query,
        answer: Result<(String, Option<String>), ObserveError>,
    ) -> Arc<Observation> {
        let (answer, version) = match answer {
            Ok((body, version)) => (Ok(body.into()), version),
            Err(error) => (Err(error), None),
        };
        Arc::new(Observation {
            query: query.clone(),
            digest: Observation::digest_of(&answer),
            answer,
            version,
            observed_at: self.clock.now(),
        })
    }
}

#[async_trait]
impl Reads for Snapshot {
    async fn read(&self, query: &Query) -> Arc<Observation> {
        match self.cell(query) {
            Some(cell) => cell.get_or_init(|| self.observe(query)).await.clone(),
            None => {
                let message =
                    format!("more than {QUERIES_AT_MOST} different reads, {query} the next");
                self.recorded(query, Err(missing(Code::PluginLimitExceeded, message)))
            }
        }
    }
}

fn missing(code: Code, message: String) -> ObserveError {
    ObserveError {
        kind: ObserveErrorKind::Unavailable,
        code,
        message,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::clock::SystemClock;

    const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks";

    /// Counts reads and lets them end when told to.
    struct Counting {
        reads: AtomicU32,
        gate: Semaphore,
    }

    #[async_trait]
    impl Observer for Counting {
        async fn observe(&self, _: &ClusterId, query: &Query) -> Result<Reading, ObserveError> {
            let n = self.reads.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            Ok(Reading {
                body: format!("{query} {n}"),
                version: Some("v".into()),
            })
        }
    }

    fn query(resource: &str) -> Query {
        Query::AzureGet {
            resource: resource.into(),
        }
    }

    #[tokio::test]
    async fn concurrent_equal_reads_share_one_and_each_is_told_once() {
        let observer = Arc::new(Counting {
            reads: AtomicU32::new(0),
            gate: Semaphore::new(0),
        });
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let snapshot = Snapshot::live(
            CLUSTER.parse().unwrap(),
            Arc::clone(&observer) as Arc<dyn Observer>,
            Arc::new(SystemClock),
        )
        .with_progress(Arc::new(move |p| sink.lock().unwrap().push(p)));
        let (a, b) = (query("/a"), query("/b"));
        let opened = async {
            observer.gate.add_permits(2);
        };
        let (first, second, other, ()) = tokio::join!(
            snapshot.read(&a),
            snapshot.read(&a),
            snapshot.read(&b),
            opened
        );
        assert_eq!(first, second);
        assert_ne!(first.answer, other.answer);
        assert_eq!(observer.reads.load(Ordering::SeqCst), 2);
        assert_eq!(told.lock().unwrap().len(), 4);
        assert_eq!(snapshot.observations().len(), 2);
    }

    #[tokio::test]
    async fn a_replay_gives_what_was_recorded_and_nothing_else() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let gate = Semaphore::new(1);
        let reads = AtomicU32::new(7);
        let live = Snapshot::live(
            CLUSTER.parse().unwrap(),
            Arc::new(Counting { reads, gate }),
            Arc::clone(&clock),
        );
        let recorded = live.read(&query("/a")).await;
        let replay = Snapshot::replay(CLUSTER.parse().unwrap(), live.observations(), clock);
        assert_eq!(replay.read(&query("/a")).await, recorded);
        let absent = replay.read(&query("/b")).await.answer.clone().unwrap_err();
        assert_eq!(absent.code, Code::ObservationMissing);
    }

    /// Answers with that many bytes.
    struct Long(usize);

    #[async_trait]
    impl Observer for Long {
        async fn observe(&self, _: &ClusterId, _: &Query) -> Result<Reading, ObserveError> {
            Ok(Reading {
                body: "x".repeat(self.0),
                version: None,
            })
        }
    }

    #[tokio::test]
    async fn a_snapshot_holds_a_bounded_number_of_bytes_and_says_which_read_was_too_much() {
        let mut snapshot = Snapshot::live(
            CLUSTER.parse().unwrap(),
            Arc::new(Long(600)),
            Arc::new(SystemClock),
        );
        snapshot.bytes_left = AtomicUsize::new(1_000);
        assert!(snapshot.read(&query("/a")).await.answer.is_ok());
        let refused = snapshot.read(&query("/b")).await.answer.clone();
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, Code::PluginLimitExceeded);
        assert!(
            refused.message.contains("/b has 600 bytes"),
            "{}",
            refused.message
        );
        let again = snapshot.read(&query("/a")).await;
        assert!(again.answer.is_ok(), "what is held is given again");
    }
}
