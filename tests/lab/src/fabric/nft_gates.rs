//! What new connections of a machine's plug go through in the kernel: security admin rules where
//! its network has some, and the network security groups.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::nft::{comment, match_expressions};
use super::policy::{FabricPolicy, Port};
use super::security_admin_rules::AdminRule;
use crate::estate::{AdminAccess, Direction};

/// The chains that the base chain jumps to for a plug, in order. Each returns what it lets pass.
pub(super) fn gates(port: &Port, direction: Direction) -> Vec<String> {
    match port.admin_rules {
        Some(_) => vec![admin_chain(port, direction)],
        None => group_chains(port, direction),
    }
}

/// The chains of the groups on a plug, in Azure's order.
fn group_chains(port: &Port, direction: Direction) -> Vec<String> {
    let mut groups = [port.subnet_group, port.interface_group];
    if direction == Direction::Outbound {
        groups.reverse();
    }
    let chain = |group| format!("nsg_{group}_{}", word(direction));
    groups.into_iter().flatten().map(chain).collect()
}

/// Plugs with the same rules and groups share a chain.
fn admin_chain(port: &Port, direction: Direction) -> String {
    let index = |index: Option<usize>| index.map_or("none".to_owned(), |index| index.to_string());
    format!(
        "admin_{}_subnet_{}_interface_{}_{}",
        index(port.admin_rules),
        index(port.subnet_group),
        index(port.interface_group),
        word(direction)
    )
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
    }
}

/// Writes the chains of security admin rules, behind those of the groups.
///
/// Such a rule is said in words of the caller's chain: to always allow is to return to it past the
/// groups, and to allow is to go to the groups, which return to it as well since one goes there
/// and does not jump.
pub(super) fn admin_chains(script: &mut String, policy: &FabricPolicy) {
    let mut chains = BTreeMap::new();
    for port in &policy.ports {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let rules = port.admin_rules.and_then(|i| policy.admin_rules.get(i));
            if let Some(rules) = rules {
                let groups = group_chains(port, direction);
                let name = admin_chain(port, direction);
                chains.insert(name, (rules.of(direction), groups));
            }
        }
    }
    for (name, (rules, groups)) in chains {
        admin_chain_text(script, &name, rules, &groups);
    }
}

fn admin_chain_text(script: &mut String, name: &str, rules: &[AdminRule], groups: &[String]) {
    let behind = format!("behind_{name}");
    let _ = writeln!(script, "  chain {behind} {{");
    for group in groups {
        let _ = writeln!(script, "    jump {group}");
    }
    let _ = writeln!(script, "  }}\n  chain {name} {{");
    for rule in rules {
        let verdict = match rule.access {
            AdminAccess::Allow => format!("goto {behind}"),
            AdminAccess::AlwaysAllow => "return".to_owned(),
            AdminAccess::Deny => "drop".to_owned(),
        };
        let comment = comment(&rule.name);
        for packets in match_expressions(&rule.packets) {
            let _ = writeln!(
                script,
                "    {packets}counter {verdict} comment \"{comment}\""
            );
        }
    }
    let _ = writeln!(script, "    goto {behind}\n  }}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::address_match::AddressMatch;
    use crate::fabric::security_admin_rules::AdminRules;
    use crate::fabric::security_rules::{PacketMatch, SecurityGroup};
    use crate::fabric::{Protocol, nft_script};

    fn rule(name: &str, port: u16, access: AdminAccess) -> AdminRule {
        AdminRule {
            name: name.to_owned(),
            priority: 1,
            packets: PacketMatch {
                protocols: vec![Protocol::Tcp],
                source: AddressMatch::Any,
                source_ports: Vec::new(),
                destination: AddressMatch::Any,
                destination_ports: vec![port..=port],
            },
            access,
        }
    }

    fn policy(admin_rules: Option<usize>) -> FabricPolicy {
        FabricPolicy {
            ports: vec![Port {
                address: [10, 0, 0, 4].into(),
                admin_rules,
                interface_group: Some(1),
                subnet_group: Some(0),
                route_table: None,
                nat_gateway: None,
            }],
            admin_rules: vec![AdminRules {
                inbound: vec![
                    rule("always", 1, AdminAccess::AlwaysAllow),
                    rule("hand \"on\"", 2, AdminAccess::Allow),
                    rule("never", 3, AdminAccess::Deny),
                ],
                outbound: Vec::new(),
            }],
            groups: vec![SecurityGroup::default(), SecurityGroup::default()],
            ..FabricPolicy::default()
        }
    }

    fn script(policy: &FabricPolicy) -> String {
        nft_script(policy, |_| Some("plug".to_owned()), "outside")
    }

    #[test]
    fn admin_rules_decide_before_the_groups_or_hand_on_to_them() {
        let script = script(&policy(Some(0)));
        let inbound = "  chain behind_admin_0_subnet_0_interface_1_in {
    jump nsg_0_in
    jump nsg_1_in
  }
  chain admin_0_subnet_0_interface_1_in {
    meta l4proto { tcp } th dport { 1 } counter return comment \"always\"
    meta l4proto { tcp } th dport { 2 } counter goto behind_admin_0_subnet_0_interface_1_in comment \"hand__on_\"
    meta l4proto { tcp } th dport { 3 } counter drop comment \"never\"
    goto behind_admin_0_subnet_0_interface_1_in
  }
";
        assert!(script.contains(inbound), "{script}");
        let outbound = "  chain behind_admin_0_subnet_0_interface_1_out {
    jump nsg_1_out
    jump nsg_0_out
  }
";
        assert!(script.contains(outbound), "{script}");
        let base = "    iifname \"plug\" jump admin_0_subnet_0_interface_1_out
    oifname \"plug\" jump admin_0_subnet_0_interface_1_in
    accept
";
        assert!(script.contains(base), "{script}");
    }

    #[test]
    fn a_network_without_admin_rules_goes_to_the_groups_at_once() {
        let script = script(&policy(None));
        let base = "    iifname \"plug\" jump nsg_1_out
    iifname \"plug\" jump nsg_0_out
    oifname \"plug\" jump nsg_0_in
    oifname \"plug\" jump nsg_1_in
    accept
";
        assert!(script.contains(base), "{script}");
        assert!(!script.contains("admin"), "{script}");
    }
}
