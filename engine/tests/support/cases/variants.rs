//! Further things that effects of one kind are performed on: each has a shape of its
//! own, in which the same promises hold.

use super::*;

pub(super) fn of(kind: EffectKind) -> Vec<Case> {
    match kind {
        EffectKind::FirewallRuleAdd => vec![group_rule_added()],
        EffectKind::FirewallRuleRemove => vec![group_rule_removed()],
        EffectKind::IptablesRuleInsert => EVERY_OTHER_CHAIN.map(inserted).into(),
        EffectKind::IptablesRuleDelete => EVERY_OTHER_CHAIN.map(deleted).into(),
        EffectKind::NetworkProfileSet => vec![addresses(), outbound_type(), own_gateway()],
        _ => Vec::new(),
    }
}

/// A rule collection group of a firewall policy.
fn group_id(name: &str) -> String {
    format!(
        "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/firewallPolicies/p\
         /ruleCollectionGroups/{name}"
    )
}

fn group_rule(group: &str, name: &str) -> FirewallRuleEffect {
    FirewallRuleEffect {
        resource: group_id(group),
        ..firewall_rule(group, name)
    }
}

/// Another collection, and one with these rules unless there are none.
fn group(rules: &[&str]) -> Value {
    let rule = |name: &&str| {
        json!({
            "name": name, "ruleType": "NetworkRule", "ipProtocols": ["TCP"],
            "sourceAddresses": ["10.224.0.0/16"],
            "destinationAddresses": ["AzureCloud.westeurope"], "destinationPorts": ["9000"],
        })
    };
    let collection = |name: &str, priority: u16, rules: Vec<Value>| {
        json!({
            "name": name, "priority": priority, "action": { "type": "Allow" },
            "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "rules": rules,
        })
    };
    let web = json!({
        "name": "web", "ruleType": "ApplicationRule", "sourceAddresses": ["*"],
        "targetFqdns": ["example.com"],
        "protocols": [{ "protocolType": "Https", "port": 443 }],
    });
    let mut collections = vec![collection("web", 300, vec![web])];
    if !rules.is_empty() {
        collections.push(collection("tunnel", 200, rules.iter().map(rule).collect()));
    }
    json!({ "properties": { "priority": 400, "ruleCollections": collections } })
}

fn collections(group: &mut Value) -> &mut Vec<Value> {
    let collections = &mut group["properties"]["ruleCollections"];
    collections.as_array_mut().unwrap()
}

fn group_rules(group: &mut Value) -> &mut Vec<Value> {
    let mut all = collections(group).iter_mut();
    let tunnel = all.find(|collection| collection["name"] == "tunnel");
    tunnel.unwrap()["rules"].as_array_mut().unwrap()
}

fn theirs_of(group: &mut Value) -> Value {
    let mut theirs = group_rules(group)[0].clone();
    theirs["name"] = json!("theirs");
    theirs
}

fn group_rule_added() -> Case {
    Case::of(
        Effect::FirewallRuleAdd(group_rule("add", "ours")),
        group(&[]),
    )
    .and("changes the rule", Then::Stuck, |group| {
        group_rules(group)[0]["ipProtocols"] = json!(["Any"]);
    })
    .and("denies by the collection", Then::Stuck, |group| {
        let mut all = collections(group).iter_mut();
        let tunnel = all.find(|collection| collection["name"] == "tunnel");
        tunnel.unwrap()["action"]["type"] = json!("Deny");
    })
    .and("deletes the collection", Then::NothingLeft, |group| {
        collections(group).retain(|collection| collection["name"] != "tunnel");
    })
    .and("adds another", Then::Beside("theirs"), |group| {
        let theirs = theirs_of(group);
        group_rules(group).push(theirs);
    })
    .and("adds a collection", Then::Beside("theirs"), |group| {
        let mut theirs = collections(group)[0].clone();
        theirs["name"] = json!("theirs");
        theirs["priority"] = json!(500);
        collections(group).push(theirs);
    })
}

