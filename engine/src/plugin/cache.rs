//! Compiled code on disk, by digest of the component and compatibility of the
//! engine. An entry that is foreign, corrupt or of another version is rebuilt,
//! never trusted.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use crate::model::Digest;

const MAGIC: &[u8; 16] = b"naosu-cwasm-v1\r\n";
const HASH_BYTES: usize = 32;
/// Magic, compatibility, digest of the component, digest of the code.
const HEADER_BYTES: usize = MAGIC.len() + 3 * HASH_BYTES;
const ENTRY_BYTES_MAX: u64 = 256 << 20;

/// A directory of compiled components that only this user can write.
pub(super) struct Cache {
    directory: PathBuf,
    compatibility: [u8; HASH_BYTES],
}

/// Why the cache, or an entry of it, is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not trusted: {reason}", path = path.display())]
    Untrusted { path: PathBuf, reason: String },
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0 // never asked: the whole digest is taken
    }
}

impl Cache {
    /// Opens the directory, making it if needed.
    pub fn open(directory: &Path, engine: &Engine) -> Result<Self, CacheError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| io(directory, source))?;
        let metadata = directory
            .symlink_metadata()
            .map_err(|source| io(directory, source))?;
        if !metadata.is_dir() {
            return Err(untrusted(directory, "not a directory"));
        }
        check_owner(directory, &metadata)?;
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            directory: directory.to_owned(),
            compatibility: hasher.0.finalize().into(),
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let component = digest.as_str().trim_start_matches("sha256:");
        let engine = hex::encode(&self.compatibility[..8]);
        self.directory.join(format!("{component}-{engine}.cwasm"))
    }

    fn header(&self, digest: &Digest, code: &[u8]) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.compatibility);
        header.extend_from_slice(&Sha256::digest(digest.as_str().as_bytes()));
        header.extend_from_slice(&Sha256::digest(code));
        header
    }

    /// The compiled component, if a trustworthy entry has it.
    pub fn load(&self, engine: &Engine, digest: &Digest) -> Result<Option<Component>, CacheError> {
        let path = self.path(digest);
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
            .open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(&path, source)),
        };
        let bytes = read_own(&path, &mut file)?;
        let Some((header, code)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(untrusted(&path, "shorter than its header"));
        };
        if header != self.header(digest, code) {
            return Err(untrusted(
                &path,
                "another version, another component, or corrupt",
            ));
        }
        // SAFETY: deserialize runs what it is given as native code, so the bytes
        // must come from the compiler of this engine version. They were
        // read from a regular file (no symlink followed) that this user owns and
        // nobody else can write, in a directory for which the same holds; only
        // `store` below writes there. The bytes are a private copy, checked
        // against the SHA-256 that `store` recorded beside the compatibility hash
        // of the engine, so neither corruption nor a later change of the file
        // reaches the code. wasmtime checks its own version header besides.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .map(Some)
            .map_err(|e| untrusted(&path, &format!("wasmtime refuses it: {e:#}")))
    }

    /// Records the code that [`super::compile`] made of a component, in one atomic step.
    pub fn store(&self, digest: &Digest, code: &[u8]) -> Result<(), CacheError> {
        let path = self.path(digest);
        let unfinished = self
            .directory
            .join(format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(&self.header(digest, code))?;
                file.write_all(code)?;
                file.sync_all()?;
                std::fs::rename(&unfinished, &path)
            });
        written.map_err(|source| {
            std::fs::remove_file(&unfinished).ok();
            io(&path, source)
        })
    }
}

fn read_own(path: &Path, file: &mut File) -> Result<Vec<u8>, CacheError> {
    let metadata = file.metadata().map_err(|source| io(path, source))?;
    if !metadata.is_file() {
        return Err(untrusted(path, "not a regular file"));
    }
    check_owner(path, &metadata)?;
    let mut bytes = Vec::new();
    file.take(ENTRY_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|source| io(path, source))?;
    Ok(bytes)
}

fn check_owner(path: &Path, metadata: &std::fs::Metadata) -> Result<(), CacheError> {
    let user = nix::unistd::geteuid().as_raw();
    if metadata.uid() != user {
        let reason = format!("owned by user {}, not by {user}", metadata.uid());
        return Err(untrusted(path, &reason));
    }
    if metadata.mode() & 0o022 != 0 {
        let reason = format!("others can write it (mode {:o})", metadata.mode() & 0o7777);
        return Err(untrusted(path, &reason));
    }
    Ok(())
}

fn io(path: &Path, source: std::io::Error) -> CacheError {
    CacheError::Io {
        path: path.to_owned(),
        source,
    }
}

fn untrusted(path: &Path, reason: &str) -> CacheError {
    CacheError::Untrusted {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
