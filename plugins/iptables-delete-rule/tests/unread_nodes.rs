//! Nodes that cannot be read, or never could be: they are a doubt of their own, and no
//! reason to take back what was mended elsewhere.

use naosu_iptables_delete_rule::IptablesDeleteRule;
use naosu_plugin::{
    Finding, Judgement, NodeObservation, NodeQuery, ObserveError, Plugin, PluginError, Query,
    Verdict,
    kubernetes::all_nodes,
    testing::{self, Estate, Recorded},
};
use serde_json::json;

const DROP: &str = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";

fn ruleset(node: u32) -> Query {
    Query::Node(NodeQuery {
        node: Estate::node_name(node),
        what: NodeObservation::FirewallRuleset,
    })
}

fn put_rules(recorded: &mut Recorded, node: u32, rules: &str) {
    let dump = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n"
    );
    recorded.put(ruleset(node), json!({ "ipv4_nft": dump }));
}

/// Rules of node 1; the others have none.
fn recorded(estate: &Estate, rules: &str) -> Recorded {
    let mut recorded = estate.record();
    for node in 0..estate.nodes {
        put_rules(&mut recorded, node, if node == 1 { rules } else { "" });
    }
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<IptablesDeleteRule>(recorded).unwrap()
}

/// What is said after the steps for `before` ran, when it looks like `after`.
fn verified(before: &Recorded, after: &Recorded) -> Verdict {
    let finding = diagnose(before);
    let cluster = Estate::cluster();
    let proposal = IptablesDeleteRule::plan(before, &cluster, &finding, "{}").unwrap();
    IptablesDeleteRule::verify(after, &cluster, &finding, &proposal.steps).unwrap()
}

#[test]
fn a_node_that_cannot_be_read_before_and_after_does_not_undo_what_is_mended_on_another() {
    let agent_is_down = || ObserveError::Unavailable("the VM agent does not answer".into());
    let mut before = recorded(&Estate::default(), DROP);
    before.fail(ruleset(2), agent_is_down());
    assert_eq!(diagnose(&before).judgement, Judgement::Confirmed);
    let still = verified(&before, &before);
    assert!(!still.mended, "{}", still.summary);
    let mut after = recorded(&Estate::default(), "");
    after.fail(ruleset(2), agent_is_down());
    let verdict = verified(&before, &after);
    assert!(verdict.mended, "{}", verdict.summary);
    // The node that was mended has to be read.
    let mut unread = recorded(&Estate::default(), "");
    unread.fail(ruleset(1), agent_is_down());
    let verdict = verified(&before, &unread);
    assert!(!verdict.mended, "{}", verdict.summary);
}

#[test]
fn a_doubt_behind_the_rule_that_went_is_left_to_the_tunnel() {
    let doubt = "-A INPUT -p tcp -m weird --weird 1 -j DROP\n";
    let before = recorded(&Estate::default(), &format!("{DROP}{doubt}"));
    let verdict = verified(&before, &recorded(&Estate::default(), doubt));
    assert!(verdict.mended, "{}", verdict.summary);
    assert!(verdict.summary.contains("weird"), "{}", verdict.summary);
}

#[test]
fn windows_and_virtual_nodes_are_not_judged_and_the_evidence_says_so() {
    for (label, value) in [("kubernetes.io/os", "windows"), ("type", "virtual-kubelet")] {
        let mut recorded = recorded(&Estate::default(), "");
        let refused = ObserveError::Invalid("no shell there".into());
        recorded.fail(ruleset(2), refused);
        assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
        recorded.edit(&all_nodes(), |nodes| {
            nodes[2]["metadata"]["labels"][label] = json!(value);
        });
        let finding = diagnose(&recorded);
        assert_eq!(
            finding.judgement,
            Judgement::RuledOut,
            "{}",
            finding.summary
        );
        let said = finding.evidence.last().unwrap();
        assert_eq!(said.resource, format!("node/{}", Estate::node_name(2)));
        assert_eq!(
            (said.field.as_str(), said.value.as_str()),
            (&*format!("metadata.labels[{label}]"), value)
        );
        assert!(said.meaning.contains("not judged"), "{}", said.meaning);
    }
}

#[test]
fn in_a_locked_node_resource_group_no_rule_can_be_deleted_and_the_finding_says_what_else() {
    let locked = Estate {
        cluster: json!({ "properties": {
            "nodeResourceGroupProfile": { "restrictionLevel": "ReadOnly" } } }),
        ..Estate::default()
    };
    let mut unread = recorded(&locked, DROP);
    for node in 0..3 {
        unread.fail(ruleset(node), ObserveError::Forbidden("denied".into()));
    }
    for (recorded, judgement) in [
        (recorded(&locked, DROP), Judgement::Confirmed),
        (unread, Judgement::Unknown),
    ] {
        let finding = diagnose(&recorded);
        assert_eq!(finding.judgement, judgement, "{}", finding.summary);
        let infeasible = finding.infeasible.unwrap();
        for part in [
            "MC_rg_aks",
            "ReadOnly",
            "kubectl debug",
            "--node-image-only",
        ] {
            assert!(infeasible.contains(part), "{part} is not in {infeasible}");
        }
    }
    let planned = testing::plan::<IptablesDeleteRule>(&recorded(&locked, DROP), "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
    assert_eq!(diagnose(&recorded(&locked, "")).infeasible, None);
}