fn group_rule_removed() -> Case {
    Case::of(
        Effect::FirewallRuleRemove(group_rule("remove", "old")),
        group(&["kept", "old"]),
    )
    .and("takes its name", Then::Stuck, |group| {
        let mut theirs = theirs_of(group);
        theirs["name"] = json!("old");
        theirs["destinationPorts"] = json!(["22"]);
        group_rules(group).push(theirs);
    })
    .and("adds it again", Then::NothingLeft, |target| {
        *target = group(&["kept", "old"]);
    })
    .and("adds another", Then::Beside("theirs"), |group| {
        let theirs = theirs_of(group);
        group_rules(group).push(theirs);
    })
}

/// Chains beside INPUT of the first ruleset: of IPv6, of the older backend, and of a
/// person.
const EVERY_OTHER_CHAIN: [(IpFamily, IptablesBackend, &str); 4] = [
    (IpFamily::Ipv4, IptablesBackend::Nft, "HARDENING"),
    (IpFamily::Ipv4, IptablesBackend::Legacy, "INPUT"),
    (IpFamily::Ipv6, IptablesBackend::Nft, "INPUT"),
    (IpFamily::Ipv6, IptablesBackend::Legacy, "HARDENING"),
];

type Place = (IpFamily, IptablesBackend, &'static str);

fn rule_at((family, backend, chain): Place, what: &str, specification: &str) -> IptablesRuleEffect {
    let node = format!("ipt-{what}-{family:?}-{backend:?}-{chain}").to_lowercase();
    IptablesRuleEffect {
        family,
        backend,
        chain: chain.into(),
        ..iptables_rule(&node, 2, specification)
    }
}

/// The rules of that place; those of all others are the same and must stay.
fn rulesets((family, backend, chain): Place) -> Value {
    let dump = |rules: &str| {
        Some(format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:HARDENING - [0:0]\n{rules}COMMIT\n"
        ))
    };
    let others = || dump(&format!("-A INPUT {DROP}\n"));
    let mut ruleset = FirewallRuleset {
        ipv4_nft: others(),
        ipv4_legacy: others(),
        ipv6_nft: others(),
        ipv6_legacy: others(),
        ..FirewallRuleset::default()
    };
    let here = dump(&format!(
        "[7:9] -A {chain} -i lo -j ACCEPT\n-A {chain} {DROP}\n"
    ));
    match (family, backend) {
        (IpFamily::Ipv4, IptablesBackend::Nft) => ruleset.ipv4_nft = here,
        (IpFamily::Ipv4, IptablesBackend::Legacy) => ruleset.ipv4_legacy = here,
        (IpFamily::Ipv6, IptablesBackend::Nft) => ruleset.ipv6_nft = here,
        (IpFamily::Ipv6, IptablesBackend::Legacy) => ruleset.ipv6_legacy = here,
    }
    json!(ruleset)
}

/// Inserts a rule before the first of the chain that has counters.
fn insert_before_first(ruleset: &mut Value) {
    for dump in ruleset.as_object_mut().unwrap().values_mut() {
        let Some(text) = dump.as_str().filter(|text| text.contains("[7:9]")) else {
            continue;
        };
        let chain = if text.contains("[7:9] -A INPUT") {
            "INPUT"
        } else {
            "HARDENING"
        };
        let theirs = format!("-A {chain} -m mark --mark 0x1 -j ACCEPT\n[7:9]");
        *dump = json!(text.replacen("[7:9]", &theirs, 1));
    }
}

/// Changes the rules of every ruleset but the chain's own.
fn change_others(ruleset: &mut Value) {
    for dump in ruleset.as_object_mut().unwrap().values_mut() {
        if let Some(text) = dump.as_str().filter(|text| !text.contains("[7:9]")) {
            *dump = json!(text.replace("10250", "10251"));
        }
    }
}

fn inserted(place: Place) -> Case {
    let source = match place.0 {
        IpFamily::Ipv4 => "10.0.0.1/32",
        IpFamily::Ipv6 => "fd00::1/128",
    };
    let rule = rule_at(place, "insert", &format!("-s {source} -j ACCEPT"));
    Case::of(Effect::IptablesRuleInsert(rule), rulesets(place))
        .and("inserts before it", Then::Stuck, insert_before_first)
        .and("deletes it", Then::NothingLeft, |ruleset| {
            for dump in ruleset.as_object_mut().unwrap().values_mut() {
                if let Some(text) = dump.as_str() {
                    let lines = text
                        .lines()
                        .filter(|line| !line.contains("-j ACCEPT") || line.contains("-i lo"));
                    *dump = json!(lines.map(|line| format!("{line}\n")).collect::<String>());
                }
            }
        })
        .and(
            "changes other rulesets",
            Then::Beside("10251"),
            change_others,
        )
}

