//! Text for a terminal, 80 columns wide. All that is shown goes through here,
//! and everything is escaped here, so that no renderer can forget it.

use anstyle::{AnsiColor, Style};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use similar::{ChangeTag, TextDiff};

use crate::escape::escape;

/// Columns.
pub const WIDTH: usize = 80;

/// Column where the values of fields begin, after the indentation.
const FIELD_COLUMN: usize = 14;

/// Lines of a diff that are shown where not all are asked for.
const DIFF_LINES: usize = 40;

/// Lines of an unchanged text around a change.
const DIFF_CONTEXT: usize = 3;

/// What a text is, for those who see colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
    /// As it should be.
    Good,
    /// To be looked at.
    Caution,
    /// Wrong, or dangerous.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        let coloured = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => coloured(AnsiColor::Green),
            Self::Caution => coloured(AnsiColor::Yellow).bold(),
            Self::Bad => coloured(AnsiColor::Red).bold(),
        }
    }
}

/// A text that grows line by line.
#[derive(Debug)]
pub struct Page {
    text: String,
    colour: bool,
    full: bool,
    flags: Vec<String>,
}

impl Page {
    /// An empty one.
    pub fn new(colour: bool) -> Self {
        Self {
            text: String::new(),
            colour,
            full: false,
            flags: Vec::new(),
        }
    }

    /// One whose commands repeat these flags, which this process was given.
    pub fn with_flags(mut self, flags: &[String]) -> Self {
        self.flags = flags.to_vec();
        self
    }

    /// Leaves nothing out from here on.
    pub fn in_full(&mut self) {
        self.full = true;
    }

