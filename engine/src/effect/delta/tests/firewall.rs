//! Azure Firewall: classic, and policies with all that stands around a group.

use serde_json::json;

use super::*;
use crate::model::effect::{Access, FirewallRuleEffect};

const NETWORK: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

fn id(tail: &str) -> String {
    format!("{NETWORK}/{tail}")
}

pub(super) fn classic_id() -> String {
    id("azureFirewalls/fw")
}

fn group_id() -> String {
    id("firewallPolicies/child/ruleCollectionGroups/net")
}

pub(super) fn rule(resource: &str, destination: &str) -> FirewallRuleEffect {
    FirewallRuleEffect {
        resource: resource.into(),
        collection: "tunnel".into(),
        collection_priority: 300,
        access: Access::Allow,
        name: "tunnel".into(),
        protocols: vec!["TCP".into()],
        source_addresses: vec!["10.224.0.0/16".into()],
        destination_addresses: vec![destination.into()],
        destination_ports: vec!["9000".into()],
    }
}

pub(super) fn needed(source: &str, destination: &str) -> [Flow; 1] {
    [Flow {
        protocol: "Tcp".into(),
        source_prefixes: vec![source.into()],
        destination_prefixes: vec![destination.into()],
        destination_ports: vec!["9000".into()],
    }]
}

fn network_rule(sources: &str, destination: &str, ports: &str) -> Value {
    json!({ "name": "r", "ruleType": "NetworkRule", "protocols": ["TCP"], "ipProtocols": ["TCP"],
        "sourceAddresses": [sources], "destinationAddresses": [destination],
        "destinationPorts": [ports] })
}

/// A firewall of its own rules that denies 20.9.0.0/16 first.
pub(super) fn classic() -> Recorded {
    let mut recorded = Recorded::default();
    recorded.arm(
        &classic_id(),
        json!({ "id": classic_id(), "name": "fw", "location": "westeurope", "properties": {
            "threatIntelMode": "Alert",
            "networkRuleCollections": [{ "name": "deny", "properties": {
                "priority": 200, "action": { "type": "Deny" },
                "rules": [network_rule("*", "20.9.0.0/16", "*")] } }] } }),
    );
    recorded
}

#[tokio::test]
async fn a_classic_rule_opens_what_no_earlier_collection_denies_and_its_removal_shuts_it() {
    let recorded = classic();
    let add = Effect::FirewallRuleAdd(rule(&classic_id(), "20.8.0.0/15"));
    let (opened, excess) = words(&add, &needed("10.224.0.0/16", "20.8.0.0/15"), &recorded).await;
    assert_eq!(
        opened,
        ["newly allowed: TCP 9000 from 10.224.0.0/16 to 20.8.0.0/16"]
    );
    assert_eq!(excess, 0);
    let (_, excess) = words(&add, &needed("10.224.0.0/16", "20.8.0.0/16"), &recorded).await;
    assert_eq!(excess, 0);
    let (_, excess) = words(&add, &needed("10.224.0.4", "20.8.0.0/15"), &recorded).await;
    assert!(excess > 0, "more sources than are needed");
    let before = recorded.read(&semantics(&add).target()).await;
    let after = semantics(&add).simulate(&State::of(&before)).unwrap();
    let mut recorded = recorded;
    recorded.arm(&classic_id(), after.state.json().unwrap());
    let remove = Effect::FirewallRuleRemove(rule(&classic_id(), "20.8.0.0/15"));
    assert_eq!(
        words(&remove, &[], &recorded).await.0,
        ["newly denied: TCP 9000 from 10.224.0.0/16 to 20.8.0.0/16"]
    );
}

#[tokio::test]
async fn service_tags_are_read_for_the_region_and_stay_unknown_with_the_reason_otherwise() {
    let mut recorded = classic();
    let add = Effect::FirewallRuleAdd(rule(&classic_id(), "AzureCloud.westeurope"));
    let flows = needed("10.224.0.0/16", "AzureCloud.westeurope");
    let Delta::Computed { report, excess } = consequence(&add, &flows, &recorded).await.delta
    else {
        panic!();
    };
    assert!(report.newly_allowed.is_empty() && !report.unknown.is_empty());
    assert_eq!(
        report.atoms[0].name,
        "destination in service tag azurecloud.westeurope"
    );
    assert!(
        report.atoms[0].reason.contains("may not be read"),
        "{}",
        report.atoms[0].reason
    );
    assert!(
        excess.is_empty(),
        "what is needed is just as unknown: {excess:?}"
    );
    recorded.arm(
        "/subscriptions/s/providers/Microsoft.Network/locations/westeurope/serviceTags",
        json!({ "values": [{ "name": "AzureCloud.westeurope",
            "properties": { "addressPrefixes": ["20.8.0.0/16"] } }] }),
    );
    let (opened, excess) = words(&add, &flows, &recorded).await;
    assert_eq!(
        opened,
        ["newly allowed: TCP 9000 from 10.224.0.0/16 to 20.8.0.0/16"]
    );
    assert_eq!(excess, 0);
}

