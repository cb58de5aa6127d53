//! Strict reading of scenario files: everything wrong with one is said together, with lines.

mod api_server;
mod security_admin_rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::{Cause, Scenario, ScenarioKind};
use crate::estate::{Estate, SecurityRule};

/// One thing wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioProblem {
    /// The line it is on, from 1.
    pub line: usize,
    /// What is wrong, with the value, and what to do.
    pub message: String,
}

impl fmt::Display for ScenarioProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No file of this name.
    #[error(
        "scenario_not_found: there is no scenario {name}; near it are {near}; `naosu-lab list` shows all"
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// Those with the nearest names.
        near: String,
    },
    /// The file could not be read.
    #[error("scenario_unreadable: {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file is wrong.
    #[error("scenario_invalid: {name}.toml: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// Name of the scenario.
        name: String,
        /// Everything that is wrong with it, in the order of its lines.
        problems: Vec<ScenarioProblem>,
    },
}

pub(super) fn parse(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let invalid = |problems| ScenarioError::Invalid {
        name: name.to_owned(),
        problems,
    };
    let syntax_problem = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        invalid(vec![ScenarioProblem {
            line: line_of(text, start),
            message: error.message().to_owned(),
        }])
    };
    let mut scenario: Scenario = toml::from_str(text).map_err(syntax_problem)?;
    scenario.name = name.to_owned();
    let document = DeTable::parse(text).map_err(syntax_problem)?;
    let mut check = Check {
        text,
        document: document.get_ref(),
        problems: Vec::new(),
    };
    if scenario.kind == ScenarioKind::RealCase && scenario.cases.is_empty() {
        let message = "a real case names its thread in cases".to_owned();
        check.problem(&[At::Key("kind")], message);
    }
    check.estate(&scenario.estate);
    check.expectations(&scenario);
    if check.problems.is_empty() {
        return Ok(scenario);
    }
    check.problems.sort_by_key(|problem| problem.line);
    Err(invalid(check.problems))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// A step of the way to a value in the file.
#[derive(Clone, Copy)]
enum At<'a> {
    Key(&'a str),
    Index(usize),
}

struct Check<'a> {
    text: &'a str,
    document: &'a DeTable<'a>,
    problems: Vec<ScenarioProblem>,
}

