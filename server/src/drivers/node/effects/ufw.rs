//! Rules of ufw, and ufw itself.

use ipnet::IpNet;
use naosu_engine::{
    error::{Code, Error},
    model::{
        Observation, Query,
        effect::{Access, Direction, UfwRuleEffect},
        query::{NodeObservation, UfwRules, UfwStatus},
    },
};

use super::{Planned, observed, sha256};
use crate::drivers::node::{
    Finished, NodeError,
    script::{Script, body},
};

/// What was read of ufw, and how a script recognises it.
struct Fence {
    kind: &'static str,
    sha256: String,
    /// What ufw would set in force when it is enabled; empty where that is not known.
    files: String,
    shown: String,
}

impl Fence {
    fn of(before: &Observation) -> Result<Self, Error> {
        let (installed, kind, text, files, shown) = match &before.query {
            Query::Node {
                what: NodeObservation::UfwRules,
                ..
            } => {
                let rules: UfwRules = observed(before)?;
                let text = format!("{}{}", rules.user_rules, rules.user6_rules);
                (rules.installed, "rules", text, String::new(), rules.added)
            }
            _ => {
                let status: UfwStatus = observed(before)?;
                let text = format!("{}{}", status.verbose, status.numbered);
                let UfwStatus {
                    installed,
                    numbered,
                    files,
                    ..
                } = status;
                (installed, "status", text, files, numbered)
            }
        };
        if installed {
            Ok(Self {
                kind,
                sha256: sha256(&text),
                files,
                shown,
            })
        } else {
            Err(Error::new(
                Code::Unsupported,
                format!("{}: ufw is not installed", before.query),
                "nothing has to be done: what is not there blocks nothing",
            ))
        }
    }
}

pub(super) fn insert(
    rule: &UfwRuleEffect,
    before: &Observation,
    dry: bool,
) -> Result<Planned, Error> {
    rule_script("insert", rule, before, dry)
}

pub(super) fn delete(
    rule: &UfwRuleEffect,
    before: &Observation,
    dry: bool,
) -> Result<Planned, Error> {
    rule_script("delete", rule, before, dry)
}

fn rule_script(
    verb: &str,
    rule: &UfwRuleEffect,
    before: &Observation,
    dry: bool,
) -> Result<Planned, Error> {
    let fence = Fence::of(before)?;
    let words = words(rule)?;
    let script = Script::new(
        body::UFW_RULE,
        &[
            ("fence_kind", fence.kind),
            ("fence_sha256", &fence.sha256),
            ("ufw_verb", verb),
            ("ufw_position", &rule.position.to_string()),
            ("ufw_rule", &words),
            ("ufw_dry", if dry { "yes" } else { "no" }),
        ],
    )?;
    let command = match (verb, rule.position) {
        ("delete", _) => format!("ufw delete {words}"),
        (_, 0) => format!("ufw {words}"),
        (_, position) => format!("ufw insert {position} {words}"),
    };
    Ok(Planned {
        request: format!("node/{}: {command}", rule.node),
        node: rule.node.clone(),
        script,
        before: fence.shown,
        after: None,
    })
}

pub(super) fn switch(
    node: &str,
    on: bool,
    before: &Observation,
    dry: bool,
) -> Result<Planned, Error> {
    let fence = Fence::of(before)?;
    let word = if on { "enable" } else { "disable" };
    // Disabled, ufw lists nothing: its status alone would not tell other rules.
    let files = if on { fence.files.as_str() } else { "" };
    let script = Script::new(
        body::UFW_SWITCH,
        &[
            ("fence_kind", fence.kind),
            ("fence_sha256", &fence.sha256),
            ("fence_files", files),
            ("ufw_switch", word),
            ("ufw_dry", if dry { "yes" } else { "no" }),
        ],
    )?;
    Ok(Planned {
        request: format!("node/{node}: ufw --force {word}"),
        node: node.to_owned(),
        script,
        before: fence.shown,
        after: None,
    })
}

/// Whether ufw says that there was nothing to do for any family.
pub(super) fn changed_nothing(finished: &Finished) -> bool {
    let Some(section) = finished.section("ufw") else {
        return false;
    };
    let mut skipped = false;
    for line in section.stdout.lines().map(str::trim) {
        if line.starts_with("Skipping ") || line.starts_with("Could not delete non-existent rule") {
            skipped = true;
        } else if !line.is_empty() {
            return false;
        }
    }
    skipped
}

