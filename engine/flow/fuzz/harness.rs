//! What every parser must bear: any input ends in a value or a typed error,
//! without a panic, and what was read is printed back the same.
//!
//! Shared by the fuzz targets and by the bounded run in the normal tests, so
//! that the targets cannot rot.

use std::collections::BTreeSet;

use naosu_flow::firewall::{Firewall, RouteTable};
use naosu_flow::iptables::{
    Exemplar, Family, FirewallRuleset, Hook, Knowledge, NodeFirewall, Ruleset, Specifications,
};
use naosu_flow::nsg::{
    AdminPolicy, AdminRule, Nsg, NsgChain, NsgRule, PlacementRequest, Side, TagContext, place,
};
use naosu_flow::policy::Policy;
use naosu_flow::set::{AddressSet, Budget, FlowBox, PacketSet, PortSet, Space};
use naosu_flow::ufw::{UfwPolicy, UfwStatus, parse_added, parse_user_rules};
use serde_json::Value;

/// One parser's harness.
pub type Harness = fn(&str);

/// Every harness by the name of its fuzz target.
#[allow(dead_code, reason = "a fuzz target uses one harness")]
pub const HARNESSES: [(&str, Harness); 9] = [
    ("iptables_save", iptables_save),
    ("ufw_status", ufw_status),
    ("ufw_added", ufw_added),
    ("ufw_user_rules", ufw_user_rules),
    ("nsg_json", nsg_json),
    ("firewall_json", firewall_json),
    ("route_table_json", route_table_json),
    ("service_tags_json", service_tags_json),
    ("admin_rules_json", admin_rules_json),
];

/// Room for small questions only: whatever is read, an answer comes soon.
fn small() -> Space {
    Space::with_budget(Budget {
        edges: 50_000,
        steps: 200_000,
        ..Budget::default()
    })
}

/// Decides every packet; what is too complex is an answer.
fn decide(policy: &dyn Policy) {
    let mut space = small();
    if let Ok(decisions) = policy.decide(&mut space, PacketSet::ALL) {
        let _ = decisions.partition(&mut space);
    }
}

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
        // Read among others, it is the same.
        let mut known = Specifications::default();
        for _ in 0..2 {
            let shared = Ruleset::parse_sharing(family, text, &mut known);
            assert_eq!(shared.as_ref(), Ok(&ruleset));
        }
        alike(family, text);
        let mut space = small();
        let firewall = NodeFirewall::new([ruleset], Knowledge::default());
        for hook in [Hook::Input, Hook::Forward, Hook::Output] {
            if let Ok(decided) = firewall.analyse(&mut space, hook, PacketSet::ALL) {
                let _ = decided.decisions.partition(&mut space);
            }
        }
    }
}

/// A dump does as itself; without one of its lines it is taken to do so only
/// where it can be read.
fn alike(family: Family, text: &str) {
    let shown = |text: &str| match family {
        Family::Ipv4 => FirewallRuleset {
            ipv4_nft: Some(text.to_owned()),
            ..FirewallRuleset::default()
        },
        Family::Ipv6 => FirewallRuleset {
            ipv6_nft: Some(text.to_owned()),
            ..FirewallRuleset::default()
        },
    };
    let dumps = shown(text);
    let firewall = dumps.firewall(&[]).expect("it was read before");
    let exemplar = Exemplar::new(dumps.clone(), &firewall, Hook::Input);
    let mut known = Specifications::default();
    assert!(exemplar.decides_as(&dumps, &mut known));
    for left_out in 0..text.lines().count().min(LINES_LEFT_OUT) {
        let lines = text.lines().enumerate();
        let others: Vec<&str> = lines
            .filter(|(at, _)| *at != left_out)
            .map(|(_, line)| line)
            .collect();
        let other = shown(&others.join("\n"));
        if exemplar.decides_as(&other, &mut known) {
            other.firewall(&[]).expect("what does the same can be read");
        }
    }
}

/// Lines that are left out in turn.
const LINES_LEFT_OUT: usize = 16;