impl Check<'_> {
    /// Notes a problem at the deepest part of `path` that the file contains.
    fn problem(&mut self, path: &[At<'_>], message: String) {
        let mut offset = 0;
        let mut table = Some(self.document);
        let mut array = None;
        for step in path {
            let next = match step {
                At::Key(key) => table.and_then(|t| t.get(*key)),
                At::Index(index) => array.and_then(|a: &toml::de::DeArray<'_>| a.get(*index)),
            };
            let Some(next) = next else { break };
            offset = next.span().start;
            (table, array) = match next.get_ref() {
                DeValue::Table(t) => (Some(t), None),
                DeValue::Array(a) => (None, Some(a)),
                _ => (None, None),
            };
        }
        self.problems.push(ScenarioProblem {
            line: line_of(self.text, offset),
            message,
        });
    }

    fn estate(&mut self, estate: &Estate) {
        self.network(estate);
        self.api_server(estate);
        self.pools(estate);
        self.security_groups(estate);
        self.security_admin_rules(estate);
        let nodes: BTreeSet<String> = estate.nodes().iter().map(|n| n.name.0.clone()).collect();
        let pools: BTreeSet<&str> = estate.pools.iter().map(|p| p.name.as_str()).collect();
        use At::{Index, Key};
        for (i, group) in estate.application_security_groups.iter().enumerate() {
            for pool in group.pools.iter().filter(|p| !pools.contains(p.as_str())) {
                let path = [
                    Key("estate"),
                    Key("application_security_groups"),
                    Index(i),
                    Key("pools"),
                ];
                self.problem(&path, format!("there is no pool {pool}"));
            }
        }
        for (i, settings) in estate.nodes.iter().enumerate() {
            if !nodes.contains(&settings.name) {
                let path = [Key("estate"), Key("nodes"), Index(i), Key("name")];
                self.no_such_node(&path, &settings.name, &nodes);
            }
        }
        for (i, workload) in estate.workloads.iter().enumerate() {
            if !nodes.contains(workload.node.as_str()) {
                let path = [Key("estate"), Key("workloads"), Index(i), Key("node")];
                self.no_such_node(&path, workload.node.as_str(), &nodes);
            } else if estate.workload_address(i).is_none() {
                let path = [Key("estate"), Key("workloads"), Index(i)];
                self.problem(
                    &path,
                    "there are no addresses for so many workloads".to_owned(),
                );
            }
        }
        for (i, pod) in estate.pods.iter().enumerate() {
            if !nodes.contains(pod.node.as_str()) {
                let path = [Key("estate"), Key("pods"), Index(i), Key("node")];
                self.no_such_node(&path, pod.node.as_str(), &nodes);
            }
        }
    }

    fn no_such_node(&mut self, path: &[At<'_>], name: &str, nodes: &BTreeSet<String>) {
        let known: Vec<&str> = nodes.iter().map(String::as_str).collect();
        self.problem(
            path,
            format!("there is no node {name}; there are {}", known.join(", ")),
        );
    }

    fn network(&mut self, estate: &Estate) {
        use At::{Index, Key};
        let mut names = BTreeSet::new();
        for (i, subnet) in estate.network.subnets.iter().enumerate() {
            let at = |key| {
                [
                    Key("estate"),
                    Key("network"),
                    Key("subnets"),
                    Index(i),
                    Key(key),
                ]
            };
            if !names.insert(&subnet.name) {
                self.problem(&at("name"), format!("a second subnet {}", subnet.name));
            }
            let inside = |space: &IpNet| space.contains(&subnet.address_prefix);
            if !estate.network.address_prefixes.iter().any(inside) {
                let message = format!(
                    "{} lies outside the network's address_prefixes",
                    subnet.address_prefix
                );
                self.problem(&at("address_prefix"), message);
            }
            if let Some(nsg) = &subnet.network_security_group {
                self.nsg_exists(&at("network_security_group"), nsg, estate);
            }
            if let Some(table) = &subnet.route_table
                && !estate.route_tables.iter().any(|t| &t.name == table)
            {
                self.problem(
                    &at("route_table"),
                    format!("there is no route table {table}"),
                );
            }
        }
    }

    fn nsg_exists(&mut self, path: &[At<'_>], name: &str, estate: &Estate) {
        if !estate
            .network_security_groups
            .iter()
            .any(|n| n.name == name)
        {
            self.problem(path, format!("there is no network security group {name}"));
        }
    }

    fn pools(&mut self, estate: &Estate) {
        use At::{Index, Key};
        let mut names = BTreeSet::new();
        for (i, pool) in estate.pools.iter().enumerate() {
            let at = |key| [Key("estate"), Key("pools"), Index(i), Key(key)];
            if !names.insert(&pool.name) {
                self.problem(&at("name"), format!("a second pool {}", pool.name));
            }
            if pool.count == 0 || pool.count > 250 {
                self.problem(&at("count"), format!("{} is not 1 to 250", pool.count));
            }
            if let Some(nsg) = &pool.network_security_group {
                self.nsg_exists(&at("network_security_group"), nsg, estate);
            }
            if estate.subnet(&pool.subnet).is_none() {
                self.problem(&at("subnet"), format!("there is no subnet {}", pool.subnet));
            }
        }
        let mut taken = BTreeMap::new();
        for node in estate.nodes() {
            let pool = estate.pools.iter().position(|p| p.name == node.pool);
            let path = [
                Key("estate"),
                Key("pools"),
                Index(pool.unwrap_or_default()),
                Key("first_address"),
            ];
            if let Some(other) = taken.insert(node.address, node.name.clone()) {
                let message = format!("{} and {other} both have {}", node.name, node.address);
                self.problem(&path, message);
            }
            if let Some(subnet) = estate.subnet(&node.subnet) {
                let outside = !subnet
                    .address_prefix
                    .contains(&IpNet::from(std::net::IpAddr::V4(node.address)));
                if outside
                    || subnet
                        .first_usable()
                        .is_none_or(|first| node.address < first)
                {
                    let message = format!(
                        "{} of {} is not a usable address of {} (Azure keeps the first four)",
                        node.address, node.name, subnet.address_prefix
                    );
                    self.problem(&path, message);
                }
            }
        }
    }

    fn security_groups(&mut self, estate: &Estate) {
        use At::{Index, Key};
        let mut names = BTreeSet::new();
        for (i, nsg) in estate.network_security_groups.iter().enumerate() {
            let of_group = [Key("estate"), Key("network_security_groups"), Index(i)];
            if !names.insert(&nsg.name) {
                let message = format!("a second network security group {}", nsg.name);
                self.problem(&of_group, message);
            }
            let mut priorities = BTreeMap::new();
            for (j, rule) in nsg.all_rules().iter().enumerate() {
                let path = [
                    of_group[0],
                    of_group[1],
                    of_group[2],
                    Key("rules"),
                    Index(j),
                ];
                for message in rule_problems(rule, estate) {
                    self.problem(&path, message);
                }
                if let Some(other) =
                    priorities.insert((rule.direction, rule.priority), rule.name.clone())
                {
                    let message = format!(
                        "{} and {other} both have priority {} {:?}; it is unique per direction",
                        rule.name, rule.priority, rule.direction
                    );
                    self.problem(&path, message);
                }
            }
        }
    }

    fn expectations(&mut self, scenario: &Scenario) {
        use At::{Index, Key};
        let expect = &scenario.expect;
        let nodes: BTreeSet<String> = scenario
            .estate
            .nodes()
            .iter()
            .map(|n| n.name.0.clone())
            .collect();
        for (key, listed) in [
            ("unreachable_nodes", &expect.unreachable_nodes),
            (
                "unreachable_from_themselves",
                &expect.unreachable_from_themselves,
            ),
        ] {
            for (i, node) in listed.iter().enumerate() {
                if !nodes.contains(node.as_str()) {
                    let path = [Key("expect"), Key(key), Index(i)];
                    self.no_such_node(&path, node.as_str(), &nodes);
                }
            }
        }
        let missing: Vec<String> = Cause::ALL
            .iter()
            .filter(|cause| !expect.findings.contains_key(cause))
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            let message = format!("no expected finding for {}", missing.join(", "));
            self.problem(&[Key("expect"), Key("findings")], message);
        }
    }
}

fn rule_problems(rule: &SecurityRule, estate: &Estate) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &rule.name;
    if !(100..=4096).contains(&rule.priority) {
        problems.push(format!(
            "{name}: priority {} is not 100 to 4096",
            rule.priority
        ));
    }
    if !["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"].contains(&rule.protocol.as_str()) {
        problems.push(format!(
            "{name}: protocol {} is none of Tcp, Udp, Icmp, Esp, Ah, *",
            rule.protocol
        ));
    }
    if name.is_empty() || name.chars().count() > 80 {
        problems.push(format!("{name}: a name has 1 to 80 characters"));
    }
    if rule
        .description
        .as_ref()
        .is_some_and(|d| d.chars().count() > 140)
    {
        problems.push(format!("{name}: a description has at most 140 characters"));
    }
    for ports in [&rule.source_ports, &rule.destination_ports] {
        for range in ports.iter().filter(|range| !is_port_range(range)) {
            problems.push(format!("{name}: {range} is no port, range or *"));
        }
    }
    for group in rule.source_groups.iter().chain(&rule.destination_groups) {
        if !estate
            .application_security_groups
            .iter()
            .any(|known| &known.name == group)
        {
            problems.push(format!(
                "{name}: there is no application security group {group}"
            ));
        }
    }
    problems
}

fn is_port_range(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    text == "*"
        || first
            .parse::<u16>()
            .ok()
            .zip(last.parse::<u16>().ok())
            .is_some_and(|(first, last)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINDINGS: &str = "[expect.findings]\nnsg = 'confirmed'\nufw = 'ruled_out'\n\
        iptables = 'ruled_out'\negress = 'ruled_out'\nsnat = 'ruled_out'\n\
        tunnel-pods = 'ruled_out'\nkonnectivity-scale = 'ruled_out'\nroute = 'ruled_out'\n";

    fn problems(text: &str) -> Vec<ScenarioProblem> {
        match Scenario::parse("test", text) {
            Err(ScenarioError::Invalid { problems, .. }) => problems,
            other => panic!("expected problems, got {other:?}"),
        }
    }

    #[test]
    fn the_smallest_scenario_has_three_nodes_and_one_agent() {
        let text = format!("title = 't'\nstory = 's'\n{FINDINGS}");
        let nodes = Scenario::parse("test", &text)
            .expect("valid")
            .estate
            .nodes();
        let agents: Vec<bool> = nodes.iter().map(|node| node.agent).collect();
        assert_eq!(agents, [true, false, false]);
        assert_eq!(nodes[2].address.to_string(), "10.224.0.6");
        assert_eq!(nodes[2].name.0, "aks-nodepool1-28341567-vmss000002");
    }

    #[test]
    fn an_unknown_key_is_an_error_on_its_line() {
        let text = format!(
            "title = 't'\nstory = 's'\n[estate.cluster]\nname = 'a'\ncolour = 1\n{FINDINGS}"
        );
        let problems = problems(&text);
        assert_eq!(problems[0].line, 5, "{problems:?}");
        assert!(problems[0].message.contains("colour"), "{problems:?}");
    }

    #[test]
    fn everything_wrong_is_said_together_in_line_order() {
        let text = "title = 't'\nstory = 's'\n\
            [[estate.network_security_groups]]\nname = 'a'\n\
            [[estate.network_security_groups.rules]]\n\
            name = 'r'\npriority = 99\ndirection = 'Inbound'\naccess = 'Deny'\nprotocol = 'tcp'\n\
            [[estate.nodes]]\nname = 'nowhere'\n\
            [expect.findings]\nnsg = 'confirmed'\n";
        let problems = problems(text);
        let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [5, 5, 12, 13], "{problems:#?}");
        assert!(problems[3].message.contains("konnectivity-scale"));
    }

    #[test]
    fn two_rules_of_one_priority_and_direction_are_refused() {
        let rule = |name: &str| {
            format!(
                "[[estate.network_security_groups.rules]]\nname = '{name}'\npriority = 200\n\
                 direction = 'Inbound'\naccess = 'Deny'\n"
            )
        };
        let text = format!(
            "title = 't'\nstory = 's'\n[[estate.network_security_groups]]\nname = 'a'\n{}{}{FINDINGS}",
            rule("one"),
            rule("two")
        );
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains("unique per direction"));
    }
}