/// The rule as ufw's own words. Each is checked: they stand unquoted in a shell.
fn words(rule: &UfwRuleEffect) -> Result<String, NodeError> {
    let access = match rule.access {
        Access::Allow => "allow",
        Access::Deny => "deny",
    };
    let direction = match rule.direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
    };
    let source = place("source", &rule.source)?;
    let destination = place("destination", &rule.destination)?;
    let mut words = format!("{access} {direction} from {source} to {destination}");
    if rule.port != "any" && !rule.port.is_empty() {
        check_port(&rule.port)?;
        words.push_str(" port ");
        words.push_str(&rule.port);
    }
    match rule.protocol.as_str() {
        "any" => {}
        protocol @ ("tcp" | "udp") => {
            words.push_str(" proto ");
            words.push_str(protocol);
        }
        other => return Err(NodeError::invalid("protocol", other, "tcp, udp or any")),
    }
    Ok(words)
}

fn place(what: &'static str, text: &str) -> Result<String, NodeError> {
    if text == "any" {
        return Ok(text.to_owned());
    }
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if is_address || text.parse::<IpNet>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err(NodeError::invalid(
            what,
            text,
            "an address, a prefix or any",
        ))
    }
}

fn check_port(text: &str) -> Result<(), NodeError> {
    let is_port = |part: &str| {
        part.chars().all(|c| c.is_ascii_digit()) && part.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let fine = match text.split_once(':') {
        None => is_port(text),
        Some((first, last)) => is_port(first) && is_port(last),
    };
    if fine {
        Ok(())
    } else {
        Err(NodeError::invalid(
            "port",
            text,
            "10250, or a range 30000:32767",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> UfwRuleEffect {
        UfwRuleEffect {
            node: "n".into(),
            position: 1,
            access: Access::Allow,
            direction: Direction::Inbound,
            protocol: "tcp".into(),
            source: "10.224.0.0/16".into(),
            destination: "any".into(),
            port: "10250".into(),
        }
    }

    #[test]
    fn a_rule_is_written_in_ufws_words() {
        assert_eq!(
            words(&rule()).unwrap(),
            "allow in from 10.224.0.0/16 to any port 10250 proto tcp"
        );
    }

    #[test]
    fn nothing_but_addresses_ports_and_protocols_gets_into_the_command() {
        for hostile in [
            "any; reboot",
            "$(id)",
            "10.0.0.0/16 ",
            "",
            "-x",
            "10.0.0.0/99",
        ] {
            let mut bad = rule();
            bad.source = hostile.into();
            assert!(words(&bad).is_err(), "{hostile:?}");
        }
        for hostile in ["0", "70000", "10250/tcp", "1:", "1:2:3", "x"] {
            let mut bad = rule();
            bad.port = hostile.into();
            assert!(words(&bad).is_err(), "{hostile:?}");
        }
    }

    fn said(stdout: &str) -> Finished {
        Finished {
            exit: 0,
            sections: vec![crate::drivers::node::output::Section {
                name: "ufw".into(),
                exit: Some(0),
                stdout: stdout.into(),
                stderr: String::new(),
            }],
        }
    }

    #[test]
    fn ufw_tells_when_there_was_nothing_to_do() {
        assert!(changed_nothing(&said(
            "Skipping inserting existing rule\nSkipping inserting existing rule (v6)\n"
        )));
        assert!(changed_nothing(&said(
            "Could not delete non-existent rule\n"
        )));
        assert!(!changed_nothing(&said(
            "Rule inserted\nSkipping adding existing rule (v6)\n"
        )));
        assert!(!changed_nothing(&said("")));
    }

    #[test]
    fn enabling_is_fenced_by_the_files_and_disabling_by_the_status_alone() {
        let before = Observation {
            query: Query::Node {
                node: "n".into(),
                what: NodeObservation::UfwStatus,
            },
            answer: Ok(serde_json::json!(UfwStatus {
                installed: true,
                verbose: "Status: inactive\n".into(),
                files: "0f0f".into(),
                ..UfwStatus::default()
            })
            .to_string()
            .into()),
            version: None,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            digest: naosu_engine::model::Digest::of_bytes(b""),
        };
        for (on, fenced) in [(true, true), (false, false)] {
            let planned = switch("n", on, &before, false).unwrap();
            assert_eq!(planned.script.text.contains("'0f0f'"), fenced, "{on}");
        }
    }
}
