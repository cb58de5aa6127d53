//! What one observation of a node's firewall holds, and the firewall it shows.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ParseError;
use super::interface::{InterfaceKnowledge, PeerInterfaces};
use super::knowledge::Knowledge;
use super::local::LocalAddresses;
use super::nft_chain::NftChain;
use super::node::{LoadedRuleset, NodeFirewall};
use super::routes::NodeRoutes;
use super::ruleset::{Backend, Family, Ruleset};
use super::specifications::Specifications;

/// Whole outputs of the programs that show a node's rules and routes. A program
/// that is not there gives `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FirewallRuleset {
    /// `iptables-nft-save`.
    pub ipv4_nft: Option<String>,
    /// `iptables-legacy-save`.
    pub ipv4_legacy: Option<String>,
    /// `ip6tables-nft-save`.
    pub ipv6_nft: Option<String>,
    /// `ip6tables-legacy-save`.
    pub ipv6_legacy: Option<String>,
    /// `ip -4 route show table all`.
    pub ipv4_routes: Option<String>,
    /// `ip -6 route show table all`.
    pub ipv6_routes: Option<String>,
    /// What `nft list ruleset` has besides the tables above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nft_chains: Option<Vec<NftChain>>,
    /// Whether nf_tables may hold more than `iptables-nft-save` shows, and the
    /// program `nft` is not there to tell. Apart from `nft_chains`, so that what
    /// earlier versions recorded is judged as it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nft_unlisted: bool,
}

/// Which rules of a node could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{program}: {error}")]
pub struct DumpError {
    /// The program that wrote them.
    pub program: &'static str,
    /// What is wrong with them.
    pub error: ParseError,
}

impl DumpError {
    /// The stable, machine-readable code of the error.
    pub fn code(&self) -> &'static str {
        self.error.code()
    }
}

impl FirewallRuleset {
    pub(super) fn rules(&self) -> [(Family, Backend, &'static str, &Option<String>); 4] {
        use Backend::{Legacy, Nft};
        use Family::{Ipv4, Ipv6};
        [
            (Ipv4, Nft, "iptables-nft-save", &self.ipv4_nft),
            (Ipv4, Legacy, "iptables-legacy-save", &self.ipv4_legacy),
            (Ipv6, Nft, "ip6tables-nft-save", &self.ipv6_nft),
            (Ipv6, Legacy, "ip6tables-legacy-save", &self.ipv6_legacy),
        ]
    }

    /// The routes of a family, where they were shown and understood.
    pub fn routes(&self, family: Family) -> Option<NodeRoutes> {
        let text = match family {
            Family::Ipv4 => &self.ipv4_routes,
            Family::Ipv6 => &self.ipv6_routes,
        };
        NodeRoutes::parse(family, text.as_deref()?)
    }

    /// What is known of the node besides its rules. Addresses known otherwise
    /// serve where its routes were not shown.
    pub fn knowledge(&self, own: &[IpAddr]) -> Knowledge {
        let mut local = LocalAddresses::some(own.iter().copied());
        let mut peers = PeerInterfaces::default();
        for family in [Family::Ipv4, Family::Ipv6] {
            match self.routes(family) {
                Some(routes) => {
                    local.learn(family, &routes);
                    let found = routes.interfaces();
                    peers.loopback = peers.loopback.union(&found.loopback);
                    for (name, set) in found.named {
                        match peers.named.iter_mut().find(|(known, _)| *known == name) {
                            Some((_, known)) => *known = known.union(&set),
                            None => peers.named.push((name, set)),
                        }
                    }
                }
                None => peers.loopback = peers.loopback.union(&local.certain(family)),
            }
        }
        Knowledge {
            in_interface: InterfaceKnowledge::ByPeer(peers.clone()),
            out_interface: InterfaceKnowledge::ByPeer(peers),
            local_addresses: local,
            nft_chains: self.nft_chains.clone().unwrap_or_default(),
            nft_unlisted: self.nft_unlisted,
            ..Knowledge::default()
        }
    }

    /// The same node with other rules.
    #[must_use]
    pub fn with_rules(&self, firewall: &NodeFirewall) -> Self {
        let mut changed = self.clone();
        for loaded in &firewall.rulesets {
            let dump = match (loaded.ruleset.family, loaded.backend) {
                (Family::Ipv4, Backend::Nft) => &mut changed.ipv4_nft,
                (Family::Ipv4, Backend::Legacy) => &mut changed.ipv4_legacy,
                (Family::Ipv6, Backend::Nft) => &mut changed.ipv6_nft,
                (Family::Ipv6, Backend::Legacy) => &mut changed.ipv6_legacy,
            };
            *dump = Some(loaded.ruleset.to_string());
        }
        changed
    }

    /// The firewall that they show. `own` are addresses of the node that are
    /// known otherwise.
    ///
    /// # Errors
    /// [`DumpError`] when rules cannot be read; routes that cannot be leave the
    /// node's addresses and interfaces unknown.
    pub fn firewall(&self, own: &[IpAddr]) -> Result<NodeFirewall, DumpError> {
        self.read(own, Ruleset::parse)
    }

    /// [`FirewallRuleset::firewall`] of one of many nodes with almost the same
    /// rules.
    ///
    /// # Errors
    /// As [`FirewallRuleset::firewall`].
    pub fn firewall_sharing(
        &self,
        own: &[IpAddr],
        known: &mut Specifications,
    ) -> Result<NodeFirewall, DumpError> {
        self.read(own, |family, text| {
            Ruleset::parse_sharing(family, text, known)
        })
    }

    fn read(
        &self,
        own: &[IpAddr],
        mut parse: impl FnMut(Family, &str) -> Result<Ruleset, ParseError>,
    ) -> Result<NodeFirewall, DumpError> {
        let mut rulesets = Vec::new();
        for (family, backend, program, text) in self.rules() {
            let Some(text) = text else { continue };
            let ruleset = parse(family, text).map_err(|error| DumpError { program, error })?;
            rulesets.push(LoadedRuleset { backend, ruleset });
        }
        Ok(NodeFirewall {
            rulesets,
            knowledge: self.knowledge(own),
        })
    }
}
