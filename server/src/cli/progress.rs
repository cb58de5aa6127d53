//! What is going on, on a terminal's standard error; nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use naosu_engine::{
    facade::DiagnoseProgress,
    model::{Judgement, Run},
};

use super::{output::Printer, page::Page, render::event_words};
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
                let words = format!("reading {}", in_short(what));
                self.bar.set_message(escape(&words));
            }
            DiagnoseProgress::Read {
                what,
                elapsed_ms,
                ok,
            } => {
                let word = if *ok { "read" } else { "not readable:" };
                let words = format!("{word} {} ({elapsed_ms} ms)", in_short(what));
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

    /// Shows no entries before the one of this number.
    pub fn leave_out(&mut self, entries: usize) {
        self.entries_shown = entries;
    }

    /// A run, now: entries not shown before.
    pub fn running(&mut self, run: &Run) {
        for entry in run.entries.iter().skip(self.entries_shown) {
            let (words, tone) = event_words(&entry.event);
            let mut page = Page::new(false);
            page.words(2, tone, &words);
            self.bar.println(page.into_text().trim_end_matches('\n'));
            self.bar.set_message(escape(&words));
        }
        self.entries_shown = self.entries_shown.max(run.entries.len());
    }

    /// Ends and leaves no trace of the changing line.
    pub fn end(self) {}
}

/// What is read, with the telling end of an ARM id: a line cuts the rest.
fn in_short(what: &str) -> String {
    let word = |word: &str| match word.rsplit('/').collect::<Vec<_>>().as_slice() {
        [name, kind, ..] if word.starts_with("/subscriptions/") => format!("{kind}/{name}"),
        _ => word.to_owned(),
    };
    what.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Also when a failure ends it.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_id_is_shown_by_its_end_and_anything_else_as_it_is() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/loadBalancers/lb";
        assert_eq!(
            in_short(&format!("{id} metric SnatConnectionCount")),
            "loadBalancers/lb metric SnatConnectionCount"
        );
        assert_eq!(
            in_short("every Pod in kube-system"),
            "every Pod in kube-system"
        );
    }
}
