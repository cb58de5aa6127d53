//! The plugin's judgement and proposal on recorded nodes.

use naosu_plugin::{
    Effect, Finding, Judgement, NodeObservation, NodeQuery, ObserveError, Plugin, PluginError,
    Query,
    kubernetes::system_pods,
    testing::{self, Estate, Recorded},
};
use naosu_ufw_disable::UfwDisable;
use serde_json::json;

fn node_query(node: u32, what: NodeObservation) -> Query {
    Query::Node(NodeQuery {
        node: Estate::node_name(node),
        what,
    })
}

fn dump(policy: &str, rules: &str) -> String {
    format!(
        "*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         :ufw-user-input - [0:0]\n{rules}COMMIT\n"
    )
}

fn recorded(policy: &str, rules: &str) -> Recorded {
    let mut recorded = Estate::default().record();
    let what = NodeObservation::FirewallRuleset;
    recorded.put(
        node_query(1, what),
        json!({ "ipv4_nft": dump(policy, rules) }),
    );
    for node in [0, 2] {
        recorded.put(
            node_query(node, what),
            json!({ "ipv4_nft": dump("ACCEPT", "") }),
        );
    }
    let status = json!({ "installed": true, "verbose": "Status: active\nLogging: on (low)\n" });
    recorded.put(node_query(1, NodeObservation::UfwStatus), status);
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<UfwDisable>(recorded).unwrap()
}

#[test]
fn a_deny_in_ufws_chain_is_confirmed_and_ufw_disabled_on_that_node_only() {
    let recorded = recorded(
        "ACCEPT",
        "-A INPUT -j ufw-user-input\n-A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP\n",
    );
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let values: Vec<&str> = finding.evidence.iter().map(|e| e.value.as_str()).collect();
    assert!(values.contains(&"Status: active"), "{values:?}");
    let proposal = UfwDisable::plan(&recorded, &Estate::cluster(), &finding, "{}").unwrap();
    let effects: Vec<&Effect> = proposal.steps.iter().map(|step| &step.effect).collect();
    assert_eq!(effects, [&Effect::UfwDisable(Estate::node_name(1))]);
}

#[test]
fn ufws_default_of_deny_is_confirmed_by_the_policy_above_its_chains() {
    let recorded = recorded(
        "DROP",
        "-A INPUT -j ufw-user-input\n-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n",
    );
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
}

#[test]
fn chains_left_by_a_disabled_ufw_are_ruled_out() {
    let recorded = recorded("ACCEPT", "-A INPUT -j ufw-user-input\n");
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::RuledOut);
    assert!(matches!(
        UfwDisable::plan(&recorded, &Estate::cluster(), &finding, "{}"),
        Err(PluginError::NothingToDo(_))
    ));
}

#[test]
fn a_drop_that_is_not_ufws_is_not_ufws_fault() {
    let recorded = recorded("ACCEPT", "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n");
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
}

#[test]
fn ufw_that_drops_what_is_forwarded_is_suspected_and_can_be_disabled() {
    let mut dropping = recorded("ACCEPT", "");
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        :ufw-before-forward - [0:0]\n-A FORWARD -j ufw-before-forward\nCOMMIT\n";
    let what = NodeObservation::FirewallRuleset;
    dropping.put(node_query(1, what), json!({ "ipv4_nft": rules }));
    let finding = diagnose(&dropping);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    let proposal = UfwDisable::plan(&dropping, &Estate::cluster(), &finding, "{}").unwrap();
    let nodes: Vec<&Effect> = proposal.steps.iter().map(|step| &step.effect).collect();
    assert_eq!(nodes, [&Effect::UfwDisable(Estate::node_name(1))]);
}

const DENIED: &str =
    "-A INPUT -j ufw-user-input\n-A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP\n";

#[test]
fn verification_looks_at_the_nodes_that_were_changed_and_at_all_that_ufw_did_there() {
    let down = || ObserveError::Unavailable("the VM agent does not answer".into());
    let unread = |mut recorded: Recorded| {
        recorded.fail(node_query(2, NodeObservation::FirewallRuleset), down());
        recorded
    };
    let before = unread(recorded("ACCEPT", DENIED));
    let (finding, cluster) = (diagnose(&before), Estate::cluster());
    let steps = UfwDisable::plan(&before, &cluster, &finding, "{}")
        .unwrap()
        .steps;
    let verify = |after: &Recorded| UfwDisable::verify(after, &cluster, &finding, &steps);
    assert!(!verify(&before).unwrap().mended);
    let disabled = "-A INPUT -j ufw-user-input\n";
    let verdict = verify(&unread(recorded("ACCEPT", disabled))).unwrap();
    assert!(verdict.mended, "{}", verdict.summary);
    let mut still_dropping = recorded("ACCEPT", "");
    let rules = dump("ACCEPT", "-A FORWARD -j ufw-user-input\n");
    let rules = rules.replace("FORWARD ACCEPT", "FORWARD DROP");
    let query = node_query(1, NodeObservation::FirewallRuleset);
    still_dropping.put(query, json!({ "ipv4_nft": rules }));
    assert!(!verify(&still_dropping).unwrap().mended);
}

#[test]
fn in_a_locked_node_resource_group_the_fix_is_infeasible() {
    let mut locked = recorded("ACCEPT", DENIED);
    locked.edit(&Query::AzureGet(Estate::cluster().id), |cluster| {
        cluster["sku"]["name"] = json!("Automatic");
    });
    let finding = diagnose(&locked);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(
        finding
            .infeasible
            .unwrap()
            .contains("sku.name is Automatic")
    );
    let planned = testing::plan::<UfwDisable>(&locked, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

/// ufw on the agent's node denies what the node sends.
fn keeping_in(host_network: bool) -> Recorded {
    let mut recorded = recorded("ACCEPT", "");
    let rules = "-A OUTPUT -j ufw-user-output\n\
                 -A ufw-user-output -p tcp -m tcp --dport 10250 -j DROP\n";
    let rules = dump("ACCEPT", rules).replace(":ufw-user-input", ":ufw-user-output");
    let query = node_query(0, NodeObservation::FirewallRuleset);
    recorded.put(query, json!({ "ipv4_nft": rules }));
    for selector in ["app=konnectivity-agent", "component=tunnel"] {
        recorded.edit(&system_pods(selector), |pods| {
            pods[0]["spec"]["hostNetwork"] = json!(host_network);
            pods[0]["status"]["podIP"] = json!(Estate::node_address(0));
        });
    }
    recorded
}

#[test]
fn ufw_that_keeps_the_agents_packets_in_is_confirmed_and_disabled_on_their_node() {
    let before = keeping_in(true);
    let finding = diagnose(&before);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("leaving"), "{}", finding.summary);
    assert_eq!(
        finding.required_flows[0].destination_prefixes,
        ["10.224.0.4/31", "10.224.0.6"]
    );
    let proposal = testing::plan::<UfwDisable>(&before, "{}").unwrap();
    let [step] = proposal.steps.as_slice() else {
        panic!("{proposal:?}");
    };
    assert!(matches!(&step.effect, Effect::UfwDisable(node) if *node == Estate::node_name(0)));
    let cluster = Estate::cluster();
    let verify = |after| UfwDisable::verify(after, &cluster, &finding, &proposal.steps);
    assert!(!verify(&before).unwrap().mended);
    assert!(verify(&recorded("ACCEPT", "")).unwrap().mended);
    // What a node sends itself is not what its pods send.
    let of_pods = diagnose(&keeping_in(false));
    assert_eq!(
        of_pods.judgement,
        Judgement::RuledOut,
        "{}",
        of_pods.summary
    );
}
