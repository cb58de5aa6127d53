//! Where results and failures go: results to standard output, all else to
//! standard error.

use std::io::{self, IsTerminal, Write};

use naosu_engine::Error;
use serde::Serialize;

use super::{
    args::{Global, Output},
    page::Page,
    render,
};
use crate::{error_text::bounded, escape::escape_json};

/// Prints in the form that was asked for.
#[derive(Clone, Debug)]
pub struct Printer {
    output: Output,
    quiet: bool,
    flags: Vec<String>,
}

impl Printer {
    /// A printer of the form that is asked for, whose commands repeat how this
    /// process was pointed at a server or a configuration.
    pub fn new(global: &Global) -> Self {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: &str| flags.extend([name, value].map(str::to_owned));
        if let Some(config) = &global.config {
            flag("--config", &config.display().to_string());
        }
        if let Some(server) = &global.server {
            flag("--server", server);
        }
        for (key, value) in &global.settings {
            flag("--set", &format!("{key}={value}"));
        }
        Self {
            output: global.output,
            quiet: global.quiet,
            flags,
        }
    }

    /// Whether a person reads it; what only the text shows is read only then.
    pub fn is_text(&self) -> bool {
        self.output == Output::Text
    }

    /// Whether progress may be shown: to a person, on a terminal.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && self.output == Output::Text && io::stderr().is_terminal()
    }

    /// Whether a person can be asked.
    pub fn can_ask(&self) -> bool {
        self.output == Output::Text && io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Whether what progress showed is on the same screen as the result.
    pub fn shows_both(&self) -> bool {
        self.shows_progress() && io::stdout().is_terminal()
    }

    fn page(&self, is_terminal: bool) -> Page {
        Page::new(wants_colour(is_terminal)).with_flags(&self.flags)
    }

    /// Prints a result.
    pub fn value<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce(&mut Page, &T)) {
        match self.output {
            Output::Text => {
                let mut page = self.page(io::stdout().is_terminal());
                text(&mut page, value);
                self.verbatim(&page.into_text());
            }
            Output::Json => self.verbatim(&json(value)),
        }
    }

    /// Prints a text that is Naosu's own.
    pub fn verbatim(&self, text: &str) {
        // A reader that went away, as `| head` does, is no failure.
        let _ = io::stdout().write_all(text.as_bytes());
        let _ = io::stdout().flush();
    }

    /// Tells of a failure.
    pub fn error(&self, error: &Error) {
        let error = &bounded(error.clone());
        let text = match self.output {
            Output::Text => {
                let mut page = self.page(io::stderr().is_terminal());
                render::error(&mut page, error);
                page.into_text()
            }
            Output::Json => json(&serde_json::json!({ "error": error })),
        };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Tells a person something beside the result.
    pub fn note(&self, text: &str) {
        self.note_command(text, &[]);
    }

    /// The same, with a command to go on with.
    pub fn note_command(&self, text: &str, arguments: &[&str]) {
        if self.quiet || self.output == Output::Json {
            return;
        }
        let mut page = self.page(io::stderr().is_terminal());
        page.words(0, super::page::Tone::Plain, text);
        if !arguments.is_empty() {
            page.command(2, arguments);
        }
        let _ = io::stderr().write_all(page.into_text().as_bytes());
    }
}

fn wants_colour(is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // The model has a JSON form: maps have text keys, and nothing else can fail.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    escape_json(&text) + "\n"
}