fn group(name: &str, priority: u32, action: &str, rules: Value) -> Value {
    json!({ "name": name, "id": format!("{NETWORK}/x/{name}"), "properties": {
        "priority": priority, "ruleCollections": [{
            "name": format!("{name}-collection"), "priority": 100, "action": { "type": action },
            "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "rules": rules }] } })
}

fn list(policy: &str) -> Query {
    Query::AzureList {
        path: format!("{}/ruleCollectionGroups", id(policy)),
    }
}

/// A policy below a parent that denies 20.9.0.0/16; another group of the child
/// allows what an IP group sends to 20.7.0.0/16.
fn policies() -> Recorded {
    let mut recorded = Recorded::default();
    let target = json!({ "name": "net", "id": group_id(), "properties": {
        "priority": 400, "ruleCollections": [] } });
    let mut ip_group = network_rule("10.0.0.0/8", "20.7.0.0/16", "9000");
    ip_group["sourceAddresses"] = json!([]);
    ip_group["sourceIpGroups"] = json!([id("ipGroups/Nodes")]);
    recorded.arm(&group_id(), target.clone());
    recorded.arm(
        &id("firewallPolicies/child"),
        json!({ "id": id("firewallPolicies/child"), "name": "child", "location": "westeurope",
            "properties": { "basePolicy": { "id": id("firewallPolicies/parent") } } }),
    );
    recorded.put(
        list("firewallPolicies/child"),
        json!([group("other", 300, "Allow", json!([ip_group])), target]),
    );
    recorded.arm(
        &id("firewallPolicies/parent"),
        json!({ "name": "parent", "properties": {} }),
    );
    recorded.put(
        list("firewallPolicies/parent"),
        json!([group(
            "base",
            65000,
            "Deny",
            json!([network_rule("*", "20.9.0.0/16", "*")])
        )]),
    );
    recorded.arm(
        &id("ipGroups/Nodes"),
        json!({ "name": "Nodes", "properties": { "ipAddresses": ["10.224.0.0/17"] } }),
    );
    recorded
}

#[tokio::test]
async fn a_groups_rule_opens_only_what_parents_and_other_groups_leave_to_it() {
    let add = Effect::FirewallRuleAdd(rule(&group_id(), "20.0.0.0/8"));
    let (opened, _) = words(&add, &[], &policies()).await;
    assert_eq!(
        opened,
        [
            "newly allowed: TCP 9000 from 10.224.0.0/16 to 20.0.0.0-20.6.255.255, \
             20.8.0.0/16, 20.10.0.0-20.255.255.255",
            "newly allowed: TCP 9000 from 10.224.128.0/17 to 20.7.0.0/16",
        ]
    );
}

#[tokio::test]
async fn what_stands_around_and_cannot_be_read_makes_the_delta_unknown_with_the_reason() {
    let add = Effect::FirewallRuleAdd(rule(&group_id(), "20.8.0.0/16"));
    for (missing, name) in [
        (id("firewallPolicies/parent"), "firewall policy parent"),
        (id("firewallPolicies/child"), "firewall policy child"),
    ] {
        let mut recorded = policies();
        recorded.forbid(&missing);
        let Delta::Computed { report, .. } = consequence(&add, &[], &recorded).await.delta else {
            panic!("{missing}");
        };
        assert!(report.newly_allowed.is_empty(), "{:?}", report.words);
        assert!(report.is_partly_unknown());
        let atom = report.atoms.iter().find(|atom| atom.name.contains(name));
        let atom = atom.unwrap_or_else(|| panic!("{:?}", report.atoms));
        assert!(atom.reason.contains("may not be read"), "{}", atom.reason);
    }
    let mut recorded = policies();
    recorded.forbid(&id("ipGroups/Nodes"));
    let add = Effect::FirewallRuleAdd(rule(&group_id(), "20.7.0.0/16"));
    let Delta::Computed { report, .. } = consequence(&add, &[], &recorded).await.delta else {
        panic!();
    };
    assert!(
        report.atoms[0].reason.contains("may not be read"),
        "{:?}",
        report.atoms
    );
}

#[tokio::test]
async fn rules_that_make_no_sense_leave_the_whole_delta_unknown() {
    let mut recorded = classic();
    let mut body: Value = recorded.0.values().next().unwrap().clone();
    body["properties"]["networkRuleCollections"][0]["properties"]["priority"] = json!(7);
    recorded.arm(&classic_id(), body);
    let add = Effect::FirewallRuleAdd(rule(&classic_id(), "20.8.0.0/16"));
    match consequence(&add, &[], &recorded).await.delta {
        Delta::Unknown { error } => assert_eq!(error.code, Code::RulesetMalformed),
        other => panic!("{other:?}"),
    }
}
