//! Failures.

use naosu_engine::Error;

use crate::cli::page::{Page, Tone};

/// The code, what was wrong, and the next thing to do.
pub fn error(page: &mut Page, error: &Error) {
    let mut lines = error.message.lines();
    let first = lines.next().unwrap_or_default();
    let head = format!("error[{}]: {first}", error.code.as_str());
    page.item(0, "", Tone::Bad, &head);
    for line in lines {
        page.words(2, Tone::Plain, line);
    }
    if !error.next.is_empty() {
        page.item(0, "next: ", Tone::Plain, &error.next);
    }
}
