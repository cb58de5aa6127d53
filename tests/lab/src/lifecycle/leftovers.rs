//! What killed labs left: their directories and the processes their scripts started.
//!
//! Namespaces are never left: they have no names, and the kernel takes them away with the last
//! process in them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::state_directory::Owner;
use crate::machine::OWNER_VARIABLE;

/// A directory that got no owner within this time never will.
const UNFINISHED_LIMIT: Duration = Duration::from_secs(60);

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Ids of the labs whose owner is dead.
    pub labs: Vec<String>,
    /// How many of their processes still ran.
    pub processes: usize,
}

/// Removes everything labs below `base` left whose owner is dead. Running labs are not touched.
pub fn remove_leftovers(base: &Path) -> Removed {
    let mut removed = Removed::default();
    let Ok(entries) = std::fs::read_dir(base) else {
        return removed;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if let Some(lab_id) = name.strip_prefix('.') {
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_none_or(|age| age < UNFINISHED_LIMIT) {
                continue;
            }
            removed.labs.push(lab_id.to_owned());
        } else {
            match Owner::of_directory(&entry.path()) {
                Some(owner) if !owner.is_alive() => {
                    removed.processes += end_processes_of(&name);
                    removed.labs.push(name);
                }
                _ => continue,
            }
        }
        let _ = std::fs::remove_dir_all(entry.path());
    }
    removed.labs.sort_unstable();
    removed
}

/// Kills every process that carries a lab's id in its environment, as all that its scripts start
/// do, and says how many there were.
pub(super) fn end_processes_of(lab_id: &str) -> usize {
    let mark = format!("{OWNER_VARIABLE}={lab_id}");
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == mark.as_bytes())
            })
        })
        .filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok())
        .count()
}