fn deleted(place: Place) -> Case {
    let rule = rule_at(place, "delete", DROP);
    Case::of(Effect::IptablesRuleDelete(rule), rulesets(place))
        .and("inserts before it", Then::Stuck, insert_before_first)
        .and(
            "changes other rulesets",
            Then::Beside("10251"),
            change_others,
        )
}

fn cluster(profile: Value) -> Value {
    json!({ "properties": { "provisioningState": "Succeeded", "networkProfile": profile } })
}

fn profile(cluster: &mut Value) -> &mut Value {
    &mut cluster["properties"]["networkProfile"]
}

fn addresses() -> Case {
    Case::of(
        Effect::NetworkProfileSet {
            cluster: resource("profile-addresses"),
            patch: json!({ "loadBalancerProfile": {
                "allocatedOutboundPorts": 8000, "managedOutboundIPs": { "count": 3 },
            }}),
        },
        cluster(json!({
            "outboundType": "loadBalancer",
            "loadBalancerProfile": {
                "allocatedOutboundPorts": 0, "managedOutboundIPs": { "count": 1 },
            },
        })),
    )
    .and("sets the addresses", Then::Stuck, |cluster| {
        profile(cluster)["loadBalancerProfile"]["managedOutboundIPs"]["count"] = json!(5);
    })
    .and(
        "adds addresses of IPv6",
        Then::Beside("countIPv6"),
        |cluster| {
            profile(cluster)["loadBalancerProfile"]["managedOutboundIPs"]["countIPv6"] = json!(1);
        },
    )
    .and("puts both back", Then::NothingLeft, |cluster| {
        let load_balancer = &mut profile(cluster)["loadBalancerProfile"];
        load_balancer["managedOutboundIPs"]["count"] = json!(1);
        load_balancer["allocatedOutboundPorts"] = json!(0);
    })
}

fn before_a_gateway() -> Value {
    cluster(json!({
        "outboundType": "loadBalancer",
        "loadBalancerProfile": {
            "allocatedOutboundPorts": 0, "managedOutboundIPs": { "count": 2 },
        },
    }))
}

fn outbound_type() -> Case {
    Case::of(
        Effect::NetworkProfileSet {
            cluster: resource("profile-type"),
            patch: json!({
                "outboundType": "managedNATGateway",
                "loadBalancerProfile": null,
                "natGatewayProfile": { "managedOutboundIPProfile": { "count": 2 } },
            }),
        },
        before_a_gateway(),
    )
    .and("sets the type", Then::Stuck, |cluster| {
        profile(cluster)["outboundType"] = json!("userDefinedRouting");
    })
    .and("sets the gateway's addresses", Then::Stuck, |cluster| {
        let gateway = &mut profile(cluster)["natGatewayProfile"];
        gateway["managedOutboundIPProfile"]["count"] = json!(7);
    })
    .and("sets the gateway's idle time", Then::Stuck, |cluster| {
        profile(cluster)["natGatewayProfile"]["idleTimeoutInMinutes"] = json!(30);
    })
    .and("puts it back", Then::NothingLeft, |cluster| {
        *cluster = before_a_gateway();
    })
    .and(
        "sets the policy",
        Then::Beside("networkPolicy"),
        |cluster| {
            profile(cluster)["networkPolicy"] = json!("theirs");
        },
    )
}

fn own_gateway() -> Case {
    Case::of(
        Effect::NetworkProfileSet {
            cluster: resource("profile-own-gateway"),
            patch: json!({
                "outboundType": "userAssignedNATGateway", "loadBalancerProfile": null,
            }),
        },
        before_a_gateway(),
    )
    .and("makes a load balancer again", Then::Stuck, |cluster| {
        profile(cluster)["loadBalancerProfile"] = json!({ "managedOutboundIPs": { "count": 9 } });
    })
}
