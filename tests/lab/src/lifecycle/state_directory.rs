//! The directory of a running lab: its files, and who owns them.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Why a lab has no directory.
#[derive(Debug, thiserror::Error)]
#[error("state_directory_failed: {path}: {source}")]
pub struct StateError {
    /// The path.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl StateError {
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// The directory of a running lab; dropping it removes it and ends the processes of the lab.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    lab_id: String,
}

/// Names the file that says who owns the directory.
const OWNER_FILE: &str = "owner";

/// Where the directories of all labs of this user lie.
pub fn default_base() -> PathBuf {
    let user = geteuid();
    if user.is_root() && Path::new("/run").is_dir() {
        return PathBuf::from("/run/naosu-lab");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => Path::new(&directory).join("naosu-lab"),
        None => std::env::temp_dir().join(format!("naosu-lab-{user}")),
    }
}

impl StateDirectory {
    /// Makes the directory of a lab below `base`, owned by this process.
    ///
    /// # Errors
    /// The file system refused.
    pub fn create(base: &Path, lab_id: &str) -> Result<Self, StateError> {
        // It appears under its name only when it says who owns it, so that nobody who cleans up
        // mistakes it for one that was left.
        let unfinished = base.join(format!(".{lab_id}"));
        let path = base.join(lab_id);
        let owner = Owner::this_process().map_err(StateError::of(&path))?;
        std::fs::create_dir_all(&unfinished)
            .and_then(|()| std::fs::write(unfinished.join(OWNER_FILE), owner.to_text()))
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .map_err(StateError::of(&path))?;
        Ok(Self {
            path,
            lab_id: lab_id.to_owned(),
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it that only the user can read.
    ///
    /// # Errors
    /// The file system refused.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, StateError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.path.join(name);
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(StateError::of(&path))?;
        Ok(path)
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        super::leftovers::end_processes_of(&self.lab_id);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A process, told apart from a later one with the same number by when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    start_ticks: u64,
}

impl Owner {
    fn this_process() -> io::Result<Self> {
        let pid = std::process::id();
        let start_ticks = start_ticks(pid)
            .ok_or_else(|| io::Error::other("/proc does not say when this process started"))?;
        Ok(Self { pid, start_ticks })
    }

    fn to_text(&self) -> String {
        format!("{} {}\n", self.pid, self.start_ticks)
    }

    /// The owner a directory names.
    pub(super) fn of_directory(directory: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(directory.join(OWNER_FILE)).ok()?;
        let (pid, start_ticks) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            start_ticks: start_ticks.parse().ok()?,
        })
    }

    /// Whether the process still runs.
    pub(super) fn is_alive(&self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// When a process started, in clock ticks since boot; nothing for one that has ended.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold spaces and parentheses; state is the first field after it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_of_another_start_time_is_not() {
        let owner = Owner::this_process().expect("/proc is there");
        assert!(owner.is_alive());
        let earlier = Owner {
            start_ticks: owner.start_ticks - 1,
            ..owner
        };
        assert!(!earlier.is_alive());
    }

    #[test]
    fn a_dropped_directory_is_gone() {
        let base = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::create(base.path(), "a-lab").expect("it is made");
        let file = state.write("kubeconfig", "text").expect("it is written");
        assert!(file.exists());
        drop(state);
        assert_eq!(
            std::fs::read_dir(base.path()).expect("it is there").count(),
            0
        );
    }
}
