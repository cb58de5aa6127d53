//! Whether a node's rules mention a word at all, told without reading them: most
//! nodes have nothing of what some causes are about.

use memchr::memmem::Finder;
use naosu_flow::iptables::FirewallRuleset;

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

    /// Whether rules are shown, all of them to their end, and the word is nowhere
    /// among them.
    pub fn is_absent(&self, dumps: &FirewallRuleset) -> bool {
        let texts = [
            &dumps.ipv4_nft,
            &dumps.ipv4_legacy,
            &dumps.ipv6_nft,
            &dumps.ipv6_legacy,
        ];
        let shown = || texts.iter().filter_map(|text| text.as_deref());
        let has = |finder: &Finder<'_>, text: &str| finder.find(text.as_bytes()).is_some();
        shown().any(|text| has(&self.shown, text))
            && shown().all(|text| {
                is_whole(text)
                    && !has(&self.word, text)
                    && !self.not_shown.iter().any(|said| has(said, text))
            })
    }
}

/// Whether a dump does not end in the middle of a table.
fn is_whole(text: &str) -> bool {
    let last = text.trim_end().lines().next_back().unwrap_or_default();
    last.is_empty() || last == "COMMIT" || last.starts_with("# Completed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> FirewallRuleset {
        FirewallRuleset {
            ipv4_nft: Some(text.to_owned()),
            ipv6_nft: Some(String::new()),
            ..FirewallRuleset::default()
        }
    }

    #[test]
    fn a_word_is_absent_only_from_rules_that_are_all_shown() {
        let mention = Mention::of("ufw");
        let usual = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
        assert!(mention.is_absent(&shown(usual)));
        assert!(mention.is_absent(&shown(&format!("{usual}# Completed on now\n"))));
        for text in [
            "",
            "*filter\n:INPUT ACCEPT [0:0]\n",
            "*filter\n:ufw-before-input - [0:0]\nCOMMIT\n",
            "# Warning: iptables-legacy tables present, use iptables-legacy-save\n*filter\nCOMMIT\n",
            "# Table `raw' is incompatible, use 'nft' tool.\n*filter\nCOMMIT\n",
        ] {
            assert!(!mention.is_absent(&shown(text)), "{text}");
        }
        assert!(!mention.is_absent(&FirewallRuleset::default()));
    }
}
