//! Making steps.

use crate::{Effect, Step};

/// Most bytes of a title that the host takes.
const TITLE_BYTES: usize = 512;
const CUT: &str = "…";

/// A step. Its title may quote names from outside, which may have anything in
/// them: control characters are shown as such, and what is too long is cut, so
/// that no name keeps its own fix from being proposed.
pub fn step(title: impl AsRef<str>, effect: Effect) -> Step {
    let mut shown = String::new();
    for c in title.as_ref().chars() {
        let mut one = String::new();
        if c.is_control() {
            one.extend(c.escape_unicode());
        } else {
            one.push(c);
        }
        if shown.len() + one.len() + CUT.len() > TITLE_BYTES {
            shown.push_str(CUT);
            break;
        }
        shown.push_str(&one);
    }
    Step {
        title: shown,
        effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> String {
        step(text, Effect::Manual(String::new())).title
    }

    #[test]
    fn control_characters_are_shown_and_what_is_too_long_is_cut() {
        assert_eq!(title("Allow é before \"x\""), "Allow é before \"x\"");
        assert_eq!(title("a\u{1b}[2J\r\nb"), "a\\u{1b}[2J\\u{d}\\u{a}b");
        for long in ["é".repeat(600), "\u{1b}".repeat(600)] {
            let title = title(&long);
            assert!(title.len() <= TITLE_BYTES, "{}", title.len());
            assert!(title.ends_with(CUT), "{title}");
        }
    }
}
