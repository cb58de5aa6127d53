//! Compiled code on disk: used when it is ours, rebuilt when it is not.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use naosu_engine::plugin::{HostSettings, PluginHost};

use crate::support::{diagnose, file, settings};

async fn load(cache: &Path) {
    let host = PluginHost::new(HostSettings {
        cache_directory: Some(cache.to_owned()),
        ..settings()
    })
    .unwrap();
    let plugin = host.load(naosu_bundle::HOSTILE, file()).await.unwrap();
    assert_eq!(diagnose(&*plugin, "fine").await.unwrap().summary, "fine");
}

fn entries(cache: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(cache).unwrap();
    read.map(|entry| entry.unwrap().path()).collect()
}

fn only_entry(cache: &Path) -> PathBuf {
    let entries = entries(cache);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[tokio::test]
async fn the_directory_is_private_and_an_entry_is_used_again() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("a/b");
    load(&cache).await;
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    let entry = only_entry(&cache);
    let before = fs::metadata(&entry).unwrap();
    assert_eq!(before.mode() & 0o777, 0o600);
    load(&cache).await;
    let after = fs::metadata(only_entry(&cache)).unwrap();
    assert_eq!(before.ino(), after.ino(), "it was written again");
}

#[tokio::test]
async fn a_corrupt_truncated_or_foreign_entry_is_rebuilt() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    load(&cache).await;
    let entry = only_entry(&cache);
    let good = fs::read(&entry).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut other_version = good.clone();
    other_version[20] ^= 1;
    let elf = [b"\x7fELF".to_vec(), vec![0; 4096]].concat();
    for bad in [
        flipped,
        other_version,
        good[..100].to_vec(),
        Vec::new(),
        elf,
    ] {
        fs::write(&entry, &bad).unwrap();
        load(&cache).await;
        // Rebuilt means as it was but for the time it took; the header is the same.
        let rebuilt = fs::read(&entry).unwrap();
        assert_ne!(rebuilt, bad);
        assert_eq!(rebuilt[..80], good[..80]);
    }
}

#[tokio::test]
async fn an_entry_or_a_directory_that_others_can_write_is_not_trusted() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    load(&cache).await;
    let entry = only_entry(&cache);
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
    let before = fs::metadata(&entry).unwrap().ino();
    load(&cache).await;
    let after = fs::metadata(&entry).unwrap();
    assert_ne!((before, 0o666), (after.ino(), after.mode() & 0o777));
    let open = root.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    load(&open).await;
    assert!(entries(&open).is_empty());
}

#[tokio::test]
async fn symlinks_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    load(&cache).await;
    let entry = only_entry(&cache);
    let moved = root.path().join("moved");
    fs::rename(&entry, &moved).unwrap();
    symlink(&moved, &entry).unwrap();
    load(&cache).await;
    assert!(fs::symlink_metadata(&entry).unwrap().is_file());
    let link = root.path().join("link");
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &link).unwrap();
    load(&link).await;
    assert!(entries(&elsewhere).is_empty());
}
