//! Making and opening the file. A file that is not ours, or is damaged, is
//! recognised before anything could write to it.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::private::{PRIVATE, make_private};
use crate::store::StoreError;

/// "NAOS", in the header of every store.
const APPLICATION_ID: i32 = 0x4e41_4f53;
/// Version of [`SCHEMA`].
const SCHEMA_VERSION: i32 = 3;
/// The oldest version that is brought to this one.
const OLDEST_VERSION: i32 = 2;
/// How long one process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE diagnoses (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  cluster TEXT NOT NULL,
  body TEXT NOT NULL,
  observations BLOB NOT NULL
) STRICT;
CREATE INDEX diagnoses_of_cluster ON diagnoses (cluster);
CREATE TABLE plans (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  cluster TEXT NOT NULL,
  digest TEXT NOT NULL,
  content TEXT NOT NULL,
  inputs TEXT NOT NULL
) STRICT;
CREATE INDEX plans_of_cluster ON plans (cluster);
CREATE TABLE approvals (
  plan TEXT NOT NULL REFERENCES plans (id),
  number INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (plan, number)
) STRICT;
CREATE TABLE runs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  plan TEXT NOT NULL UNIQUE REFERENCES plans (id),
  cluster TEXT NOT NULL,
  cluster_id TEXT NOT NULL,
  step_count INTEGER NOT NULL,
  active INTEGER NOT NULL CHECK (active IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX one_active_run_of_cluster ON runs (cluster) WHERE active = 1;
CREATE TABLE entries (
  run TEXT NOT NULL REFERENCES runs (id),
  sequence INTEGER NOT NULL,
  at TEXT NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (run, sequence)
) STRICT;
";

/// What version 3 brought: how often someone became the executor.
const EXECUTOR: &str = "
CREATE TABLE executor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO executor (one, epoch) VALUES (1, 0);
";

/// An open store.
pub(super) struct Opened {
    /// Where it is, whatever way it was named: no symbolic link is left in it.
    pub path: PathBuf,
    pub writer: Connection,
    pub reader: Connection,
}

/// Opens the store at `path`, making it when nothing is there: a connection
/// for writing and one for reading.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => {}
        // An empty file is what `touch` or a temporary file gives: nothing to lose.
        Ok(_) => create(path, true)?,
        Err(e) if e.kind() == ErrorKind::NotFound => create(path, false)?,
        Err(e) => return Err(failed(path, &e)),
    }
    // Two names of one file are one store: its other files go by the one true name.
    let path = &path.canonicalize().map_err(|e| failed(path, &e))?;
    let version = check(path)?;
    for file in [path.clone(), with(path, "-wal"), with(path, "-shm")] {
        make_private(&file);
    }
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String = writer
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|e| failed(path, &e))?;
    if mode != "wal" {
        let why = format!("journal mode is {mode}, not wal; is it on a network file system?");
        return Err(failed(path, &why));
    }
    writer
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(|e| failed(path, &e))?;
    if version != SCHEMA_VERSION {
        upgrade(&mut writer).map_err(|e| failed(path, &e))?;
    }
    let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(Opened {
        path: path.clone(),
        writer,
        reader,
    })
}

/// Brings a store of an older version to this one, in one transaction.
fn upgrade(writer: &mut Connection) -> rusqlite::Result<()> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    // Another process may have done it meanwhile.
    if version == OLDEST_VERSION {
        transaction.execute_batch(EXECUTOR)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()
}

/// Makes a complete store beside `path` and links it there in one move, so
/// that no crash leaves half of one.
fn create(path: &Path, replace_empty: bool) -> Result<(), StoreError> {
    let new = beside(path, &format!("new-{}", uuid::Uuid::now_v7()));
    let made = (|| -> Result<(), StoreError> {
        // Its other files take their mode from it.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&new)
            .map_err(|e| failed(&new, &e))?;
        let connection = Connection::open(&new).map_err(|e| failed(&new, &e))?;
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous = FULL;
                 PRAGMA application_id = {APPLICATION_ID};
                 PRAGMA user_version = {SCHEMA_VERSION};
                 BEGIN; {SCHEMA} {EXECUTOR} COMMIT;"
            ))
            .map_err(|e| failed(&new, &e))?;
        drop(connection);
        if replace_empty {
            return fs::rename(&new, path).map_err(|e| failed(path, &e));
        }
        match fs::hard_link(&new, path) {
            // Another process made it at the same moment: as good.
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(failed(path, &e)),
            _ => Ok(()),
        }
    })();
    // After a rename there is nothing left to remove.
    drop(fs::remove_file(&new));
    made?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| failed(parent, &e))
}

/// The version of the file, if it is an undamaged store that this build can open;
/// reads only.
fn check(path: &Path) -> Result<i32, StoreError> {
    let corrupt = |why: &str| StoreError::Corrupt(format!("{}: {why}", path.display()));
    let mut header = Vec::with_capacity(100);
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(|e| failed(path, &e))?;
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(corrupt("is not an SQLite file"));
    }
    // Offset 68 of the header; written before the file is ever in WAL mode.
    if header.get(68..72) != Some(&APPLICATION_ID.to_be_bytes()) {
        return Err(corrupt("is not a store of Naosu"));
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let version: i32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|e| corrupt(&e.to_string()))?;
    if !(OLDEST_VERSION..=SCHEMA_VERSION).contains(&version) {
        return Err(corrupt(&format!(
            "has schema version {version}; this build reads versions {OLDEST_VERSION} to \
             {SCHEMA_VERSION}"
        )));
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| corrupt(&e.to_string()))?;
    if verdict == "ok" {
        Ok(version)
    } else {
        Err(corrupt(&format!("is damaged: {verdict}")))
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| failed(path, &e))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(|e| failed(path, &e))?;
    Ok(connection)
}

/// `path` with a further suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    with(path, &format!(".{suffix}"))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn failed(path: &Path, why: &impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("{}: {why}", path.display()))
}
