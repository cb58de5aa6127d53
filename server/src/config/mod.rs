//! Configuration: one TOML file, environment and flags, checked as a whole.
//! Flags win over the environment, the environment over the file, the file over
//! the defaults.

mod check;
mod document;
mod environment;
mod nearest;
mod origin;
mod problem;
mod read;
pub mod sections;
#[cfg(test)]
mod tests;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use naosu_engine::Error;

pub use check::{Config, EmbeddedConfig, default_store};
pub use document::Override;
pub use origin::Origin;

use document::Document;
use problem::{Problem, error_of_problems};
use sections::Sections;

/// A documented example with every setting at its default.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The environment variable that names the file.
pub const FILE_VARIABLE: &str = "NAOSU_CONFIG";

/// What a configuration is loaded from.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The file; absent means the first of the usual places that exists.
    pub file: Option<PathBuf>,
    /// Environment variables, those of other programs too.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings by flags.
    pub flags: Vec<Override>,
}

impl Given {
    /// What this process was started with.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Override>) -> Self {
        Self {
            file: file.or_else(usual_file),
            environment: env::vars_os().collect(),
            flags,
        }
    }
}

/// Loads and checks the whole of it.
///
/// # Errors
/// `invalid_configuration`, with all problems.
pub fn load(given: &Given) -> Result<Config, Error> {
    let mut document = layers(given, &[]);
    let mut sections: Sections = read::sections(&mut document);
    // What reads as a number or a boolean may have been meant as text.
    let as_text: Vec<Origin> = document
        .problems
        .iter()
        .filter_map(|problem| Some(problem.place.clone()?.origin))
        .filter(|origin| !matches!(origin, Origin::File(_)))
        .collect();
    if !as_text.is_empty() {
        let mut retried = layers(given, &as_text);
        let again = read::sections(&mut retried);
        if retried.problems.len() < document.problems.len() {
            (document, sections) = (retried, again);
        }
    }
    check::check(&sections, document)
}

/// File, environment and flags; what cannot be read of one leaves the others.
fn layers(given: &Given, as_text: &[Origin]) -> Document {
    let mut document = Document::new();
    if let Some(path) = &given.file {
        match fs::read_to_string(path) {
            Ok(text) => document.lay(Origin::File(path.clone()), &text),
            Err(e) => document.problems.push(Problem {
                place: None,
                key: String::new(),
                message: format!(
                    "{}: {e}; give a file that can be read by --config or {FILE_VARIABLE}",
                    path.display()
                ),
            }),
        }
    }
    let (settings, problems) = environment::settings(&given.environment);
    document.problems.extend(problems);
    for given in settings.iter().chain(&given.flags) {
        document.lay_value(given, as_text.contains(&given.origin));
    }
    document
}

/// `NAOSU_CONFIG`, else the user's file, else the system's.
fn usual_file() -> Option<PathBuf> {
    if let Some(path) = env::var_os(FILE_VARIABLE) {
        return Some(path.into());
    }
    let user = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".config")))
        .map(|folder| folder.join("naosu/naosu.toml"));
    user.into_iter()
        .chain([PathBuf::from("/etc/naosu/naosu.toml")])
        .find(|path| path.is_file())
}
