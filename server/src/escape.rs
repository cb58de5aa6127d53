//! Text from outside where it is shown: shown, never obeyed.

use serde_json::Value;

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

/// Whether a terminal obeys it, or it hides or reorders what is read: controls,
/// line separators, annotations, and what Unicode 16 lists as
/// `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt): all that is drawn
/// as nothing, so that a reader is shown less than a program reads.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{2028}' | '\u{2029}' // line and paragraph separator
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{ad}' | '\u{34f}' | '\u{61c}' // soft hyphen, joiner, Arabic mark
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' // Khmer, Mongolian
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' // zero width, direction
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fff8}' // operators, isolates
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' // shorthand, music
            | '\u{e0000}'..='\u{e0fff}') // tags, further selectors
}

/// A JSON text in which nothing hides either: what [`is_obeyed`] names is written
/// `\uXXXX`, so that it reads back the same. Line breaks between values stay.
pub fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_obeyed(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A JSON value in whose texts nothing hides: what [`is_obeyed`] names is written
/// `\u{…}` in the text itself. Line breaks and tabs stay, which JSON writes as
/// letters anyway.
pub fn reveal(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(reveal_text(text)),
        Value::Array(items) => items.into_iter().map(reveal).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (reveal_text(name), reveal(value)))
            .collect(),
        other => other,
    }
}

fn reveal_text(text: String) -> String {
    let hides = |c: char| !matches!(c, '\n' | '\t') && is_obeyed(c);
    if !text.contains(hides) {
        return text;
    }
    text.chars().fold(String::new(), |mut out, c| {
        if hides(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
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

    #[test]
    fn escaped_json_reads_back_the_same_and_hides_nothing() {
        let value = serde_json::json!({"a": "\u{1b}[2J\u{9b}\u{202e}\u{e0041}\u{7f} \"直\"\n"});
        let text = escape_json(&format!("{value:#}"));
        assert!(!text.chars().any(|c| c != '\n' && is_obeyed(c)), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn a_revealed_value_hides_nothing_in_any_text_and_keeps_its_lines() {
        let hidden = "a\u{200b}\u{202e}\u{e0041}\u{1b}\tb\nc";
        let value = serde_json::json!({ hidden: [hidden, 1, null, { "直": hidden }] });
        let shown = "a\\u{200b}\\u{202e}\\u{e0041}\\u{1b}\tb\nc";
        let expected = serde_json::json!({ shown: [shown, 1, null, { "直": shown }] });
        assert_eq!(reveal(value), expected);
    }

    #[test]
    fn what_is_drawn_as_nothing_is_shown() {
        for hidden in [
            "\u{200b}",
            "\u{2066}",
            "\u{3164}",
            "\u{fe01}",
            "\u{e0049}",
            "\u{e01ef}",
        ] {
            assert!(escape(hidden).starts_with("\\u{"), "{}", escape(hidden));
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(text: String) {
            prop_assert!(!escape(&text).chars().any(is_obeyed));
        }
    }
}
