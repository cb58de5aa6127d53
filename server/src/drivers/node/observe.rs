//! What a node says of itself: the closed list.

use naosu_engine::{
    driver::Reading,
    model::{
        ClusterId,
        query::{FirewallRuleset, NodeObservation, UfwRules, UfwStatus},
    },
};
use naosu_flow::iptables::NftChain;
use serde::Serialize;

use super::{
    Finished, NodeDriver, NodeError, connections,
    locate::version_of,
    output::Section,
    script::{Script, body},
};
use crate::drivers::text::{MESSAGE_LIMIT, printable};

impl NodeDriver {
    /// Performs one observation.
    ///
    /// # Errors
    /// [`NodeError`]; a cut output is one, a missing program is not where the
    /// answer has a place for it.
    pub async fn observe(
        &self,
        cluster: &ClusterId,
        node: &str,
        what: NodeObservation,
    ) -> Result<Reading, NodeError> {
        let body = match what {
            NodeObservation::UfwStatus => body::UFW_STATUS,
            NodeObservation::UfwRules => body::UFW_RULES,
            NodeObservation::FirewallRuleset => body::FIREWALL_RULESET,
            NodeObservation::ListeningSockets => body::LISTENING_SOCKETS,
            NodeObservation::OutboundConnections => body::OUTBOUND_CONNECTIONS,
        };
        let instance = self.locate(cluster, node).await?;
        let finished = self
            .run(node, &instance, Script::new(body, &[])?, true)
            .await?;
        Ok(Reading {
            body: read(node, what, &finished)?,
            version: Some(version_of(&instance)),
        })
    }
}

/// The body of an observation, from what the script printed.
///
/// # Errors
/// [`NodeError`].
pub fn read(node: &str, what: NodeObservation, finished: &Finished) -> Result<String, NodeError> {
    if finished.exit != 0 {
        return Err(NodeError::Failed {
            node: node.to_owned(),
            what: what.name().to_owned(),
            exit: finished.exit,
            stderr: printable(finished.errors(), MESSAGE_LIMIT),
            unchanged: true,
        });
    }
    let sections = Sections { node, finished };
    match what {
        NodeObservation::UfwStatus => {
            let Some(verbose) = sections.text("verbose")? else {
                return json(&UfwStatus::default());
            };
            json(&UfwStatus {
                installed: true,
                verbose,
                numbered: sections.text("numbered")?.unwrap_or_default(),
                settings: sections.text("settings")?.unwrap_or_default(),
                files: sections
                    .text("files")?
                    .map(|digest| digest.trim().to_owned())
                    .unwrap_or_default(),
            })
        }
        NodeObservation::UfwRules => {
            let Some(added) = sections.text("added")? else {
                return json(&UfwRules::default());
            };
            let text = |name| Ok::<_, NodeError>(sections.text(name)?.unwrap_or_default());
            json(&UfwRules {
                installed: true,
                added,
                user_rules: text("user_rules")?,
                user6_rules: text("user6_rules")?,
                defaults: text("defaults")?,
                before_rules: text("before_rules")?,
                before6_rules: text("before6_rules")?,
                after_rules: text("after_rules")?,
                after6_rules: text("after6_rules")?,
                hooks: text("hooks")?,
            })
        }
        NodeObservation::FirewallRuleset => {
            let nft_chains = sections.nft_chains()?;
            json(&FirewallRuleset {
                ipv4_nft: sections.text("ipv4_nft")?,
                ipv4_legacy: sections.text("ipv4_legacy")?,
                ipv6_nft: sections.text("ipv6_nft")?,
                ipv6_legacy: sections.text("ipv6_legacy")?,
                // Without them less is known, but nothing is wrong.
                ipv4_routes: sections.text("ipv4_routes").unwrap_or_default(),
                ipv6_routes: sections.text("ipv6_routes").unwrap_or_default(),
                nft_unlisted: nft_chains.is_none(),
                nft_chains,
            })
        }
        NodeObservation::ListeningSockets => {
            sections.text("sockets")?.ok_or_else(|| NodeError::Absent {
                node: node.to_owned(),
                what: what.name(),
            })
        }
        NodeObservation::OutboundConnections => {
            let listening = sections.text("listening")?;
            let established = sections.text("established")?;
            let (Some(listening), Some(established)) = (listening, established) else {
                return Err(NodeError::Absent {
                    node: node.to_owned(),
                    what: what.name(),
                });
            };
            let tracked = sections.text("tracked")?.unwrap_or_default();
            Ok(connections::outbound(&listening, &established, &tracked))
        }
    }
}