/// Reads what ufw says of itself, and decides by its rules.
pub fn ufw_status(text: &str) {
    if let Ok(UfwStatus::Active(report)) = UfwStatus::parse(text) {
        decide(&UfwPolicy {
            rules: report.rules,
            defaults: report.defaults,
            in_interface: Default::default(),
            out_interface: Default::default(),
        });
    }
}

/// Reads the commands that made ufw's rules.
pub fn ufw_added(text: &str) {
    if let Ok(rules) = parse_added(text) {
        for rule in rules {
            let again = naosu_flow::ufw::UfwRule::parse(&rule.to_string());
            assert!(
                again.is_ok() || rule_has_odd_words(&rule),
                "{rule}: {again:?}"
            );
        }
    }
}

/// Reads the files that ufw keeps its rules in.
pub fn ufw_user_rules(text: &str) {
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

/// Reads a network security group, writes it, decides, and places a rule.
pub fn nsg_json(text: &str) {
    let Ok(group) = Nsg::from_arm_json(text) else {
        return;
    };
    let _ = group.rules_to_arm();
    let tags = TagContext::new();
    match group.policy(&tags) {
        Ok(policy) => decide(&policy),
        Err(_) => return,
    }
    let nodes: AddressSet = AddressSet::prefix("10.224.0.0/16".parse().expect("a prefix"));
    let request = PlacementRequest {
        rule: kubelet_rule(),
        required: vec![FlowBox::new_tcp(
            nodes.clone(),
            nodes,
            PortSet::single(10_250_u16),
        )],
        pinned: BTreeSet::new(),
    };
    if group.rules.len() < 50
        && let Ok(placement) = place(&group, &request, &tags)
    {
        let after = placement.apply(&group).expect("it is placed in this group");
        assert_eq!(after.rules.len(), group.rules.len() + 1);
    }
}

fn kubelet_rule() -> NsgRule {
    serde_json::from_value(serde_json::json!({
        "name": "naosu", "priority": 0, "direction": "inbound", "access": "allow",
        "protocol": "Tcp", "description": "",
        "source_prefixes": ["10.224.0.0/16"], "source_ports": ["*"], "source_groups": [],
        "destination_prefixes": ["10.224.0.0/16"], "destination_ports": ["10250"],
        "destination_groups": [],
    }))
    .expect("a rule")
}

/// Reads an Azure Firewall, classic and as a policy, and decides.
pub fn firewall_json(text: &str) {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let groups = match &value {
        Value::Array(groups) => groups.as_slice(),
        other => std::slice::from_ref(other),
    };
    for firewall in [
        Firewall::from_classic(&value),
        Firewall::from_policies(&[(&value, groups)]),
    ] {
        let policy = firewall.and_then(|firewall| firewall.policy(&TagContext::new()));
        if let Ok(policy) = policy {
            decide(&policy);
        }
    }
}

/// Reads a route table and asks where packets go.
pub fn route_table_json(text: &str) {
    let Ok(value) = serde_json::from_str(text) else {
        return;
    };
    if let Ok(table) = RouteTable::from_arm(&value) {
        let all = table.destinations();
        let _ = table.reaching("10.0.0.4".parse().expect("an address"));
        for route in table.routes() {
            assert!(all.iter().any(|(hop, _)| *hop == route.next_hop) || all.is_empty());
        }
    }
}

/// Reads the list of service tags and looks one up.
pub fn service_tags_json(text: &str) {
    let Ok(value) = serde_json::from_str(text) else {
        return;
    };
    if let Ok(tags) = TagContext::new().with_service_tags(&value) {
        let _ = tags.tag("AzureCloud.westeurope", Side::Source);
    }
}

/// Reads security admin rules, one or a list, and decides by them.
pub fn admin_rules_json(text: &str) {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let rules = match &value {
        Value::Array(rules) => rules.as_slice(),
        other => std::slice::from_ref(other),
    };
    let rules: Vec<AdminRule> = rules
        .iter()
        .filter_map(|rule| AdminRule::from_arm(rule).ok())
        .collect();
    let tags = TagContext::new();
    let chain = NsgChain::new("nic", None, None, &tags);
    if let (Ok(chain), Ok(admin)) = (chain, AdminPolicy::new(&rules, &tags)) {
        decide(&admin.before(&chain));
    }
}
