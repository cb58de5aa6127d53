//! What must hold of the security admin rules that a scenario states.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::At::{Index, Key};
use super::Check;
use crate::estate::{Estate, SecurityAdminRule, is_service_tag};

/// The tags that need no addresses in the scenario.
const TAGS_OF_EVERY_NETWORK: [&str; 3] = ["VirtualNetwork", "AzureLoadBalancer", "Internet"];

const PROTOCOLS: [&str; 6] = ["Tcp", "Udp", "Icmp", "Esp", "Ah", "Any"];

impl Check<'_> {
    pub(super) fn security_admin_rules(&mut self, estate: &Estate) {
        let mut names = BTreeSet::new();
        let mut priorities = BTreeMap::new();
        for (i, rule) in estate.network.security_admin_rules.iter().enumerate() {
            let path = [
                Key("estate"),
                Key("network"),
                Key("security_admin_rules"),
                Index(i),
            ];
            let name = &rule.name;
            if !names.insert((&rule.collection, name)) {
                let message = format!("a second security admin rule {}/{name}", rule.collection);
                self.problem(&path, message);
            }
            if let Some(other) = priorities.insert((rule.direction, rule.priority), name) {
                // Several collections may share one in Azure, but then nothing tells their order.
                let message = format!(
                    "{name} and {other} both have priority {} {:?}; one direction has each once",
                    rule.priority, rule.direction
                );
                self.problem(&path, message);
            }
            for (key, message) in problems(rule, estate) {
                let [estate, network, rules, index] = path;
                self.problem(&[estate, network, rules, index, Key(key)], message);
            }
        }
    }
}

/// What is wrong with one rule, each with the key that it is about.
fn problems(rule: &SecurityAdminRule, estate: &Estate) -> Vec<(&'static str, String)> {
    let name = &rule.name;
    let mut problems = Vec::new();
    for (key, value) in [("name", name), ("collection", &rule.collection)] {
        if !is_name(value) {
            let message = format!(
                "{name}: {key} {value:?} is not 1 to 64 letters, digits, dots, hyphens and underscores"
            );
            problems.push((key, message));
        }
    }
    if !(1..=4096).contains(&rule.priority) {
        let message = format!("{name}: priority {} is not 1 to 4096", rule.priority);
        problems.push(("priority", message));
    }
    if !PROTOCOLS.contains(&rule.protocol.as_str()) {
        let message = format!(
            "{name}: protocol {} is none of {}",
            rule.protocol,
            PROTOCOLS.join(", ")
        );
        problems.push(("protocol", message));
    }
    for (key, places) in [("source", &rule.source), ("destination", &rule.destination)] {
        let wrong = places.iter().filter_map(|place| wrong_place(place, estate));
        problems.extend(wrong.map(|what| (key, format!("{name}: {what}"))));
        if let Some(alone) = places.iter().find(|place| stands_alone(place))
            && places.len() > 1
        {
            problems.push((key, format!("{name}: {alone} cannot stand beside others")));
        }
        if places.is_empty() {
            problems.push((key, format!("{name}: {key} is empty; * is every address")));
        }
    }
    for (key, ports) in [
        ("source_ports", &rule.source_ports),
        ("destination_ports", &rule.destination_ports),
    ] {
        for range in ports.iter().filter(|range| !is_port_range(range)) {
            problems.push((key, format!("{name}: {range} is no port or range")));
        }
        if ports.is_empty() {
            problems.push((
                key,
                format!("{name}: {key} is empty; 0-65535 is every port"),
            ));
        }
    }
    problems
}

/// Names become segments of a resource id.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn stands_alone(place: &str) -> bool {
    place == "*" || place.eq_ignore_ascii_case("Internet")
}

fn wrong_place(place: &str, estate: &Estate) -> Option<String> {
    if place == "*" {
        return None;
    }
    if is_service_tag(place) {
        let tags = estate.service_tags.keys().map(String::as_str);
        let mut known = TAGS_OF_EVERY_NETWORK.into_iter().chain(tags);
        return (!known.any(|tag| tag.eq_ignore_ascii_case(place)))
            .then(|| format!("there is no service tag {place}; estate.service_tags names them"));
    }
    match place.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => None,
        Ok(net) => Some(format!(
            "{place} has bits behind its prefix; write {}",
            net.trunc()
        )),
        Err(_) if place.parse::<IpAddr>().is_ok() => None,
        Err(_) => Some(format!("{place} is no address, prefix, service tag or *")),
    }
}

