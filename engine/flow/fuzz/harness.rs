//! What every parser must bear: any input ends in a value or a typed error,
//! without a panic, and what was read is printed back the same.
//!
//! Shared by the fuzz targets and by the bounded run in the normal tests, so
//! that the targets cannot rot.

use std::collections::{BTreeMap, BTreeSet};

use naosu_flow::field::{FieldError, parse_json};
use naosu_flow::firewall::{Firewall, RouteTable, ip_group_addresses};
use naosu_flow::iptables::{
    Exemplar, Family, FirewallRuleset, Hook, Knowledge, NftChain, NodeFirewall, NodeRoutes, Rule,
    Ruleset, Specifications, managed_rule, managed_specification,
};
use naosu_flow::nsg::{
    AdminPolicy, AdminRule, AdminRulesInForce, Nsg, NsgChain, NsgRule, PlacementRequest, Side,
    TagContext, VirtualNetworkTag, place, route_tables,
};
use naosu_flow::policy::Policy;
use naosu_flow::set::{AddressSet, Budget, FlowBox, PacketSet, PortSet, Space};
use naosu_flow::ufw::{
    UfwChange, UfwPolicy, UfwRules, UfwStatus, parse_added, parse_user_rules, ufw_change,
};
use serde_json::Value;

/// One parser's harness.
pub type Harness = fn(&str);

