//! Text from outside on a terminal: shown, never obeyed.

/// `text` with every character that a terminal obeys, or that hides or reorders
/// what is read, written as `\u{…}`; line breaks too, so that a value stays in
/// its line.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_obeyed(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        out
    })
}

/// Whether a terminal obeys it, or it hides or reorders what is read.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' // marks, breaks, bidi
            | '\u{2060}'..='\u{206f}' | '\u{feff}' // invisible operators, isolates
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{e0000}'..='\u{e007f}') // tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminal_escapes_and_reordering_are_shown_and_words_are_left_alone() {
        assert_eq!(escape("\u{1b}[2J\u{9b}1m"), "\\u{1b}[2J\\u{9b}1m");
        assert_eq!(escape("allow\u{202e}ynед"), "allow\\u{202e}ynед");
        assert_eq!(escape("a\nApproved by alice"), "a\\nApproved by alice");
        assert_eq!(escape("直す – ok"), "直す – ok");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(text: String) {
            prop_assert!(!escape(&text).chars().any(is_obeyed));
        }
    }
}
