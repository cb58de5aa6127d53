//! Text from outside, made fit to be shown: peers are not trusted to send text
//! that is short or free of terminal escapes.

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
            c if c.is_control() || is_invisible(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Direction marks and the like: they change how the text around them looks.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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
