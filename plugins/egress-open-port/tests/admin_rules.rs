//! Security admin rules on the way out.

use naosu_egress_open_port::EgressOpenPort;
use naosu_plugin::{
    Finding, Judgement, PluginError, Query, TunnelType,
    testing::{self, Estate, Recorded, TestFirewall},
};
use serde_json::json;

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<EgressOpenPort>(recorded).unwrap()
}

#[test]
fn a_security_admin_rule_that_stops_it_is_left_to_its_owner() {
    let estate = Estate {
        admin_rules: Some(vec![Estate::admin_rule(
            "deny", "Outbound", 10, "Deny", "443",
        )]),
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(
        finding.summary.contains("baseline/deny"),
        "{}",
        finding.summary
    );
    assert!(finding.infeasible.unwrap().contains("network manager"));
    assert!(matches!(
        testing::plan::<EgressOpenPort>(&estate.record(), "{}"),
        Err(PluginError::Infeasible(_))
    ));
}

/// Behind an Azure Firewall that lets nothing of an older tunnel pass.
fn behind_firewall() -> Estate {
    let https = TestFirewall::rule("https", "TCP", "AzureCloud.westeurope", "443");
    let allowed = TestFirewall::classic("aks", 200, "Allow", &[https]);
    Estate {
        tunnel: TunnelType::Tunnelfront,
        routes: Some(vec![Estate::route(
            "default",
            "0.0.0.0/0",
            Estate::FIREWALL,
        )]),
        firewall: Some(TestFirewall::Classic(vec![allowed])),
        ..Estate::default()
    }
}

fn unread(estate: Estate) -> Estate {
    Estate {
        admin_rules: None,
        ..estate
    }
}

#[test]
fn a_group_that_an_unread_admin_rule_may_pass_by_is_only_suspected() {
    let estate = unread(Estate {
        subnet_rules: vec![Estate::rule("deny-out", "Outbound", 300, "Deny", "443")],
        ..Estate::default()
    });
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Suspected);
    for words in ["deny-out", "network vnet", "takes the permission"] {
        assert!(finding.summary.contains(words), "{}", finding.summary);
    }
    // A firewall stops it whatever admin rules say.
    let finding = diagnose(&unread(behind_firewall()).record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
}

#[test]
fn where_admin_rules_are_unread_an_open_way_is_tried() {
    let mut recorded = unread(Estate::default()).record();
    let tunnel = Query::TunnelProbe(Estate::node_name(0));
    recorded.put(
        tunnel.clone(),
        json!({ "reached": true, "error": "", "elapsed_ms": 9 }),
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    recorded.put(
        tunnel,
        json!({ "reached": false, "error": "No agent available", "elapsed_ms": 9 }),
    );
    let finding = diagnose(&recorded);
    assert_ne!(finding.judgement, Judgement::RuledOut);
    assert!(
        finding.summary.contains("security admin rules"),
        "{}",
        finding.summary
    );
    // The doubt was there before the fix, and does not undo it.
    assert!(testing::verify::<EgressOpenPort>(&recorded).unwrap().mended);
}

#[test]
fn what_an_admin_rule_always_allows_out_is_shown() {
    let always = Estate::admin_rule("always", "Outbound", 10, "AlwaysAllow", "443");
    let estate = Estate {
        subnet_rules: vec![Estate::rule("deny-out", "Outbound", 300, "Deny", "443")],
        admin_rules: Some(vec![always]),
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    let mut fields = finding.evidence.iter().map(|e| e.field.as_str());
    assert!(fields.any(|field| field == "value[baseline/always]"));
}
