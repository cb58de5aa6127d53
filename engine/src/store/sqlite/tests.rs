use std::{fs, path::PathBuf, sync::Arc};

use jiff::Timestamp;

use super::*;
use crate::{
    model::{
        Decision, Digest, Entry, Event, Observation, Principal, Query, Symptom, observations_digest,
    },
    store::RunRecord,
};

const CLUSTER: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("naosu.db")
    }
    fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path())
    }
}

fn entry(run: &str, sequence: u64, event: Event) -> Entry {
    Entry {
        run: RunId(run.into()),
        sequence,
        at: Timestamp::UNIX_EPOCH,
        event,
    }
}

fn run(id: &str, plan: &str, cluster: &str) -> RunRecord {
    let started = Event::Started {
        plan: PlanId(plan.into()),
        digest: Digest::of_bytes(plan.as_bytes()),
        principal: Principal::person("alice"),
    };
    RunRecord {
        id: RunId(id.into()),
        plan: PlanId(plan.into()),
        cluster: cluster.parse().unwrap(),
        step_count: 1,
        entries: vec![entry(id, 0, started)],
    }
}

fn diagnosis() -> Diagnosis {
    let seen = |resource: &str, body: &str| {
        let answer = Ok(body.into());
        Arc::new(Observation {
            query: Query::AzureGet {
                resource: resource.to_owned(),
            },
            digest: Observation::digest_of(&answer),
            answer,
            version: Some("W/\"1\"".to_owned()),
            observed_at: Timestamp::UNIX_EPOCH,
        })
    };
    let observations = vec![seen("/a", "{}"), seen("/b", "[1]")];
    Diagnosis {
        id: DiagnosisId("dia-1".into()),
        cluster: CLUSTER.parse().unwrap(),
        symptom: Symptom::default(),
        hint: None,
        tunnel: None,
        requester: Principal::person("alice"),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        findings: Vec::new(),
        failures: Vec::new(),
        observations_digest: observations_digest(&observations).unwrap(),
        observations,
    }
}

#[tokio::test]
async fn a_diagnosis_is_read_with_its_observations_and_listed_without() {
    let place = Place::new();
    let store = place.open().unwrap();
    let diagnosis = diagnosis();
    store.add_diagnosis(&diagnosis).await.unwrap();
    let read = store.diagnosis(&diagnosis.id).await.unwrap();
    assert_eq!(read.as_ref(), Some(&diagnosis));
    let listed = store.diagnoses(Some(&diagnosis.cluster), 9).await.unwrap();
    let bare = Diagnosis {
        observations: Vec::new(),
        ..diagnosis
    };
    assert_eq!(listed, [bare]);
}

#[tokio::test]
async fn observations_that_are_not_those_that_were_read_are_told() {
    let spoil: [fn(&mut Diagnosis); 4] = [
        |d| Arc::make_mut(&mut d.observations[0]).answer = Ok("{ }".into()),
        |d| Arc::make_mut(&mut d.observations[1]).version = None,
        |d| d.observations[0] = Arc::clone(&d.observations[1]),
        |d| d.observations.truncate(1),
    ];
    for spoil in spoil {
        let place = Place::new();
        let store = place.open().unwrap();
        let mut spoilt = diagnosis();
        spoil(&mut spoilt);
        store.add_diagnosis(&spoilt).await.unwrap();
        let read = store.diagnosis(&spoilt.id).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    }
}

#[tokio::test]
async fn what_planning_read_is_checked_against_its_digests() {
    let place = Place::new();
    let store = place.open().unwrap();
    let mut observations = diagnosis().observations;
    Arc::make_mut(&mut observations[0]).answer = Ok("{ }".into());
    let inputs = PlanInputs {
        observations,
        ..PlanInputs::default()
    };
    let inputs = rows::encode(&inputs).unwrap();
    let id = "plan-1".to_owned();
    store
        .writer
        .call(move |c| rows::add_plan(c, (&id, "c", "d"), "{}", &inputs))
        .await
        .unwrap();
    let read = store.plan_inputs(&PlanId("plan-1".into())).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
}