/// Every harness by the name of its fuzz target.
#[allow(dead_code, reason = "a fuzz target uses one harness")]
pub const HARNESSES: [(&str, Harness); 17] = [
    ("iptables_save", iptables_save),
    ("ufw_status", ufw_status),
    ("ufw_added", ufw_added),
    ("ufw_user_rules", ufw_user_rules),
    ("nsg_json", nsg_json),
    ("firewall_json", firewall_json),
    ("route_table_json", route_table_json),
    ("service_tags_json", service_tags_json),
    ("admin_rules_json", admin_rules_json),
    ("node_routes", node_routes),
    ("nft_chains", nft_chains),
    ("typed_rule", typed_rule),
    ("ufw_files", ufw_files),
    ("ip_group_json", ip_group_json),
    ("virtual_network_json", virtual_network_json),
    ("admin_in_force_json", admin_in_force_json),
    ("strict_json", strict_json),
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
    let cloud = "20.0.0.0/8".parse().expect("a prefix");
    let tags = TagContext::new().with_tag("AzureCloud", AddressSet::prefix(cloud));
    if let Ok(table) = RouteTable::from_arm(&value, &tags) {
        let _ = table.reaching("10.0.0.4".parse().expect("an address"));
        for (hop, destinations) in table.destinations() {
            for prefix in destinations.to_prefixes() {
                let route = table.route(prefix.addr()).map(|route| route.next_hop);
                assert_eq!(route, Some(hop));
            }
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

/// Reads a node's routes; what is listed twice tells nothing more.
pub fn node_routes(text: &str) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let Some(routes) = NodeRoutes::parse(family, text) else {
            continue;
        };
        assert_eq!(routes.interfaces().loopback, routes.local);
        if let Some((_, behind)) = &routes.network {
            let both = behind.intersection(&routes.local);
            assert!(both.is_empty(), "an own address is behind an interface");
        }
        let twice = NodeRoutes::parse(family, &format!("{text}\n{text}"));
        assert_eq!(twice.as_ref(), Some(&routes));
    }
}

/// Reads the chains of tables that iptables does not show, one a line, and writes
/// them again.
pub fn nft_chains(text: &str) {
    for chain in text.lines().filter_map(NftChain::from_line) {
        let _ = chain.may_drop();
        let dropping = chain.dropping.map(|count| format!(" {count}"));
        let written = format!(
            "{} {} {} {} {} {} {}{}",
            chain.family,
            chain.table,
            chain.chain,
            chain.kind,
            chain.hook,
            chain.policy,
            chain.rules,
            dropping.unwrap_or_default()
        );
        assert_eq!(NftChain::from_line(&written), Some(chain));
    }
}

/// Reads rules as they are typed, one a line, prints them, and tells whose they are.
pub fn typed_rule(text: &str) {
    const CHAINS: [&str; 3] = ["OWN", "KUBE-FIREWALL", "ufw-user-input"];
    for line in text.lines() {
        for family in [Family::Ipv4, Family::Ipv6] {
            for chain in ["INPUT", "KUBE-FIREWALL"] {
                let managed = managed_specification(family, chain, line);
                assert!(managed.is_some() || chain == "INPUT", "{chain}");
            }
            let Ok(rule) = Rule::parse(family, line, &CHAINS) else {
                continue;
            };
            let printed = rule.to_string();
            let again = Rule::parse(family, &printed, &CHAINS).expect("what was printed");
            assert_eq!(again.to_string(), printed, "printing is stable");
            let owner = managed_rule("INPUT", &rule);
            assert_eq!(managed_rule("INPUT", &again), owner, "{printed}");
        }
    }
}

/// Stands between the files in [`ufw_files`].
const NEXT_FILE: &str = "\n==== next file\n";

/// Reads the files that ufw starts from, in this order: its defaults, what comes
/// before a user's rules, after them, these, and programs that it runs. Then stops it.
pub fn ufw_files(text: &str) {
    let mut texts = text.split(NEXT_FILE).map(str::to_owned);
    let mut next = || texts.next().unwrap_or_default();
    let v6 = |text: &str| text.replace("ufw-", "ufw6-");
    let (defaults, before_rules, after_rules, user_rules, hooks) =
        (next(), next(), next(), next(), next());
    let files = UfwRules {
        installed: true,
        before6_rules: v6(&before_rules),
        after6_rules: v6(&after_rules),
        user6_rules: v6(&user_rules),
        defaults,
        before_rules,
        after_rules,
        user_rules,
        hooks,
        ..UfwRules::default()
    };
    let bare = |family| {
        let text =
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
        Ruleset::parse(family, text).expect("a ruleset")
    };
    let rulesets = [bare(Family::Ipv4), bare(Family::Ipv6)];
    let firewall = NodeFirewall::new(rulesets, Knowledge::default());
    let Ok(started) = ufw_change(&firewall, &[], UfwChange::Enable { files: &files }) else {
        return;
    };
    assert!(
        files.hooks.trim().is_empty(),
        "what programs do is not known"
    );
    let mut space = small();
    for loaded in &started.rulesets {
        let printed = loaded.ruleset.to_string();
        let again = Ruleset::parse(loaded.ruleset.family, &printed);
        let again = again.expect("what ufw loads can be read");
        assert_eq!(again.to_string(), printed, "printing is stable");
    }
    if let Ok(decided) = started.analyse(&mut space, Hook::Input, PacketSet::ALL) {
        let _ = decided.decisions.partition(&mut space);
    }
    let defaults = &files.defaults;
    let _ = ufw_change(&started, &[], UfwChange::Disable { defaults });
}

/// Reads an IP group, whose addresses mean the same in any order.
pub fn ip_group_json(text: &str) {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let Ok(addresses) = ip_group_addresses(&value) else {
        return;
    };
    let listed = value.pointer_mut("/properties/ipAddresses");
    if let Some(listed) = listed.and_then(Value::as_array_mut) {
        listed.reverse();
    }
    assert_eq!(ip_group_addresses(&value), Ok(addresses));
}

/// Reads networks, one or a list, and what their service tag stands for, with route
/// tables that are read and that are not. Their order means nothing.
pub fn virtual_network_json(text: &str) {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let networks = match &value {
        Value::Array(networks) => networks.as_slice(),
        other => std::slice::from_ref(other),
    };
    let ids = route_tables(networks, None);
    let read = |answer: &Result<Value, String>| -> BTreeMap<String, Result<Value, String>> {
        let ids = ids.iter();
        ids.map(|id| (id.to_ascii_lowercase(), answer.clone()))
            .collect()
    };
    // A network is as good a table as any other text.
    let table = networks.first().cloned().unwrap_or_default();
    for answer in [Ok(table), Err("it may not be read".to_owned())] {
        let tables = read(&answer);
        assert_eq!(tables.len(), ids.len(), "each table is named once");
        let tag = VirtualNetworkTag::of_networks(networks, None, &tables);
        let backwards = VirtualNetworkTag::of_networks(networks.iter().rev(), None, &tables);
        assert_eq!(tag, backwards);
        let tags = TagContext::new().with_virtual_network_tag(tag);
        let _ = tags.tag("VirtualNetwork", Side::Source);
    }
}

/// Reads the security admin rules in force on networks, and decides by them. What
/// networks do not agree on is not known.
pub fn admin_in_force_json(text: &str) {
    let Ok(Value::Array(rules)) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let told = AdminRulesInForce::of_networks([("/v/one", Ok(rules.clone()))]);
    let same = AdminRulesInForce::of_networks([
        ("/v/one", Ok(rules.clone())),
        ("/v/two", Ok(rules.into_iter().rev().collect())),
    ]);
    assert_eq!(told.rules, same.rules, "Azure promises no order");
    assert_eq!(told.unread.is_some(), same.unread.is_some());
    assert!(told.rules.is_empty() || told.unread.is_none());
    let apart = AdminRulesInForce::of_networks([
        ("/v/one", Ok(Vec::new())),
        ("/v/two", Err("it may not be read".to_owned())),
    ]);
    let tags = TagContext::new();
    for in_force in [told, apart] {
        let _ = in_force.named_places().count();
        let chain = NsgChain::new("nic", None, None, &tags);
        if let (Ok(chain), Ok(admin)) = (chain, in_force.policy(&tags)) {
            decide(&admin.before(&chain));
        }
    }
}

/// Reads JSON strictly: what it takes is what any reader takes, and what it alone
/// refuses has a field twice.
pub fn strict_json(text: &str) {
    match (parse_json(text), serde_json::from_str::<Value>(text)) {
        (Ok(strict), Ok(any)) => assert_eq!(strict, any),
        (Ok(strict), Err(error)) => panic!("{strict} is no JSON: {error}"),
        (Err(error), Ok(_)) => assert!(matches!(error, FieldError::Repeated { .. }), "{error}"),
        (Err(_), Err(_)) => {}
    }
}
