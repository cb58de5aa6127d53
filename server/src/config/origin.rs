//! Where a value came from, so that a problem can say it.

use std::{fmt, ops::Range, path::PathBuf};

/// One text that settings were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

/// All texts, one after the other: each place in them has one offset, so that
/// the spans of the parser tell them apart.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Vec<(Range<usize>, Origin, String)>,
}

impl Sources {
    /// Adds a text and gives the offset of its beginning.
    pub fn add(&mut self, origin: Origin, text: String) -> usize {
        let start = self.texts.last().map_or(0, |(range, ..)| range.end + 1);
        let end = start + text.len();
        self.texts.push((start..end, origin, text));
        start
    }

    /// The place that a person can look at: "naosu.toml:3", "environment NAOSU_SERVER".
    pub fn place(&self, offset: usize) -> Option<Place> {
        let (range, origin, text) = self
            .texts
            .iter()
            .find(|(range, ..)| (range.start..=range.end).contains(&offset))?;
        let before = text.get(..offset - range.start).unwrap_or(text);
        Some(Place {
            origin: origin.clone(),
            line: before.matches('\n').count() + 1,
        })
    }
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which source.
    pub origin: Origin,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path) => write!(f, "{}:{}", path.display(), self.line),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}
