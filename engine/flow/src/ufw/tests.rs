//! What ufw's rules decide, and where a rule must go.

use super::*;
use crate::delta::FlowDelta;
use crate::iptables::{Family, InterfaceKnowledge, Knowledge, NodeFirewall, Ruleset};
use crate::policy::{Policy, Verdict};
use crate::set::{AddressSet, FlowBox, Packet, PacketSet, PortSet, Space};

fn policy(commands: &[&str]) -> UfwPolicy {
    UfwPolicy {
        rules: commands
            .iter()
            .map(|command| UfwRule::parse(command).unwrap())
            .collect(),
        defaults: Some(UfwDefaults {
            incoming: UfwAction::Deny,
            outgoing: UfwAction::Allow,
            routed: None,
        }),
        in_interface: InterfaceKnowledge::NotLoopback,
        out_interface: InterfaceKnowledge::NotLoopback,
    }
}

fn kubelet() -> Packet {
    Packet::new_tcp(
        "10.224.0.4".parse().unwrap(),
        "10.224.0.5".parse().unwrap(),
        10250,
    )
}

fn needed(space: &mut Space) -> PacketSet {
    let nodes = AddressSet::prefix("10.224.0.0/16".parse().unwrap());
    let flow = FlowBox::new_tcp(nodes.clone(), nodes, PortSet::single(10250_u16));
    space
        .flow(&flow.with_direction(crate::set::Direction::Inbound))
        .unwrap()
}

fn verdict(policy: &UfwPolicy, packet: Packet) -> Verdict {
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    decisions.answer(&mut space, &packet).unwrap().verdict
}

#[test]
fn the_first_rule_that_matches_decides_then_the_default() {
    assert_eq!(verdict(&policy(&[]), kubelet()), Verdict::Deny);
    assert_eq!(
        verdict(&policy(&["allow 10250"]), kubelet()),
        Verdict::Allow
    );
    assert_eq!(
        verdict(&policy(&["allow 10250/udp"]), kubelet()),
        Verdict::Deny
    );
    let late = policy(&["deny from 10.0.0.0/8 to any port 10250", "allow 10250/tcp"]);
    assert_eq!(verdict(&late, kubelet()), Verdict::Deny);
    assert_eq!(
        verdict(&policy(&["limit 10250/tcp"]), kubelet()),
        Verdict::Unknown
    );
    assert_eq!(
        verdict(&policy(&["allow in on eth0 to any port 10250"]), kubelet()),
        Verdict::Unknown
    );
    assert_eq!(
        verdict(&policy(&["allow in on lo"]), kubelet()),
        Verdict::Deny
    );
    assert_eq!(
        verdict(&policy(&["route allow 10250"]), kubelet()),
        Verdict::Deny
    );
    let outbound = kubelet().with_direction(crate::set::Direction::Outbound);
    assert_eq!(verdict(&policy(&[]), outbound), Verdict::Allow);
    assert_eq!(
        verdict(&policy(&["deny out 10250/tcp"]), outbound),
        Verdict::Deny
    );
}

#[test]
fn an_allow_goes_before_the_first_rule_that_blocks_and_opens_only_its_own_match() {
    let before = policy(&[
        "allow 22/tcp",
        "deny from 10.9.0.0/16",
        "reject proto tcp from 10.224.0.0/20 to any port 10000:11000",
        "deny 10250/tcp",
    ]);
    let mut space = Space::new();
    let needed = needed(&mut space);
    let place = before.insert_place(&mut space, needed).unwrap();
    assert_eq!(place, InsertPlace::Before(3));
    let allow = "allow proto tcp from 10.224.0.0/16 to 10.224.0.0/16 port 10250";
    let after = before.with_rule(place, UfwRule::parse(allow).unwrap());
    let decide =
        |space: &mut Space, policy: &UfwPolicy| policy.decide(space, PacketSet::ALL).unwrap();
    let (was, is) = (decide(&mut space, &before), decide(&mut space, &after));
    let delta = FlowDelta::between(&mut space, &was, &is).unwrap();
    assert_eq!(delta.newly_allowed, needed);
    assert!(delta.newly_denied.is_empty() && delta.is_exactly_known());
    assert_eq!(
        after.insert_place(&mut space, needed).unwrap(),
        InsertPlace::NotNeeded
    );
    let open = policy(&["allow 22/tcp"]);
    assert_eq!(
        open.insert_place(&mut space, needed).unwrap(),
        InsertPlace::Append
    );
}

const FILTER: &str = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n:ufw-before-input -\n\
    :ufw-before-logging-input -\n:ufw-user-input -\n:ufw-user-output -\n\
    :ufw-user-logging-input -\n:ufw-user-limit -\n:ufw-user-limit-accept -\n\
    -A INPUT -j ufw-before-input\n\
    -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
    -A ufw-before-input -j ufw-user-input\n";

fn kernel(user_rules: &str) -> NodeFirewall {
    let ruleset = Ruleset::parse(Family::Ipv4, &format!("{FILTER}{user_rules}COMMIT\n"));
    NodeFirewall::new([ruleset.unwrap()], Knowledge::default())
}

