//! Nodes and groups of which not all is known: a doubt of their own, and no reason to
//! take back what was mended elsewhere.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Finding, Judgement, ObserveError, Plugin, Query, Verdict,
    kubernetes::all_nodes,
    testing::{self, Estate, Recorded},
};
use serde_json::json;

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<NsgAllowPort>(recorded).unwrap()
}

/// What is said after the steps for `before` ran, when it looks like `after`.
fn verified(before: &Recorded, after: &Recorded) -> Verdict {
    let finding = diagnose(before);
    let cluster = Estate::cluster();
    let proposal = NsgAllowPort::plan(before, &cluster, &finding, "{}").unwrap();
    NsgAllowPort::verify(after, &cluster, &finding, &proposal.steps).unwrap()
}

fn blocked() -> Estate {
    Estate {
        subnet_rules: vec![Estate::rule(
            "deny-kubelet",
            "Inbound",
            200,
            "Deny",
            "10250",
        )],
        ..Estate::default()
    }
}

fn mended() -> Estate {
    let mut estate = blocked();
    let allow = Estate::rule("naosu-allow-kubelet-in", "Inbound", 199, "Allow", "10250");
    estate.subnet_rules.push(allow);
    estate
}

/// The last node is none of a scale set's machines.
fn with_stranger(estate: &Estate) -> Recorded {
    let mut recorded = estate.record();
    recorded.edit(&all_nodes(), |nodes| {
        nodes[2]["status"]["addresses"][0]["address"] = json!("10.224.0.99");
    });
    recorded
}

#[test]
fn a_node_without_a_known_interface_does_not_undo_what_is_mended_for_the_others() {
    let before = with_stranger(&blocked());
    assert_eq!(diagnose(&before).judgement, Judgement::Confirmed);
    assert!(!verified(&before, &before).mended);
    let verdict = verified(&before, &with_stranger(&mended()));
    assert!(verdict.mended, "{}", verdict.summary);
    assert!(
        verdict
            .summary
            .contains("its network interface was not found"),
        "{}",
        verdict.summary
    );
    // A node that comes up meanwhile is no fault of the rule either.
    let verdict = verified(&blocked().record(), &with_stranger(&mended()));
    assert!(verdict.mended, "{}", verdict.summary);
}

#[test]
fn a_doubt_that_a_changed_group_did_not_have_before_is_not_mended() {
    let mut estate = mended();
    let mut tag = Estate::rule("deny-tag", "Inbound", 150, "Deny", "10250");
    tag["properties"]["sourceAddressPrefix"] = json!("SomeService.WestEurope");
    estate.subnet_rules.push(tag);
    let verdict = verified(&blocked().record(), &estate.record());
    assert!(!verdict.mended, "{}", verdict.summary);
}

#[test]
fn a_doubt_about_another_group_is_left_to_the_tunnel() {
    let with_doubt = |estate: Estate| {
        let mut tag = Estate::rule("deny-tag", "Inbound", 150, "Deny", "10250");
        tag["properties"]["sourceAddressPrefix"] = json!("SomeService.WestEurope");
        Estate {
            interface_rules: Some(vec![tag]),
            ..estate
        }
        .record()
    };
    let before = with_doubt(blocked());
    assert_eq!(diagnose(&before).judgement, Judgement::Confirmed);
    let verdict = verified(&before, &with_doubt(mended()));
    assert!(verdict.mended, "{}", verdict.summary);
    let named = verdict.summary.to_lowercase();
    assert!(named.contains("someservice"), "{named}");
}

const NETWORK: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/\
                       MC_rg_aks/providers/Microsoft.Network/networkInterfaces";

/// The last node's machine stands by itself, as those that are made one by one.
fn with_standalone(estate: &Estate) -> Recorded {
    let mut recorded = with_stranger(estate);
    recorded.edit(&all_nodes(), |nodes| {
        nodes[2]["spec"]["providerID"] = json!(
            "azure:///subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/\
             mc_rg_aks/providers/Microsoft.Compute/virtualMachines/aks-nap-1"
        );
    });
    let subnet = estate.network_id("virtualNetworks/vnet/subnets/nodes");
    let interface = json!({ "id": format!("{NETWORK}/aks-nap-1-nic"), "properties": {
        "ipConfigurations": [{ "properties": {
            "privateIPAddress": "10.224.0.99", "subnet": { "id": subnet } } }] } });
    recorded.put(Query::AzureList(NETWORK.to_owned()), json!([interface]));
    recorded
}

#[test]
fn interfaces_of_machines_that_stand_by_themselves_are_read_as_well() {
    let open = diagnose(&with_standalone(&Estate::default()));
    assert_eq!(open.judgement, Judgement::RuledOut, "{}", open.summary);
    let finding = diagnose(&with_standalone(&blocked()));
    let to = &finding.required_flows[0].destination_prefixes;
    assert!(to.contains(&"10.224.0.99".to_owned()), "{to:?}");
    // Where they may not be read, that node alone is a doubt.
    let mut unread = with_standalone(&Estate::default());
    let denied = ObserveError::Forbidden("denied".into());
    unread.fail(Query::AzureList(NETWORK.to_owned()), denied);
    let finding = diagnose(&unread);
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains(&Estate::node_name(2)),
        "{}",
        finding.summary
    );
}

#[test]
fn a_virtual_node_has_no_interface_and_the_evidence_says_so() {
    let mut recorded = with_stranger(&Estate::default());
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
    recorded.edit(&all_nodes(), |nodes| {
        nodes[2]["metadata"]["labels"]["type"] = json!("virtual-kubelet");
    });
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    let node = format!("node/{}", Estate::node_name(2));
    let mut evidence = finding.evidence.iter();
    assert!(evidence.any(|one| one.resource == node && one.meaning.contains("not judged")));
}
