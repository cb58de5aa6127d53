//! What every parser must bear: any input ends in a value or a typed error,
//! without a panic, and what was read is printed back the same.
//!
//! Shared by the fuzz targets and by the bounded run in the normal tests, so
//! that the targets cannot rot.

use naosu_flow::firewall::{Firewall, RouteTable};
use naosu_flow::iptables::{Family, Hook, Knowledge, NodeFirewall, Ruleset};
use naosu_flow::nsg::Nsg;
use naosu_flow::set::{Budget, PacketSet, Space};
use naosu_flow::ufw::{UfwStatus, parse_added, parse_user_rules};

/// One parser's harness.
pub type Harness = fn(&str);

/// Every harness by the name of its fuzz target.
#[allow(dead_code, reason = "a fuzz target uses one harness")]
pub const HARNESSES: [(&str, Harness); 5] = [
    ("iptables_save", iptables_save),
    ("ufw", ufw),
    ("nsg_json", nsg_json),
    ("firewall_json", firewall_json),
    ("route_table_json", route_table_json),
];

/// Reads a dump as both families, prints it, reads it again, and decides.
pub fn iptables_save(text: &str) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let Ok(ruleset) = Ruleset::parse(family, text) else {
            continue;
        };
        let printed = ruleset.to_string();
        let again = Ruleset::parse(family, &printed).expect("what was printed can be read");
        assert_eq!(again.to_string(), printed, "printing is stable");
        assert_eq!(again.rule_count(), ruleset.rule_count());
        let budget = Budget {
            edges: 50_000,
            steps: 200_000,
            ..Budget::default()
        };
        let mut space = Space::with_budget(budget);
        let firewall = NodeFirewall::new([ruleset], Knowledge::default());
        for hook in [Hook::Input, Hook::Forward, Hook::Output] {
            if let Ok(decided) = firewall.analyse(&mut space, hook, PacketSet::ALL) {
                let _ = decided.decisions.partition(&mut space);
            }
        }
    }
}

/// Reads a text as each of the things ufw writes.
pub fn ufw(text: &str) {
    let _ = UfwStatus::parse(text);
    if let Ok(rules) = parse_added(text) {
        for rule in rules {
            let again = naosu_flow::ufw::UfwRule::parse(&rule.to_string());
            assert!(
                again.is_ok() || rule_has_odd_words(&rule),
                "{rule}: {again:?}"
            );
        }
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let _ = parse_user_rules(family, text);
    }
}

/// Names that a command line can hold only with quotes.
fn rule_has_odd_words(rule: &naosu_flow::ufw::UfwRule) -> bool {
    let names = [
        &rule.in_interface,
        &rule.out_interface,
        &rule.from.application,
        &rule.to.application,
    ];
    let odd = |name: &String| name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric());
    names.into_iter().flatten().any(odd)
}

/// Reads a network security group.
pub fn nsg_json(text: &str) {
    let _ = Nsg::from_arm_json(text);
}

/// Reads an Azure Firewall, classic and as a policy.
pub fn firewall_json(text: &str) {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    let _ = Firewall::from_classic(&value);
    let groups = match &value {
        serde_json::Value::Array(groups) => groups.as_slice(),
        other => std::slice::from_ref(other),
    };
    let _ = Firewall::from_policies(&[(&value, groups)]);
}

/// Reads a route table.
pub fn route_table_json(text: &str) {
    if let Ok(value) = serde_json::from_str(text) {
        let _ = RouteTable::from_arm(&value);
    }
}