fn listed(lines: &[&str]) -> Vec<UfwRule> {
    let table: String = lines
        .iter()
        .zip(1..)
        .map(|(line, number)| format!("[{number:2}] {line}\n"))
        .collect();
    let text = format!("Status: active\n\nTo  Action  From\n--  ------  ----\n{table}");
    match UfwStatus::parse(&text).unwrap() {
        UfwStatus::Active(report) => report.rules,
        other => panic!("{other:?}"),
    }
}

/// The rules of ufw's chain for received packets.
fn user_input(firewall: &NodeFirewall) -> Vec<String> {
    let filter = firewall.rulesets[0]
        .ruleset
        .table(crate::iptables::TableName::Filter);
    let chain = filter.unwrap().chain("ufw-user-input").unwrap();
    chain
        .rules
        .iter()
        .map(|rule| rule.to_string().trim().to_owned())
        .collect()
}

const LIST: [&str; 4] = [
    "22/tcp                     LIMIT IN    Anywhere                   (log)",
    "53                         ALLOW OUT   Anywhere                   (out)",
    "443                        REJECT IN   10.0.0.0/8",
    "10250/tcp                  DENY IN     Anywhere",
];

const RULES: &str = "-A ufw-user-input -p tcp -m tcp --dport 22 -j ufw-user-logging-input
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit
-A ufw-user-input -p tcp -m tcp --dport 22 -j ufw-user-limit-accept
-A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 443 -j REJECT --reject-with tcp-reset
-A ufw-user-input -s 10.0.0.0/8 -p udp -m udp --dport 443 -j REJECT --reject-with icmp-port-unreachable
-A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP
-A ufw-user-output -p tcp -m tcp --dport 53 -j ACCEPT
-A ufw-user-output -p udp -m udp --dport 53 -j ACCEPT
";

#[test]
fn a_rule_stands_in_the_kernels_chain_where_its_number_says_and_goes_from_there() {
    let firewall = kernel(RULES);
    let list = listed(&LIST);
    let rule = UfwRule::parse("allow from 10.224.0.0/16 to any port 10250 proto tcp").unwrap();
    for (position, at) in [(1, 0), (2, 4), (3, 4), (4, 6), (0, 7)] {
        let insert = UfwChange::Insert {
            position,
            rule: &rule,
        };
        let after = ufw_change(&firewall, &list, insert).unwrap();
        let rules = user_input(&after);
        assert_eq!(rules.len(), 8);
        assert!(
            rules[at].ends_with("-j ACCEPT") && rules[at].contains("10.224.0.0/16"),
            "{position}: {rules:#?}"
        );
        let mut list = list.clone();
        let place = position.checked_sub(1).unwrap_or(list.len());
        list.insert(place, rule.clone());
        let back = ufw_change(&after, &list, UfwChange::Delete { rule: &rule }).unwrap();
        assert_eq!(user_input(&back), user_input(&firewall));
    }
}

#[test]
fn a_chain_that_is_not_what_the_list_stands_for_is_not_guessed_about() {
    let rule = UfwRule::parse("allow 10250/tcp").unwrap();
    let insert = UfwChange::Insert {
        position: 1,
        rule: &rule,
    };
    for rules in [
        format!("-A ufw-user-input -p tcp -j DROP\n{RULES}"),
        format!("{RULES}-A ufw-user-input -p tcp -j DROP\n"),
        String::new(),
    ] {
        let error = ufw_change(&kernel(&rules), &listed(&LIST), insert).unwrap_err();
        assert_eq!(error.code(), "ufw_kernel_unclear");
    }
    let application = listed(&["Nginx Full  ALLOW IN  Anywhere"]);
    let error = ufw_change(&kernel(RULES), &application, insert).unwrap_err();
    assert!(
        error.to_string().contains("application profiles"),
        "{error}"
    );
}

#[test]
fn disabled_ufw_leaves_its_chains_empty_and_what_others_put_beside_them() {
    let others = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";
    let firewall = kernel(&format!("{RULES}{others}"));
    let disable = |defaults| ufw_change(&firewall, &[], UfwChange::Disable { defaults });
    let after = disable("MANAGE_BUILTINS=no\n").unwrap();
    let mut space = Space::new();
    let decided = |space: &mut Space, firewall: &NodeFirewall, port| {
        let decisions = firewall.decide(space, PacketSet::ALL).unwrap();
        let packet = Packet::new_tcp(kubelet().source, kubelet().destination, port);
        decisions.answer(space, &packet).unwrap().verdict
    };
    assert_eq!(decided(&mut space, &firewall, 443), Verdict::Deny);
    assert_eq!(decided(&mut space, &after, 443), Verdict::Allow);
    assert_eq!(decided(&mut space, &after, 10250), Verdict::Deny);
    let after = disable("MANAGE_BUILTINS=\"yes\"\n").unwrap();
    assert_eq!(decided(&mut space, &after, 10250), Verdict::Allow);
    assert!(disable("").is_err());
}
