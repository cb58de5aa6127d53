//! Files and folders that settings name.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::Checker;

/// Far more than any certificate, key or token; a device would never end.
const MAX_BYTES: u64 = 16 << 20;

impl Checker {
    /// The content of a text file.
    pub(super) fn text(&mut self, key: &str, path: &Path) -> Option<String> {
        let text = contents(path).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text"))
        });
        text.map_err(|e| self.wrong_path(key, path, &e)).ok()
    }

    /// A file that can be read, if one is named.
    pub(super) fn file(&mut self, key: &str, path: Option<&PathBuf>) {
        if let Some(path) = path
            && let Err(e) = contents(path)
        {
            self.wrong_path(key, path, &e);
        }
    }

    /// A folder that can be listed, if one is named.
    pub(super) fn folder(&mut self, key: &str, path: Option<&PathBuf>) {
        if let Some(path) = path
            && let Err(e) = fs::read_dir(path)
        {
            self.wrong_path(key, path, &e);
        }
    }

    /// A file of certificates in PEM, if one is named.
    pub(super) fn certificates(&mut self, key: &str, path: Option<&PathBuf>) {
        let Some(path) = path else {
            return;
        };
        let problem = match contents(path) {
            Err(e) => e.to_string(),
            Ok(pem) => match reqwest::Certificate::from_pem_bundle(&pem) {
                Err(e) => format!("holds no certificates in PEM: {e}"),
                Ok(found) if found.is_empty() => "holds no certificate in PEM".to_owned(),
                Ok(_) => return,
            },
        };
        self.wrong(key, format!("{}: {problem}", path.display()));
    }

    fn wrong_path(&mut self, key: &str, path: &Path, error: &io::Error) {
        self.wrong(key, format!("{}: {error}", path.display()));
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
