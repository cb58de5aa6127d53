//! Where results and failures go: results to standard output, all else to
//! standard error.

use std::io::{self, IsTerminal, Write};

use naosu_engine::Error;
use serde::Serialize;

use super::{args::Output, escape::is_obeyed, page::Page, render};

/// Prints in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    output: Output,
    quiet: bool,
}

impl Printer {
    /// A printer of this form.
    pub fn new(output: Output, quiet: bool) -> Self {
        Self { output, quiet }
    }

    /// Whether progress may be shown: to a person, on a terminal.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && self.output == Output::Text && io::stderr().is_terminal()
    }

    /// Whether a person can be asked.
    pub fn can_ask(&self) -> bool {
        self.output == Output::Text && io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Prints a result.
    pub fn value<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce(&mut Page, &T)) {
        match self.output {
            Output::Text => {
                let mut page = Page::new(wants_colour(io::stdout().is_terminal()));
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
        let text = match self.output {
            Output::Text => {
                let mut page = Page::new(wants_colour(io::stderr().is_terminal()));
                render::error(&mut page, error);
                page.into_text()
            }
            Output::Json => json(&serde_json::json!({ "error": error })),
        };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Tells a person something beside the result.
    pub fn note(&self, text: &str) {
        if self.quiet || self.output == Output::Json {
            return;
        }
        let mut page = Page::new(wants_colour(io::stderr().is_terminal()));
        page.words(0, super::page::Tone::Plain, text);
        let _ = io::stderr().write_all(page.into_text().as_bytes());
    }
}

fn wants_colour(is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// JSON that is safe on a terminal too: what it would obey is written `\uXXXX`.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // The model has a JSON form: maps have text keys, and nothing else can fail.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && is_obeyed(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_back_the_same_and_cannot_steer_a_terminal() {
        let value = serde_json::json!({"a": "\u{1b}[2J\u{9b}\u{202e}\u{e0041}\u{7f} \"直\"\n"});
        let text = json(&value);
        assert!(!text.chars().any(|c| c != '\n' && is_obeyed(c)));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
