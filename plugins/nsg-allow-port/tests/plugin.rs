//! The plugin's judgement and proposal on recorded estates.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Direction, Effect, Finding, Judgement, NsgRule, ObserveError, Plugin, PluginError, Query,
    testing::{self, Estate, Recorded},
};
use serde_json::json;

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<NsgAllowPort>(recorded).unwrap()
}

fn plan(recorded: &Recorded, parameters: &str) -> Result<Vec<Effect>, PluginError> {
    let proposal = testing::plan::<NsgAllowPort>(recorded, parameters)?;
    Ok(proposal.steps.into_iter().map(|step| step.effect).collect())
}

fn created(effect: &Effect) -> &NsgRule {
    match effect {
        Effect::NsgRuleCreate(create) => &create.rule,
        other => panic!("not a rule to create: {other:?}"),
    }
}

fn blocked_subnet() -> Estate {
    Estate {
        subnet_rules: vec![
            Estate::rule("allow-https", "Inbound", 120, "Allow", "443"),
            Estate::rule("deny-kubelet", "Inbound", 200, "Deny", "10250"),
        ],
        ..Estate::default()
    }
}

#[test]
fn a_subnet_rule_that_denies_the_kubelet_port_is_confirmed_with_rule_and_packets() {
    let finding = diagnose(&blocked_subnet().record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let evidence = finding
        .evidence
        .iter()
        .find(|e| e.field == "properties.securityRules[deny-kubelet]")
        .unwrap();
    assert!(
        evidence
            .resource
            .ends_with("/networkSecurityGroups/nsg-subnet")
    );
    assert!(
        evidence.value.contains("priority 200"),
        "{}",
        evidence.value
    );
    assert!(evidence.meaning.contains("10250"), "{}", evidence.meaning);
    assert_eq!(finding.required_flows[0].source_prefixes, ["10.224.0.4"]);
    assert_eq!(
        finding.required_flows[0].destination_prefixes,
        ["10.224.0.5", "10.224.0.6"]
    );
}

#[test]
fn without_a_blocking_rule_it_is_ruled_out_by_the_rule_that_allows() {
    let finding = diagnose(&Estate::default().record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    let fields: Vec<&str> = finding.evidence.iter().map(|e| e.field.as_str()).collect();
    assert!(
        fields.contains(&"properties.defaultSecurityRules[AllowVnetInBound]"),
        "{fields:?}"
    );
    assert!(
        fields.contains(&"properties.defaultSecurityRules[AllowVnetOutBound]"),
        "{fields:?}"
    );
}

#[test]
fn the_rule_is_narrow_and_its_priority_beats_the_deny_and_no_stricter_rule() {
    let mut estate = blocked_subnet();
    let mut stricter = Estate::rule("deny-one-node", "Inbound", 150, "Deny", "10250");
    stricter["properties"]["sourceAddressPrefix"] = json!("203.0.113.7");
    estate.subnet_rules.push(stricter);
    let effects = plan(&estate.record(), "{}").unwrap();
    let [effect] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let rule = created(effect);
    assert_eq!(rule.source_prefixes, ["10.224.0.4"]);
    assert_eq!(rule.destination_prefixes, ["10.224.0.5", "10.224.0.6"]);
    assert_eq!(rule.destination_ports, ["10250"]);
    assert_eq!(rule.protocol, "Tcp");
    assert!(
        rule.priority < 200 && rule.priority > 120,
        "{}",
        rule.priority
    );
}

#[test]
fn scope_subnet_names_the_subnet_on_both_sides() {
    let effects = plan(&blocked_subnet().record(), r#"{"scope": "subnet"}"#).unwrap();
    let rule = created(&effects[0]);
    assert_eq!(rule.source_prefixes, ["10.224.0.0/16"]);
    assert_eq!(rule.destination_prefixes, ["10.224.0.0/16"]);
}

#[test]
fn subnet_and_interface_inbound_and_outbound_each_get_their_own_step() {
    let estate = Estate {
        subnet_rules: vec![
            Estate::rule("deny-in", "Inbound", 200, "Deny", "10000-11000"),
            Estate::rule("deny-out", "Outbound", 300, "Deny", "*"),
        ],
        interface_rules: Some(vec![Estate::rule(
            "deny-nic", "Inbound", 400, "Deny", "10250",
        )]),
        ..Estate::default()
    };
    let effects = plan(&estate.record(), "{}").unwrap();
    let mut rules: Vec<(Direction, u16, &[String])> = effects
        .iter()
        .map(|effect| {
            let rule = created(effect);
            (
                rule.direction,
                rule.priority,
                rule.source_prefixes.as_slice(),
            )
        })
        .collect();
    rules.sort_by_key(|rule| rule.1);
    let priorities: Vec<u16> = rules.iter().map(|rule| rule.1).collect();
    // What is denied outbound is the way to the nodes and the way out.
    assert_eq!(priorities, [199, 298, 299, 399]);
    let inbound = rules
        .iter()
        .filter(|rule| rule.0 == Direction::Inbound)
        .count();
    assert_eq!(inbound, 2);
}

#[test]
fn a_priority_that_would_not_do_is_refused_with_the_range_that_would() {
    let estate = blocked_subnet();
    let error = plan(&estate.record(), r#"{"priority": 200}"#).unwrap_err();
    let PluginError::InvalidParameter(message) = error else {
        panic!("{error:?}");
    };
    assert!(message.contains("199"), "{message}");
    let error = plan(&estate.record(), r#"{"priority": 120}"#).unwrap_err();
    let PluginError::InvalidParameter(message) = error else {
        panic!("{error:?}");
    };
    assert!(message.contains("allow-https"), "{message}");
    let effects = plan(&estate.record(), r#"{"priority": 130}"#).unwrap();
    assert_eq!(created(&effects[0]).priority, 130);
}

#[test]
fn a_tag_that_cannot_be_resolved_makes_it_unknown_with_the_tag_named() {
    let mut rule = Estate::rule("deny-tag", "Inbound", 200, "Deny", "10250");
    rule["properties"]["sourceAddressPrefix"] = json!("SomeService.WestEurope");
    let estate = Estate {
        subnet_rules: vec![rule],
        ..Estate::default()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Unknown, "{}", finding.summary);
    assert!(
        finding
            .summary
            .to_lowercase()
            .contains("someservice.westeurope"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_group_that_may_not_be_read_makes_it_unknown_and_says_so() {
    let estate = blocked_subnet();
    let mut recorded = estate.record();
    let query = Query::AzureGet(estate.subnet_group_id());
    recorded.fail(query, ObserveError::Forbidden("AuthorizationFailed".into()));
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains("forbidden: AuthorizationFailed"),
        "{}",
        finding.summary
    );
}

#[test]
fn in_a_locked_node_resource_group_the_fix_is_infeasible_and_says_what_else() {
    let lockdown = json!({ "properties": {
        "nodeResourceGroupProfile": { "restrictionLevel": "ReadOnly" } } });
    let estate = Estate {
        managed_network: true,
        cluster: lockdown.clone(),
        ..blocked_subnet()
    };
    let finding = diagnose(&estate.record());
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.infeasible.as_ref().unwrap().contains("ReadOnly"));
    assert!(matches!(
        plan(&estate.record(), "{}"),
        Err(PluginError::Infeasible(_))
    ));
    // A group of the customer's own is not locked.
    let own = Estate {
        cluster: lockdown,
        ..blocked_subnet()
    };
    assert_eq!(diagnose(&own.record()).infeasible, None);
}

#[test]
fn where_no_priority_is_free_rules_move_in_one_write_and_the_stricter_stays_first() {
    let mut stricter = Estate::rule("deny-one-host", "Inbound", 100, "Deny", "10250");
    stricter["properties"]["sourceAddressPrefix"] = json!("10.224.9.9");
    let blocking = Estate::rule("deny-kubelet", "Inbound", 101, "Deny", "10250");
    let estate = Estate {
        subnet_rules: vec![stricter, blocking],
        ..Estate::default()
    };
    let effects = plan(&estate.record(), r#"{"scope": "subnet"}"#).unwrap();
    let [Effect::NsgRulesReplace(replace)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let mut rules: Vec<(u16, &str)> = replace
        .rules
        .iter()
        .map(|rule| (rule.priority, rule.name.as_str()))
        .collect();
    rules.sort_unstable();
    let names: Vec<&str> = rules.iter().map(|(_, name)| *name).collect();
    assert_eq!(
        names,
        ["deny-one-host", "naosu-allow-kubelet-in", "deny-kubelet"]
    );
}

#[test]
fn agents_on_the_only_node_need_no_group() {
    let estate = Estate {
        nodes: 1,
        ..blocked_subnet()
    };
    assert_eq!(diagnose(&estate.record()).judgement, Judgement::RuledOut);
}

fn way_out_denied() -> Estate {
    Estate {
        subnet_rules: vec![
            Estate::rule("allow-dns", "Outbound", 200, "Allow", "53"),
            Estate::rule("deny-out", "Outbound", 300, "Deny", "443"),
        ],
        ..Estate::default()
    }
}

#[test]
fn the_agents_own_way_out_is_judged_and_opened_for_every_node_behind_the_group() {
    let finding = diagnose(&way_out_denied().record());
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(
        finding
            .summary
            .contains("TCP 443 from the agents to the API server"),
        "{}",
        finding.summary
    );
    let effects = plan(&way_out_denied().record(), "{}").unwrap();
    let [effect] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let rule = created(effect);
    assert_eq!(rule.name, "naosu-allow-tunnel-out");
    assert_eq!(rule.direction, Direction::Outbound);
    assert_eq!(rule.priority, 299);
    assert_eq!(rule.source_prefixes, ["10.224.0.4/31", "10.224.0.6"]);
    assert_eq!(rule.destination_prefixes, ["203.0.113.10"]);
    assert_eq!(rule.destination_ports, ["443"]);
    let flow = finding.required_flows.last().unwrap();
    assert_eq!(flow.source_prefixes, rule.source_prefixes);
    assert_eq!(flow.destination_prefixes, rule.destination_prefixes);
}

#[test]
fn only_the_port_of_the_tunnel_that_is_there_matters() {
    let denied = |tunnel, port| {
        let mut rule = Estate::rule("deny", "Outbound", 300, "Deny", port);
        rule["properties"]["protocol"] = json!("*");
        let estate = Estate {
            tunnel,
            subnet_rules: vec![rule],
            ..Estate::default()
        };
        diagnose(&estate.record()).judgement
    };
    use naosu_plugin::TunnelType::{AksLink, Konnectivity, Tunnelfront};
    for (tunnel, port) in [
        (Konnectivity, "443"),
        (Tunnelfront, "9000"),
        (AksLink, "1194"),
    ] {
        assert_eq!(denied(tunnel, port), Judgement::Confirmed, "{port}");
        for other in ["443", "9000", "1194"]
            .into_iter()
            .filter(|other| *other != port)
        {
            assert_eq!(denied(tunnel, other), Judgement::RuledOut, "{port} {other}");
        }
    }
}

#[test]
fn a_way_out_to_an_unknown_address_is_judged_over_the_tag_of_the_region() {
    let estate = Estate {
        api_server: None,
        ..way_out_denied()
    };
    let effects = plan(&estate.record(), "{}").unwrap();
    assert_eq!(
        created(&effects[0]).destination_prefixes,
        ["AzureCloud.westeurope"]
    );
    // Where its prefixes are not known either, no rule can be shown to do.
    let mut recorded = estate.record();
    recorded
        .0
        .retain(|(query, _)| !matches!(query, Query::AzureGet(id) if id.ends_with("/serviceTags")));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    assert!(matches!(
        plan(&recorded, "{}"),
        Err(PluginError::Infeasible(_))
    ));
    let open = Estate {
        api_server: None,
        ..Estate::default()
    };
    assert_eq!(diagnose(&open.record()).judgement, Judgement::RuledOut);
}

#[test]
fn on_one_node_the_way_out_still_passes_the_group() {
    let estate = Estate {
        nodes: 1,
        ..way_out_denied()
    };
    assert_eq!(diagnose(&estate.record()).judgement, Judgement::Confirmed);
}

#[test]
fn the_same_record_gives_the_same_finding_and_plan() {
    let recorded = blocked_subnet().record();
    assert_eq!(diagnose(&recorded), diagnose(&recorded));
    assert_eq!(
        plan(&recorded, "{}").unwrap(),
        plan(&recorded, "{}").unwrap()
    );
}

#[test]
fn after_the_rule_is_there_it_is_mended() {
    let mut estate = blocked_subnet();
    let steps = [];
    let finding = diagnose(&estate.record());
    let cluster = Estate::cluster();
    let before = NsgAllowPort::verify(&estate.record(), &cluster, &finding, &steps).unwrap();
    assert!(!before.mended);
    estate
        .subnet_rules
        .push(Estate::rule("allow", "Inbound", 199, "Allow", "10250"));
    let after = NsgAllowPort::verify(&estate.record(), &cluster, &finding, &steps).unwrap();
    assert!(after.mended, "{}", after.summary);
}

#[test]
fn tunnelfront_is_told_from_konnectivity_by_more_than_the_shared_label() {
    let mut recorded = blocked_subnet().record();
    let finding = diagnose(&recorded);
    assert!(
        finding.subject.contains("konnectivity"),
        "{}",
        finding.subject
    );
    let pod = json!([{ "metadata": { "name": "tunnelfront-7d9", "namespace": "kube-system",
            "labels": { "component": "tunnel" } },
        "spec": { "nodeName": Estate::node_name(1) },
        "status": { "phase": "Running", "hostIP": Estate::node_address(1) } }]);
    let selector = |text| naosu_plugin::kubernetes::system_pods(text);
    recorded.put(selector("app=konnectivity-agent"), "[]");
    recorded.put(selector("component=tunnel"), pod);
    let finding = diagnose(&recorded);
    assert!(
        finding.subject.contains("tunnelfront"),
        "{}",
        finding.subject
    );
    assert_eq!(finding.required_flows[0].source_prefixes, ["10.224.0.5"]);
}

#[test]
fn behind_a_default_route_nodes_are_still_in_the_virtual_network_for_certain() {
    let routed = |recorded: &mut Recorded, estate: &Estate| {
        let id = estate.network_id("routeTables/rt-nodes");
        let refused = ObserveError::Forbidden("not yours".to_owned());
        recorded.fail(Query::AzureGet(id), refused);
    };
    let mut estate = Estate {
        routes: Some(vec![Estate::route("default", "0.0.0.0/0", "10.225.0.9")]),
        ..Estate::default()
    };
    for is_readable in [true, false] {
        let mut recorded = estate.record();
        if !is_readable {
            routed(&mut recorded, &estate);
        }
        let finding = diagnose(&recorded);
        assert_eq!(
            finding.judgement,
            Judgement::RuledOut,
            "{}",
            finding.summary
        );
    }
    // What is not of the network may come under the tag by the default route: a rule
    // about the internet does not decide nodes' packets either way.
    let mut deny = Estate::rule("deny-internet", "Inbound", 200, "Deny", "10250");
    deny["properties"]["sourceAddressPrefix"] = json!("Internet");
    estate.subnet_rules = vec![deny];
    let finding = diagnose(&estate.record());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
}
