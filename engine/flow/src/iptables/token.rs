//! The words of a line, quoted as `iptables-save` quotes them.

use std::borrow::Cow;

use super::error::ParseErrorKind;

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Whether any part was quoted: a quoted word is never an option.
    pub(crate) quoted: bool,
}

impl Token<'_> {
    /// Whether the word introduces an option rather than being a value.
    pub(crate) fn is_option(&self) -> bool {
        !self.quoted && self.text.len() > 1 && self.text.starts_with('-')
    }

    /// Whether the word is the `!` that negates the next option.
    pub(crate) fn is_negation(&self) -> bool {
        !self.quoted && self.text == "!"
    }
}

/// Splits a line the way `iptables-restore` does: blanks separate words, double
/// quotes keep them together, a backslash escapes inside quotes only.
pub(crate) fn tokens(line: &str) -> Result<Vec<Token<'_>>, ParseErrorKind> {
    let mut words = Vec::with_capacity(24);
    let mut rest = line;
    loop {
        // Every byte looked for is ASCII, so the places lie between characters.
        let Some(start) = rest.bytes().position(|byte| !is_blank_byte(byte)) else {
            return Ok(words);
        };
        rest = rest.get(start..).unwrap_or_default();
        let end = rest
            .bytes()
            .position(|byte| is_blank_byte(byte) || byte == b'"')
            .unwrap_or(rest.len());
        let (plain, after) = rest.split_at(end);
        if after.starts_with('"') {
            let (text, after) = match plainly_quoted(rest) {
                Some((text, after)) => (Cow::Borrowed(text), after),
                None => quoted_word(rest).map(|(word, after)| (Cow::Owned(word), after))?,
            };
            words.push(Token { text, quoted: true });
            rest = after;
        } else {
            words.push(Token {
                text: Cow::Borrowed(plain),
                quoted: false,
            });
            rest = after;
        }
    }
}

/// A word that is one quotation without escapes: the usual case.
fn plainly_quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let end = inside
        .bytes()
        .position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (word, after) = inside.split_at(end);
    let after = after.strip_prefix('"')?;
    (after.is_empty() || after.starts_with(is_blank)).then_some((word, after))
}

fn is_blank_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

fn quoted_word(text: &str) -> Result<(String, &str), ParseErrorKind> {
    let mut word = String::new();
    let mut open = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (open, escaped, c) {
            (true, true, _) => {
                word.push(c);
                escaped = false;
            }
            (true, false, '\\') => escaped = true,
            (_, _, '"') => open = !open,
            (false, _, _) if is_blank(c) => {
                return Ok((word, text.get(at..).unwrap_or_default()));
            }
            _ => word.push(c),
        }
    }
    if open {
        Err(ParseErrorKind::UnterminatedQuote)
    } else {
        Ok((word, ""))
    }
}

/// Writes a value as `iptables-save` would, quoted only where it must be.
pub(crate) fn quote(value: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !value.is_empty() && value.chars().all(plain) {
        return Cow::Borrowed(value);
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// Writes an option's value, quoting only what a reader would split or unescape.
pub(crate) fn quote_if_split(value: &str) -> Cow<'_, str> {
    let split = |c: char| is_blank(c) || matches!(c, '"' | '\\' | '\'');
    if value.is_empty() || value == "!" || value.contains(split) {
        quote(value)
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        tokens(line)
            .unwrap()
            .into_iter()
            .map(|token| token.text.into_owned())
            .collect()
    }

    #[test]
    fn blanks_separate_and_quotes_keep_together() {
        assert_eq!(
            words(r#"-m comment --comment "a \"b\" \\ c"  -j ACCEPT"#),
            ["-m", "comment", "--comment", r#"a "b" \ c"#, "-j", "ACCEPT"]
        );
    }

    #[test]
    fn a_quoted_dash_is_not_an_option() {
        let words = tokens(r#""-j" -j"#).unwrap();
        assert_eq!(
            words.iter().map(Token::is_option).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn an_open_quotation_is_an_error() {
        assert_eq!(
            tokens(r#"--comment "abc"#),
            Err(ParseErrorKind::UnterminatedQuote)
        );
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back_as_one_word(value in "[^\n\r]{0,40}") {
            prop_assert_eq!(words(&format!("x {} y", quote(&value))), ["x", &*value, "y"]);
            let loose = quote_if_split(&value);
            prop_assert_eq!(words(&format!("x {loose} y")), ["x", &*value, "y"]);
        }
    }
}
