//! What a node has for itself in the file system: `/tmp`, ufw's configuration. `/run` is private
//! in every machine.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};

/// Which private files a node gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFiles {
    /// Whether the node has no `ufw`.
    pub ufw_absent: bool,
}

const UFW: &str = "/etc/ufw";
const UFW_DEFAULTS: &str = "/etc/default/ufw";
const UFW_TEMPLATES: &str = "/usr/share/ufw/iptables";

impl NodeFiles {
    /// Mounts them over the host's in the calling thread's mount namespace, and makes the rest of
    /// the root file system read-only there, so that a script on a node cannot harm the host.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn mount(self) -> io::Result<()> {
        if Path::new(UFW).is_dir() {
            private_ufw()?;
        }
        if self.ufw_absent {
            hide_ufw()?;
        }
        read_only_root();
        tmpfs("/tmp")
    }
}

pub(super) fn tmpfs(target: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        Some("mode=0755"),
    )?;
    Ok(())
}

fn bind(source: &str, target: &str) -> io::Result<()> {
    let none = None::<&str>;
    mount(Some(source), target, none, MsFlags::MS_BIND, none)?;
    Ok(())
}

/// A copy of ufw's configuration as the package installs it, whatever the host made of its own.
fn private_ufw() -> io::Result<()> {
    const COPY: &str = "/run/lab/ufw";
    copy_directory(Path::new(UFW), Path::new(COPY))?;
    if Path::new(UFW_TEMPLATES).is_dir() {
        copy_directory(Path::new(UFW_TEMPLATES), Path::new(COPY))?;
    }
    let configuration = fs::read_to_string(format!("{COPY}/ufw.conf")).unwrap_or_default();
    let disabled: String = configuration
        .lines()
        .map(|line| {
            if line.starts_with("ENABLED=") {
                "ENABLED=no\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(format!("{COPY}/ufw.conf"), disabled)?;
    bind(COPY, UFW)?;
    if Path::new(UFW_DEFAULTS).is_file() {
        fs::copy(UFW_DEFAULTS, "/run/lab/ufw-defaults")?;
        bind("/run/lab/ufw-defaults", UFW_DEFAULTS)?;
    }
    Ok(())
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // Root of a user namespace may not read what only the host's root may; the package's
            // templates have what ufw needs.
            if error.kind() != io::ErrorKind::PermissionDenied {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Puts a directory of links in place of the one with ufw, without it.
fn hide_ufw() -> io::Result<()> {
    const REAL: &str = "/run/lab/sbin";
    for directory in ["/usr/sbin", "/usr/bin"] {
        if !Path::new(directory).join("ufw").exists() {
            continue;
        }
        fs::create_dir_all(REAL)?;
        bind(directory, REAL)?;
        tmpfs(directory)?;
        for entry in fs::read_dir(REAL)? {
            let name = entry?.file_name();
            if name != "ufw" {
                std::os::unix::fs::symlink(
                    Path::new(REAL).join(&name),
                    Path::new(directory).join(&name),
                )?;
            }
        }
    }
    Ok(())
}

/// Where the kernel forbids it, in a user namespace over a root it did not make, scripts already
/// cannot write what the lab's user cannot.
fn read_only_root() {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let none = None::<&str>;
    if let Err(reason) = mount(none, "/", none, flags, none) {
        tracing::debug!(%reason, "the root file system of nodes stays writable");
    }
}
