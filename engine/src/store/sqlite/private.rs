//! Who else may read the store: nobody. It holds what was read of clusters, and
//! who can open the executor's lock can keep everyone from executing runs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Mode of the store's files.
pub(super) const PRIVATE: u32 = 0o600;

/// Takes from a file, if it is there, what others may do with it.
///
/// A file that is not ours to change is used as it is, and a log line says so.
pub(super) fn make_private(path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() || mode & 0o077 == 0 {
        return;
    }
    let file = path.display();
    match fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700)) {
        Ok(()) => tracing::warn!("{file} was open to others (mode {mode:o}); now it is not"),
        Err(e) => tracing::warn!("{file} is open to others (mode {mode:o}): {e}"),
    }
}