    /// Whether nothing is to be left out.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.text
    }

    /// One line, however long: ids and commands that are copied.
    pub fn line(&mut self, indent: usize, tone: Tone, text: &str) {
        let escaped = escape(text);
        self.push(indent, tone, &escaped);
    }

    /// A command of naosu that a shell takes as it stands, in lines that end with a
    /// backslash where it is too long for one. An option stays with its value.
    pub fn command(&mut self, indent: usize, arguments: &[&str]) {
        let flags = self.flags.clone();
        let words = flags.iter().map(String::as_str).chain(arguments.to_vec());
        let mut line = "naosu".to_owned();
        let mut lines = Vec::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let mut part = quoted(word);
            if word.starts_with("--")
                && let Some(value) = words.next_if(|next| !next.starts_with("--"))
            {
                part = format!("{part} {}", quoted(value));
            }
            let below = if lines.is_empty() { indent } else { indent + 2 };
            // Two columns for what continues the line.
            if below + line.chars().count() + 1 + part.chars().count() + 2 > WIDTH {
                lines.push(std::mem::replace(&mut line, part));
            } else {
                line.push(' ');
                line.push_str(&part);
            }
        }
        for (number, begun) in lines.iter().enumerate() {
            let indent = if number == 0 { indent } else { indent + 2 };
            self.line(indent, Tone::Strong, &format!("{begun} \\"));
        }
        let indent = if lines.is_empty() { indent } else { indent + 2 };
        self.line(indent, Tone::Strong, &line);
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// Words, wrapped.
    pub fn words(&mut self, indent: usize, tone: Tone, text: &str) {
        self.hanging(indent, "", tone, text);
    }

    /// Words after a mark such as "- ", wrapped and kept right of it.
    pub fn item(&mut self, indent: usize, mark: &str, tone: Tone, text: &str) {
        self.hanging(indent, mark, tone, text);
    }

    /// "Name          value", the value wrapped below itself.
    pub fn field(&mut self, indent: usize, name: &str, tone: Tone, value: &str) {
        let label = format!("{name:FIELD_COLUMN$}");
        self.hanging(indent, &label, tone, value);
    }

    /// The lines of `after` against `before`; says so when nothing differs.
    pub fn diff(&mut self, indent: usize, before: &str, after: &str) {
        let diff = TextDiff::from_lines(before, after);
        let mut changed = false;
        let (mut lines, mut left_out) = (0, 0);
        for (number, group) in diff.grouped_ops(DIFF_CONTEXT).iter().enumerate() {
            if number > 0 {
                self.line(indent, Tone::Faint, "...");
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let (sign, tone) = match change.tag() {
                    ChangeTag::Delete => ('-', Tone::Bad),
                    ChangeTag::Insert => ('+', Tone::Good),
                    ChangeTag::Equal => (' ', Tone::Faint),
                };
                changed |= change.tag() != ChangeTag::Equal;
                lines += 1;
                if lines > DIFF_LINES && !self.full {
                    left_out += 1;
                    continue;
                }
                self.changed_line(indent, sign, tone, change.value().trim_end_matches('\n'));
            }
        }
        if !changed {
            self.line(indent, Tone::Faint, "nothing changes");
        }
        if left_out > 0 {
            let words = format!("… and {left_out} more lines; all of it: --full, or --output json");
            self.line(indent, Tone::Caution, &words);
        }
    }

    /// One line of a diff, wrapped right of its sign and of where it begins.
    fn changed_line(&mut self, indent: usize, sign: char, tone: Tone, line: &str) {
        let content = line.trim_start_matches(' ');
        let mark = format!("{sign} {}", " ".repeat(line.len() - content.len()));
        let escaped = escape(content);
        let room = WIDTH.saturating_sub(indent + mark.len()).max(20);
        let options = textwrap::Options::new(room)
            .subsequent_indent("    ")
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        for wrapped in textwrap::wrap(&escaped, options) {
            self.push_marked(indent, &mark, tone, &wrapped);
        }
    }

    /// Rows under headings, in columns that fit.
    pub fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH as u16)
            .set_header(headings);
        for row in rows {
            table.add_row(row.iter().map(|cell| escape(cell)));
        }
        // Ids come first, and are copied: they stay whole, others wrap.
        if let Some(ids) = table.column_mut(0) {
            ids.set_constraint(ColumnConstraint::ContentWidth);
        }
        for (number, line) in table.lines().enumerate() {
            let tone = if number == 0 {
                Tone::Strong
            } else {
                Tone::Plain
            };
            // The preset pads each cell by a blank; the first is of no use.
            let line = line.strip_prefix(' ').unwrap_or(&line);
            self.push(0, tone, line.trim_end());
        }
    }

    fn hanging(&mut self, indent: usize, mark: &str, tone: Tone, text: &str) {
        // One blank between words: no text can lay itself out as a field of Naosu's.
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let escaped = escape(&words.join(" "));
        let mark = escape(mark);
        let room = WIDTH.saturating_sub(indent + mark.chars().count()).max(20);
        let options = textwrap::Options::new(room)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        let lines = textwrap::wrap(&escaped, options);
        let blank = " ".repeat(mark.chars().count());
        for (number, line) in lines.iter().enumerate() {
            let before = if number == 0 { &mark } else { &blank };
            self.push_marked(indent, before, tone, line);
        }
    }

    fn push(&mut self, indent: usize, tone: Tone, text: &str) {
        self.push_marked(indent, "", tone, text);
    }

    fn push_marked(&mut self, indent: usize, mark: &str, tone: Tone, text: &str) {
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(mark);
        if self.colour && tone != Tone::Plain {
            let style = tone.style();
            self.text.push_str(&format!("{style}{text}{style:#}"));
        } else {
            self.text.push_str(text);
        }
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_at_80_columns_and_hang_below_their_field() {
        let mut page = Page::new(false);
        page.field(2, "Cause", Tone::Bad, &"word ".repeat(40));
        let text = page.into_text();
        assert!(text.lines().count() > 2);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with(&" ".repeat(16)))
        );
    }

    #[test]
    fn long_lines_of_a_diff_wrap_at_80_columns_and_keep_their_sign() {
        let mut page = Page::new(false);
        let rule = format!("  rule: from {}to any", "10.224.0.4, ".repeat(20));
        page.diff(4, "", &rule);
        let text = page.into_text();
        assert!(text.lines().count() > 2, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{text}");
            assert!(line.starts_with("    +   "), "{text}");
        }
    }

    #[test]
    fn a_long_diff_says_how_much_is_left_out_and_is_shown_whole_when_asked() {
        let rules: String = (0..100).map(|n| format!("rule {n}\n")).collect();
        let mut page = Page::new(false);
        page.diff(4, "", &rules);
        let text = page.into_text();
        assert!(
            text.contains("rule 39\n") && !text.contains("rule 40\n"),
            "{text}"
        );
        assert!(text.contains("… and 60 more lines"), "{text}");
        let mut page = Page::new(false);
        page.in_full();
        page.diff(4, "", &rules);
        let text = page.into_text();
        assert!(
            text.contains("rule 99\n") && !text.contains("more lines"),
            "{text}"
        );
    }

    #[test]
    fn nothing_shown_can_steer_the_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\nApproved";
        let mut page = Page::new(false);
        page.line(0, Tone::Bad, hostile);
        page.words(2, Tone::Bad, hostile);
        page.field(0, hostile, Tone::Bad, hostile);
        page.item(0, hostile, Tone::Bad, hostile);
        page.table(&["A"], &[vec![hostile.to_owned()]]);
        page.diff(0, hostile, "");
        let text = page.into_text();
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}'),
            "{text:?}"
        );
        assert!(!text.lines().any(|line| line == "Approved"));
    }

    #[test]
    fn a_command_repeats_the_flags_given_and_a_shell_reads_it_back_word_for_word() {
        let flags = ["--server", "unix:///run/naosu/it's a.sock"].map(str::to_owned);
        let digest = format!("sha256:{}", "0".repeat(64));
        let arguments = ["plan", "approve", "plan-1", "--digest", &digest];
        let mut page = Page::new(false).with_flags(&flags);
        page.command(2, &arguments);
        let text = page.into_text();
        assert!(text.lines().count() > 1, "{text}");
        let script = format!("naosu() {{ printf '%s\\n' \"$@\"; }}\n{text}");
        let read = std::process::Command::new("bash")
            .args(["-c", &script])
            .output()
            .unwrap();
        let words: Vec<String> = flags
            .iter()
            .cloned()
            .chain(arguments.map(str::to_owned))
            .collect();
        assert_eq!(
            String::from_utf8(read.stdout).unwrap(),
            words.join("\n") + "\n"
        );
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let shown = |colour| {
            let mut page = Page::new(colour);
            page.line(0, Tone::Bad, "x");
            page.into_text()
        };
        assert_eq!(shown(false), "x\n");
        assert!(shown(true).contains('\u{1b}'));
    }
}