/// Ports as network managers take them, without the `*` of security rules.
fn is_port_range(text: &str) -> bool {
    text != "*" && super::is_port_range(text)
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Scenario, ScenarioError, ScenarioProblem};

    fn parse(rules: &str) -> Result<Scenario, ScenarioError> {
        let findings = "[expect.findings]\nnsg = 'confirmed'\nufw = 'ruled_out'\n\
            iptables = 'ruled_out'\negress = 'ruled_out'\nsnat = 'ruled_out'\n\
            tunnel-pods = 'ruled_out'\nkonnectivity-scale = 'ruled_out'\nroute = 'ruled_out'\n";
        Scenario::parse(
            "test",
            &format!("title = 't'\nstory = 's'\n{rules}{findings}"),
        )
    }

    fn problems(rules: &str) -> Vec<ScenarioProblem> {
        match parse(rules) {
            Err(ScenarioError::Invalid { problems, .. }) => problems,
            other => panic!("expected problems, got {other:?}"),
        }
    }

    fn rule(name: &str, priority: u16, more: &str) -> String {
        format!(
            "[[estate.network.security_admin_rules]]\nname = '{name}'\npriority = {priority}\n\
             direction = 'Inbound'\naccess = 'Deny'\n{more}"
        )
    }

    #[test]
    fn a_rule_says_only_what_differs_from_any_packet() {
        let scenario = parse(&rule("all", 1, "")).expect("it is valid");
        let rule = &scenario.estate.network.security_admin_rules[0];
        assert_eq!(rule.collection, "baseline");
        assert_eq!(rule.protocol, "Any");
        assert_eq!((&*rule.source[0], &*rule.destination[0]), ("*", "*"));
        assert_eq!(
            (&*rule.source_ports[0], &*rule.destination_ports[0]),
            ("0-65535", "0-65535")
        );
    }

    #[test]
    fn everything_that_azure_takes_is_taken() {
        let rules = rule(
            "a",
            4096,
            "access = 'AlwaysAllow'\nprotocol = 'Esp'\nsource = ['VirtualNetwork', '10.0.0.0/8', \
             'fd00::/8', 'azurecloud']\ndestination = ['Internet']\nsource_ports = ['1-2', '9']\n\
             collection = 'other'\ndescription = 'why'\n",
        )
        .replace("access = 'Deny'\n", "");
        let same_name_elsewhere = rule("a", 4095, "");
        let outbound = rule("b", 4096, "").replace("Inbound", "Outbound");
        let all = format!("{rules}{same_name_elsewhere}{outbound}");
        assert!(parse(&all).is_ok(), "{:?}", parse(&all));
    }

    #[test]
    fn every_fault_of_a_rule_is_said_on_its_line() {
        let problems = problems(&rule(
            "a/b",
            0,
            "protocol = '*'\nsource = ['Storage', '10.0.0.1/8', '10.0.0.0/33']\n\
             source_ports = ['*', '9-1']\ndestination = ['Internet', '10.0.0.0/8']\n\
             destination_ports = []\ncollection = ''\n",
        ));
        let said: Vec<(usize, &str)> = problems
            .iter()
            .map(|problem| (problem.line, problem.message.as_str()))
            .collect();
        let expected = [
            (4, "a/b: name \"a/b\" is not 1 to 64 letters"),
            (5, "a/b: priority 0 is not 1 to 4096"),
            (8, "a/b: protocol * is none of Tcp"),
            (9, "a/b: there is no service tag Storage"),
            (
                9,
                "a/b: 10.0.0.1/8 has bits behind its prefix; write 10.0.0.0/8",
            ),
            (9, "a/b: 10.0.0.0/33 is no address"),
            (10, "a/b: * is no port or range"),
            (10, "a/b: 9-1 is no port or range"),
            (11, "a/b: Internet cannot stand beside others"),
            (12, "a/b: destination_ports is empty"),
            (13, "a/b: collection \"\" is not 1 to 64 letters"),
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for ((line, message), (expected_line, start)) in said.into_iter().zip(expected) {
            assert_eq!(line, expected_line, "{message}");
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn a_priority_and_a_name_are_there_once() {
        let problems = problems(&format!("{}{}", rule("a", 7, ""), rule("a", 7, "")));
        let said: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(
            said,
            [
                "a second security admin rule baseline/a",
                "a and a both have priority 7 Inbound; one direction has each once"
            ]
        );
    }
}