/// Rows that runs refer to; what they say is of no matter here.
async fn add_plans(store: &SqliteStore, ids: &[&str]) {
    for id in ids {
        let id = (*id).to_owned();
        store
            .writer
            .call(move |c| rows::add_plan(c, (&id, "c", "d"), "{}", "{}"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let place = Place::new();
    let first = run("run-1", "plan-1", CLUSTER);
    {
        let store = place.open().unwrap();
        add_plans(&store, &["plan-1"]).await;
        store.add_run(&first).await.unwrap();
        store
            .append(&entry("run-1", 1, Event::VerifyStarted), Activity::Active)
            .await
            .unwrap();
    }
    let store = place.open().unwrap();
    let read = store.run(&RunId("run-1".into())).await.unwrap().unwrap();
    assert_eq!(read.entries.len(), 2);
    assert_eq!(read.entries[0], first.entries[0]);
    assert_eq!(store.active_runs().await.unwrap(), vec![read]);
}

#[tokio::test]
async fn a_plan_rejected_since_it_was_found_approved_is_not_applied() {
    let place = Place::new();
    let store = place.open().unwrap();
    add_plans(&store, &["plan-1"]).await;
    let plan = PlanId("plan-1".into());
    for (number, decision) in [(0, Decision::Approve), (1, Decision::Reject)] {
        let approval = Approval {
            principal: Principal::person("alice"),
            decision,
            digest: Digest::of_bytes(b"d"),
            comment: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        store.add_approval(&plan, number, &approval).await.unwrap();
    }
    let begun = store.add_run(&run("run-1", "plan-1", CLUSTER)).await;
    let plan = "plan-1".to_owned();
    assert_eq!(begun, Err(StoreError::PlanRejected { plan }));
    assert!(store.active_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_is_applied_at_most_once_and_a_cluster_has_one_active_run() {
    let place = Place::new();
    let store = place.open().unwrap();
    add_plans(&store, &["plan-1", "plan-2", "plan-3"]).await;
    store
        .add_run(&run("run-1", "plan-1", CLUSTER))
        .await
        .unwrap();
    let again = store.add_run(&run("run-2", "plan-1", CLUSTER)).await;
    assert!(matches!(again, Err(StoreError::PlanAlreadyApplied { .. })));
    // Azure's ids do not heed case.
    let busy = store
        .add_run(&run("run-2", "plan-2", &CLUSTER.to_uppercase()))
        .await;
    assert_eq!(
        busy,
        Err(StoreError::ClusterBusy {
            run: "run-1".into()
        })
    );
    let end = entry("run-1", 1, Event::Succeeded);
    store.append(&end, Activity::Ended).await.unwrap();
    store
        .add_run(&run("run-2", "plan-2", CLUSTER))
        .await
        .unwrap();
    // Taking run-1 back would make two.
    let back = entry("run-1", 2, Event::VerifyStarted);
    let back = store.append(&back, Activity::Active).await;
    assert!(matches!(back, Err(StoreError::ClusterBusy { .. })));
}

#[tokio::test]
async fn of_two_writers_of_one_sequence_number_the_second_is_refused() {
    let place = Place::new();
    let (one, two) = (place.open().unwrap(), place.open().unwrap());
    add_plans(&one, &["plan-1"]).await;
    one.add_run(&run("run-1", "plan-1", CLUSTER)).await.unwrap();
    let next = entry("run-1", 1, Event::VerifyStarted);
    two.append(&next, Activity::Active).await.unwrap();
    let late = one.append(&next, Activity::Active).await;
    assert!(matches!(late, Err(StoreError::Taken { number: 1, .. })));
    let gap = entry("run-1", 3, Event::VerifyStarted);
    assert!(one.append(&gap, Activity::Active).await.is_err());
}

#[tokio::test]
async fn concurrent_begins_of_one_plan_have_exactly_one_winner() {
    let place = Place::new();
    let store = Arc::new(place.open().unwrap());
    add_plans(&store, &["plan-1"]).await;
    let begins = (0..8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            store
                .add_run(&run(&format!("run-{n}"), "plan-1", CLUSTER))
                .await
                .is_ok()
        })
    });
    let mut winners = 0;
    for begin in begins.collect::<Vec<_>>() {
        winners += u32::from(begin.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[test]
fn only_one_opening_executes_until_it_is_dropped() {
    let place = Place::new();
    let one = place.open().unwrap();
    let two = place.open().unwrap();
    assert!(one.try_become_executor().unwrap());
    assert!(one.try_become_executor().unwrap());
    assert!(!two.try_become_executor().unwrap());
    assert_eq!(two.executor(), Some(std::process::id()));
    drop(one);
    assert!(two.try_become_executor().unwrap());
}

/// Opens a file of these bytes, expecting `store_corrupt` and the same bytes after.
fn refused_untouched(place: &Place, bytes: &[u8]) {
    fs::write(place.path(), bytes).unwrap();
    let error = place.open().err();
    assert!(matches!(error, Some(StoreError::Corrupt(_))), "{error:?}");
    assert_eq!(fs::read(place.path()).unwrap(), bytes);
}

#[test]
fn foreign_damaged_and_newer_files_are_refused_and_left_untouched() {
    let place = Place::new();
    refused_untouched(&place, b"not a database, but somebody's notes");

    let other = place.0.path().join("other.db");
    let foreign = rusqlite::Connection::open(&other).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(foreign);
    refused_untouched(&place, &fs::read(&other).unwrap());

    fs::remove_file(place.path()).unwrap();
    drop(place.open().unwrap());
    let good = fs::read(place.path()).unwrap();

    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    refused_untouched(&place, &newer);

    let mut damaged = good.clone();
    let page = 4096;
    damaged[page..page + 64].fill(0xff);
    refused_untouched(&place, &damaged);

    refused_untouched(&place, &good[..good.len() / 2]);

    fs::write(place.path(), &good).unwrap();
    assert!(place.open().is_ok());
}

#[test]
fn an_empty_file_becomes_a_store() {
    let place = Place::new();
    fs::write(place.path(), b"").unwrap();
    drop(place.open().unwrap());
    assert!(place.open().is_ok());
}

#[tokio::test]
async fn a_former_executor_appends_nothing_once_another_became_it() {
    let place = Place::new();
    let (one, two) = (place.open().unwrap(), place.open().unwrap());
    add_plans(&one, &["plan-1", "plan-2"]).await;
    assert!(one.try_become_executor().unwrap());
    one.add_run(&run("run-1", "plan-1", CLUSTER)).await.unwrap();
    // Someone removes the lock, and with it what kept the second from becoming it.
    fs::remove_file(place.0.path().join("naosu.db.executor.lock")).unwrap();
    assert!(two.try_become_executor().unwrap());
    let next = entry("run-1", 1, Event::VerifyStarted);
    let late = one.append(&next, Activity::Active).await;
    assert_eq!(late, Err(StoreError::NotTheExecutor));
    let late = one.add_run(&run("run-2", "plan-2", CLUSTER)).await;
    assert_eq!(late, Err(StoreError::NotTheExecutor));
    two.append(&next, Activity::Active).await.unwrap();
}

#[test]
fn a_store_under_two_names_has_one_executor() {
    let place = Place::new();
    let one = place.open().unwrap();
    let other_name = place.0.path().join("linked.db");
    std::os::unix::fs::symlink(place.path(), &other_name).unwrap();
    let two = SqliteStore::open(&other_name).unwrap();
    assert!(one.try_become_executor().unwrap());
    assert!(!two.try_become_executor().unwrap());
    drop(one);
    assert!(two.try_become_executor().unwrap());
}

/// The modes of the files in the store's folder, by name.
fn modes(place: &Place) -> std::collections::BTreeMap<String, u32> {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(place.0.path()).unwrap().map(|file| {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().mode() & 0o7777;
        (file.file_name().into_string().unwrap(), mode)
    });
    files.collect()
}

#[test]
fn nobody_else_may_open_a_file_of_the_store_new_or_old() {
    use std::os::unix::fs::PermissionsExt;
    // SAFETY: it only sets the mask of new files, to the usual one.
    unsafe { nix::libc::umask(0o022) };
    let place = Place::new();
    let store = place.open().unwrap();
    assert!(store.try_become_executor().unwrap());
    let made = modes(&place);
    let names = [
        "naosu.db",
        "naosu.db-shm",
        "naosu.db-wal",
        "naosu.db.executor.lock",
    ];
    assert_eq!(made.keys().collect::<Vec<_>>(), names);
    assert!(made.values().all(|mode| *mode == 0o600), "{made:?}");
    // As an older version left them.
    for name in names {
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(place.0.path().join(name), open).unwrap();
    }
    let second = place.open().unwrap();
    assert!(!second.try_become_executor().unwrap());
    let mended = modes(&place);
    assert!(mended.values().all(|mode| *mode == 0o600), "{mended:?}");
}

#[tokio::test]
async fn a_store_of_the_version_before_is_brought_to_this_one() {
    let place = Place::new();
    let store = place.open().unwrap();
    add_plans(&store, &["plan-1"]).await;
    drop(store);
    let older = rusqlite::Connection::open(place.path()).unwrap();
    older
        .execute_batch("DROP TABLE executor; PRAGMA user_version = 2;")
        .unwrap();
    drop(older);
    let store = place.open().unwrap();
    assert!(store.try_become_executor().unwrap());
    store
        .add_run(&run("run-1", "plan-1", CLUSTER))
        .await
        .unwrap();
}