struct Sections<'a> {
    node: &'a str,
    finished: &'a Finished,
}

impl Sections<'_> {
    /// What nft has besides the tables of iptables; `None` when it is not there, and
    /// the kernel may have some all the same.
    fn nft_chains(&self) -> Result<Option<Vec<NftChain>>, NodeError> {
        let Some(text) = self.text("nft_chains")? else {
            return Ok(None);
        };
        let chains = text.lines().map(|line| {
            NftChain::from_line(line).ok_or_else(|| NodeError::Malformed {
                node: self.node.to_owned(),
                reason: format!("{:?} is no chain of nft", printable(line, 200)),
            })
        });
        Ok(Some(chains.collect::<Result<_, _>>()?))
    }

    /// What a program printed; `None` when it is not there.
    fn text(&self, name: &str) -> Result<Option<String>, NodeError> {
        match self.finished.section(name) {
            None => Err(NodeError::Malformed {
                node: self.node.to_owned(),
                reason: format!("it has no section {name}"),
            }),
            Some(Section { exit: None, .. }) => Ok(None),
            Some(Section {
                exit: Some(0),
                stdout,
                ..
            }) => Ok(Some(stdout.clone())),
            Some(Section {
                exit: Some(exit),
                stderr,
                ..
            }) => Err(NodeError::Failed {
                node: self.node.to_owned(),
                what: name.to_owned(),
                exit: *exit,
                stderr: printable(stderr, MESSAGE_LIMIT),
                unchanged: true,
            }),
        }
    }
}

fn json(value: &impl Serialize) -> Result<String, NodeError> {
    // Plain structures of text have a JSON form.
    Ok(serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use naosu_engine::error::Code;

    use super::*;

    fn section(name: &str, exit: Option<i32>, stdout: &str) -> Section {
        Section {
            name: name.into(),
            exit,
            stdout: stdout.into(),
            stderr: "why".into(),
        }
    }

    #[test]
    fn ufw_that_is_not_there_is_an_answer() {
        let finished = Finished {
            exit: 0,
            sections: vec![
                section("verbose", None, ""),
                section("numbered", None, ""),
                section("settings", None, ""),
            ],
        };
        let body = read("n", NodeObservation::UfwStatus, &finished).unwrap();
        assert_eq!(
            serde_json::from_str::<UfwStatus>(&body).unwrap(),
            UfwStatus::default()
        );
    }

    #[test]
    fn a_backend_that_is_not_there_is_none_and_one_that_fails_an_error() {
        let mut finished = Finished {
            exit: 0,
            sections: vec![
                section("ipv4_nft", Some(0), "*filter\nCOMMIT\n"),
                section("ipv4_legacy", None, ""),
                section("ipv6_nft", Some(0), ""),
                section("ipv6_legacy", None, ""),
                section("ipv4_routes", Some(0), ""),
                section("ipv6_routes", None, ""),
                section("nft_chains", Some(0), "inet fw input filter input drop 3\n"),
            ],
        };
        let body = read("n", NodeObservation::FirewallRuleset, &finished).unwrap();
        let ruleset: FirewallRuleset = serde_json::from_str(&body).unwrap();
        assert_eq!(ruleset.ipv4_nft.as_deref(), Some("*filter\nCOMMIT\n"));
        assert_eq!(ruleset.ipv4_legacy, None);
        assert_eq!(ruleset.nft_chains.unwrap()[0].table, "fw");
        assert!(!ruleset.nft_unlisted);
        finished.sections[6].exit = None;
        let body = read("n", NodeObservation::FirewallRuleset, &finished).unwrap();
        let ruleset: FirewallRuleset = serde_json::from_str(&body).unwrap();
        assert_eq!((ruleset.nft_chains, ruleset.nft_unlisted), (None, true));
        finished.sections[1].exit = Some(1);
        let error = read("n", NodeObservation::FirewallRuleset, &finished).unwrap_err();
        assert_eq!(error.code(), Code::NodeCommandFailed);
    }

    #[test]
    fn a_missing_section_is_not_an_empty_one() {
        let finished = Finished {
            exit: 0,
            sections: vec![],
        };
        let error = read("n", NodeObservation::UfwRules, &finished).unwrap_err();
        assert_eq!(error.code(), Code::NodeOutputMalformed);
    }
}
