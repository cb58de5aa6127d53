//! Security admin rules before a group's own.

use serde_json::json;

use super::*;
use crate::model::effect::{Access, Direction, NsgRule};

const NETWORK: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

pub(super) fn allow() -> Effect {
    Effect::NsgRuleCreate {
        nsg: format!("{NETWORK}/networkSecurityGroups/n"),
        rule: NsgRule {
            name: "allow".into(),
            priority: 200,
            direction: Direction::Inbound,
            access: Access::Allow,
            protocol: "Tcp".into(),
            source_prefixes: vec!["10.1.0.0/16".into()],
            source_ports: vec!["*".into()],
            source_groups: vec![],
            destination_prefixes: vec!["10.224.0.0/16".into()],
            destination_ports: vec!["10250".into()],
            destination_groups: vec![],
            description: String::new(),
        },
    }
}

pub(super) fn admin_rules() -> Query {
    Query::AzureList {
        path: format!("{NETWORK}/virtualNetworks/v/listNetworkManagerEffectiveSecurityAdminRules"),
    }
}

pub(super) fn recorded() -> Recorded {
    let mut recorded = Recorded::default();
    recorded.arm(
        &format!("{NETWORK}/networkSecurityGroups/n"),
        json!({ "name": "n", "id": format!("{NETWORK}/networkSecurityGroups/n"), "properties": {
            "securityRules": [],
            "subnets": [{ "id": format!("{NETWORK}/virtualNetworks/v/subnets/nodes") }] } }),
    );
    recorded.arm(
        &format!("{NETWORK}/virtualNetworks/v"),
        json!({ "name": "v",
            "properties": { "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] } } }),
    );
    recorded
}

fn rule(access: &str, source: &str) -> Value {
    json!({ "id": "/rules/r", "kind": "Custom", "properties": {
        "priority": 7, "direction": "Inbound", "access": access, "protocol": "Tcp",
        "sources": [{ "addressPrefix": source, "addressPrefixType": "IPPrefix" }],
        "destinations": [], "sourcePortRanges": [], "destinationPortRanges": ["10250"] } })
}

#[tokio::test]
async fn what_admin_rules_decide_is_not_opened_and_rules_not_read_leave_it_unknown() {
    let mut recorded = recorded();
    recorded.put(admin_rules(), json!([]));
    let (opened, _) = words(&allow(), &[], &recorded).await;
    assert_eq!(
        opened,
        ["newly allowed: inbound TCP 10250 from 10.1.0.0/16 to 10.224.0.0/16"]
    );
    recorded.put(admin_rules(), json!([rule("Deny", "10.1.128.0/17")]));
    let (opened, _) = words(&allow(), &[], &recorded).await;
    assert!(
        opened[0].contains("from 10.1.0.0/17 to")
            && opened.iter().all(|line| !line.contains("10.1.128.0/17")),
        "{opened:?}"
    );
    recorded.0.remove(&admin_rules());
    let Delta::Computed { report, .. } = consequence(&allow(), &[], &recorded).await.delta else {
        panic!();
    };
    assert!(report.newly_allowed.is_empty() && report.is_partly_unknown());
    assert_eq!(report.atoms.len(), 1, "{:?}", report.atoms);
    assert!(
        report.atoms[0]
            .name
            .contains("security admin rules of network v")
            && report.atoms[0].reason.contains("takes the permission"),
        "{:?}",
        report.atoms
    );
}
