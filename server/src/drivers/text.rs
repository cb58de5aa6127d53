//! Text from outside, made fit to be shown: peers are not trusted to send text
//! that is short or free of terminal escapes.

use crate::escape::is_obeyed;

/// How much of a foreign message is shown.
pub const MESSAGE_LIMIT: usize = 600;

/// `text` with control characters escaped and cut to `limit` characters.
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (index, c) in text.trim().chars().enumerate() {
        if index == limit {
            shown.push('…');
            break;
        }
        match c {
            '\n' | '\t' => shown.push(' '),
            '\r' => {}
            c if is_obeyed(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_direction_marks_are_shown_not_obeyed() {
        assert_eq!(
            printable("a\u{1b}[31mb\u{202e}c\nd", 100),
            "a\\u{1b}[31mb\\u{202e}c d"
        );
    }

    #[test]
    fn long_text_is_cut_visibly() {
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
