//! Whether a node's rules mention a word at all, told without reading them: most
//! nodes have nothing of what some causes are about.

use memchr::memmem::Finder;

/// Every kernel that any rules are loaded into has this table.
const SHOWN: &str = "*filter";
/// How the programs say that there are rules which they do not show.
const NOT_SHOWN: [&str; 2] = ["# Warning", "# Table"];

/// A word that is looked for.
pub(super) struct Mention<'a> {
    word: Finder<'a>,
    shown: Finder<'static>,
    not_shown: [Finder<'static>; 2],
}

impl<'a> Mention<'a> {
    pub fn of(word: &'a str) -> Self {
        Self {
            word: Finder::new(word),
            shown: Finder::new(SHOWN),
            not_shown: NOT_SHOWN.map(Finder::new),
        }
    }

    /// Whether rules are shown, all of them, and the word is nowhere among them.
    pub fn is_absent(&self, dumps: &str) -> bool {
        let has = |finder: &Finder<'_>| finder.find(dumps.as_bytes()).is_some();
        has(&self.shown) && !has(&self.word) && !self.not_shown.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_absent_only_from_rules_that_are_all_shown() {
        let mention = Mention::of("ufw");
        assert!(mention.is_absent("*filter\\n:INPUT ACCEPT [0:0]\\nCOMMIT"));
        for body in [
            "",
            r#"{"ipv4_nft":"","ipv4_legacy":null}"#,
            "*filter\\n:ufw-before-input - [0:0]\\nCOMMIT",
            "*filter\\nCOMMIT\\n# Warning: iptables-legacy tables present, use iptables-legacy-save",
            "*filter\\nCOMMIT\\n# Table `filter' is incompatible, use 'nft' tool.",
        ] {
            assert!(!mention.is_absent(body), "{body}");
        }
    }
}
