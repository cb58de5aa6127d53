//! What is going on, on a terminal's standard error; nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use naosu_engine::{
    facade::DiagnoseProgress,
    model::{Judgement, Run},
};

use super::{output::Printer, render::event_words};
use crate::escape::escape;

const TICK: Duration = Duration::from_millis(100);

/// A line that changes, or nothing.
pub struct Progress {
    bar: ProgressBar,
    entries_shown: usize,
}

impl Progress {
    /// Starts.
    pub fn start(printer: &Printer, what: &str) -> Self {
        let bar = if printer.shows_progress() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        } else {
            ProgressBar::hidden()
        };
        bar.set_message(escape(what));
        Self {
            bar,
            entries_shown: 0,
        }
    }

    /// News of a diagnosis.
    pub fn diagnosing(&self, news: &DiagnoseProgress) {
        match news {
            DiagnoseProgress::Reading { what } => {
                self.bar.set_message(escape(&format!("reading {what}")));
            }
            DiagnoseProgress::Read {
                what,
                elapsed_ms,
                ok,
            } => {
                let word = if *ok { "read" } else { "not readable:" };
                let words = format!("{word} {what} ({elapsed_ms} ms)");
                self.bar.set_message(escape(&words));
            }
            DiagnoseProgress::Judged { plugin, judgement } => {
                let word = match judgement {
                    Some(Judgement::Confirmed) => "CONFIRMED",
                    Some(Judgement::Suspected) => "suspected",
                    Some(Judgement::Unknown) => "unknown",
                    Some(Judgement::RuledOut) => "ruled out",
                    None => "no finding",
                };
                self.bar.println(escape(&format!("  {plugin}: {word}")));
            }
            DiagnoseProgress::Finished { .. } => {}
        }
    }

    /// A run, now: entries not shown before.
    pub fn running(&mut self, run: &Run) {
        for entry in run.entries.iter().skip(self.entries_shown) {
            let (words, _) = event_words(&entry.event);
            self.bar.println(escape(&format!("  {words}")));
            self.bar.set_message(escape(&words));
        }
        self.entries_shown = self.entries_shown.max(run.entries.len());
    }

    /// Ends and leaves no trace of the changing line.
    pub fn end(self) {}
}

/// Also when a failure ends it.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
