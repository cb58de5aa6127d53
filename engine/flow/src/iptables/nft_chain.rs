//! Chains of nft tables that iptables does not show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hook::Hook;
use super::ruleset::Family;

/// A chain that the kernel itself calls, in a table that is not iptables' own:
/// those of firewalld or `nftables.service`. What its rules say is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NftChain {
    /// "inet", "ip", "ip6", "netdev".
    pub family: String,
    /// Name of the table.
    pub table: String,
    /// Its own name.
    pub chain: String,
    /// "filter", "nat", "route".
    #[serde(rename = "type")]
    pub kind: String,
    /// "input", "prerouting", "ingress".
    pub hook: String,
    /// "accept" or "drop".
    pub policy: String,
    /// How many rules it has.
    pub rules: u32,
    /// How many lines of its table may drop packets, in whatever chain or map:
    /// those with `drop`, `reject`, `queue` or what `nft` itself cannot tell.
    /// None where nobody counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropping: Option<u32>,
}

impl NftChain {
    /// Reads a line of these fields, in this order; the last may be missing.
    pub fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let mut word = || words.next();
        let chain = Self {
            family: word()?,
            table: word()?,
            chain: word()?,
            kind: word()?,
            hook: word()?,
            policy: word()?,
            rules: word()?.parse().ok()?,
            dropping: match word() {
                Some(count) => Some(count.parse().ok()?),
                None => None,
            },
        };
        words.next().is_none().then_some(chain)
    }

    /// Whether it may drop packets of which nothing else tells. The kernel obeys a
    /// `drop` in a chain of any type; one that only translates addresses or routes
    /// anew is told by its table having none. Not taken to drop are chains of the
    /// cluster's own components, which drop nothing that is sent to a node itself.
    pub fn may_drop(&self) -> bool {
        let is_of_cluster = self.table == "kube-proxy" || self.table.starts_with("cilium");
        let decides = self.rules > 0 && (self.kind == "filter" || self.dropping != Some(0));
        !is_of_cluster && (decides || self.policy != "accept")
    }

    /// Whether packets of a family come to it on their way through a hook.
    pub(super) fn concerns(&self, family: Family, hook: Hook) -> bool {
        let is_of_family = match self.family.as_str() {
            "ip" => family == Family::Ipv4,
            "ip6" => family == Family::Ipv6,
            // Bridges and ARP are beside the way of packets to and from a node.
            "bridge" | "arp" => false,
            _ => true,
        };
        let is_passed = match hook {
            Hook::Input => matches!(self.hook.as_str(), "ingress" | "prerouting" | "input"),
            Hook::Forward => !matches!(self.hook.as_str(), "input" | "output"),
            Hook::Output => matches!(self.hook.as_str(), "output" | "postrouting" | "egress"),
        };
        is_of_family && is_passed
    }

    /// The rules of its table, in words.
    pub(super) fn table_in_words(&self) -> String {
        format!(
            "the rules of nft table {} {}",
            self.family.escape_debug(),
            self.table.escape_debug()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whole_or_not_at_all() {
        let chain = NftChain::from_line("inet fw input filter input drop 3").unwrap();
        assert_eq!((chain.table.as_str(), chain.rules), ("fw", 3));
        for line in [
            "",
            "inet fw input filter input drop",
            "a b c d e f g",
            "a b c d e f 1 x",
            "a b c d e f 1 2 3",
        ] {
            assert_eq!(NftChain::from_line(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_chain_without_rules_that_accepts_drops_nothing_and_others_may() {
        let may_drop = |line: &str| NftChain::from_line(line).unwrap().may_drop();
        assert!(!may_drop("inet filter input filter input accept 0"));
        assert!(may_drop("inet filter input filter input drop 0"));
        assert!(may_drop("inet fw input filter input accept 1"));
        assert!(may_drop("inet fw input filter input accept 1 0"));
        assert!(!may_drop(
            "ip io.systemd.nat prerouting nat prerouting accept 2 0"
        ));
        for kind in ["nat", "route"] {
            assert!(may_drop(&format!("inet fw out {kind} output accept 1 1")));
            assert!(may_drop(&format!("inet fw out {kind} output drop 0 0")));
            assert!(may_drop(&format!("inet fw out {kind} output accept 1")));
            assert!(!may_drop(&format!("inet fw out {kind} output accept 0 1")));
        }
        assert!(!may_drop(
            "ip kube-proxy filter-input filter input accept 1"
        ));
    }
}
