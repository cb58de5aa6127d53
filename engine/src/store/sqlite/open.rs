//! Making and opening the file. A file that is not ours, or is damaged, is
//! recognised before anything could write to it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

/// "NAOS", in the header of every store.
const APPLICATION_ID: i32 = 0x4e41_4f53;
/// Version of [`SCHEMA`].
const SCHEMA_VERSION: i32 = 2;
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

/// Opens the store at `path`, making it when nothing is there: a connection
/// for writing and one for reading.
pub(super) fn open(path: &Path) -> Result<(Connection, Connection), StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => {}
        // An empty file is what `touch` or a temporary file gives: nothing to lose.
        Ok(_) => create(path, true)?,
        Err(e) if e.kind() == ErrorKind::NotFound => create(path, false)?,
        Err(e) => return Err(failed(path, &e)),
    }
    check(path)?;
    let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
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
    let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok((writer, reader))
}

/// Makes a complete store beside `path` and links it there in one move, so
/// that no crash leaves half of one.
fn create(path: &Path, replace_empty: bool) -> Result<(), StoreError> {
    let new = beside(path, &format!("new-{}", uuid::Uuid::now_v7()));
    let made = (|| -> Result<(), StoreError> {
        let connection = Connection::open(&new).map_err(|e| failed(&new, &e))?;
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous = FULL;
                 PRAGMA application_id = {APPLICATION_ID};
                 PRAGMA user_version = {SCHEMA_VERSION};
                 BEGIN; {SCHEMA} COMMIT;"
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

/// Whether the file is an undamaged store of this version; reads only.
fn check(path: &Path) -> Result<(), StoreError> {
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
    if version != SCHEMA_VERSION {
        return Err(corrupt(&format!(
            "has schema version {version}; this build reads version {SCHEMA_VERSION}"
        )));
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| corrupt(&e.to_string()))?;
    if verdict == "ok" {
        Ok(())
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
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, why: &impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("{}: {why}", path.display()))
}
