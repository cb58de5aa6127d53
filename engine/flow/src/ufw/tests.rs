//! What ufw's rules decide, and where a rule must go.

use super::*;
use crate::delta::FlowDelta;
use crate::iptables::{Family, InterfaceKnowledge, Knowledge, NodeFirewall, Rule, Ruleset};
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

fn kernel(user_rules: &str, before: &str) -> NodeFirewall {
    let text = format!(
        "*filter\n:INPUT DROP\n:ufw-before-input -\n:ufw-user-input -\n{before}-A INPUT -j ufw-before-input\n\
         -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A ufw-before-input -j ufw-user-input\n{user_rules}COMMIT\n"
    );
    let ruleset = Ruleset::parse(Family::Ipv4, &text).unwrap();
    NodeFirewall::new([ruleset], Knowledge::default())
}

#[test]
fn in_the_kernels_rules_the_place_is_proved_by_the_rules_as_they_would_be() {
    let mut space = Space::new();
    let needed = needed(&mut space);
    let allow = || {
        let text = "-p tcp -s 10.224.0.0/16 -d 10.224.0.0/16 --dport 10250 -j ACCEPT";
        Rule::parse(Family::Ipv4, text, &[]).unwrap()
    };
    let mut place = |firewall: &NodeFirewall| {
        let found = kernel_insert(firewall, &mut space, Family::Ipv4, needed, allow());
        found.unwrap().0
    };
    let ssh = "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n";
    let deny = "-A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP\n";
    assert_eq!(place(&kernel(ssh, "")), InsertPlace::Append);
    assert_eq!(
        place(&kernel(&format!("{ssh}{deny}"), "")),
        InsertPlace::Before(2)
    );
    let open = "-A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT\n";
    assert_eq!(place(&kernel(open, "")), InsertPlace::NotNeeded);
    let earlier = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";
    assert_eq!(place(&kernel(ssh, earlier)), InsertPlace::InVain);
}
