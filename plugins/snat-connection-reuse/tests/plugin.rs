//! The plugin's judgement on recorded metrics and connections.

use naosu_plugin::{
    Finding, Judgement, NodeObservation, NodeQuery, ObjectList, ObserveError, Plugin, PluginError,
    Query,
    kubernetes::system_pods,
    testing::{self, Estate, MeasuredNode, Recorded},
};
use naosu_snat_connection_reuse::SnatConnectionReuse;

/// One pod at 10.244.4.250, and one on the node's own network.
const PODS: &str = r#"[
  {"metadata":{"namespace":"shop","name":"watcher"},"spec":{"nodeName":"n"},
   "status":{"phase":"Running","podIP":"10.244.4.250"}},
  {"metadata":{"namespace":"kube-system","name":"proxy"},"spec":{"nodeName":"n","hostNetwork":true},
   "status":{"phase":"Running","podIP":"10.224.0.4"}}
]"#;

const MOSTLY_WATCHER: &str = "60 10.244.4.250 203.0.113.10:443\n4 konnectivity 203.0.113.10:443\n\
    4 10.224.0.4 203.0.113.10:443\n500 10.244.4.250 10.0.0.1:443\n";

fn connections() -> Query {
    Query::Node(NodeQuery {
        node: Estate::node_name(0),
        what: NodeObservation::OutboundConnections,
    })
}

fn all_pods() -> Query {
    Query::KubernetesList(ObjectList {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: String::new(),
        label_selector: String::new(),
    })
}

/// The first node, where the agent is, with so many failures and connections.
fn recorded(agent_ready: bool, failed: f64, used: f64, lines: &str) -> Recorded {
    let mut recorded = Estate::default().record();
    let agents = format!("[{}]", Estate::agent_pod(agent_ready));
    recorded.put(system_pods("app=konnectivity-agent"), agents);
    recorded.put_outbound_ports(&[MeasuredNode::steady(0, failed, used, 64.0)]);
    recorded.put(connections(), lines);
    recorded.put(all_pods(), PODS);
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<SnatConnectionReuse>(recorded).unwrap()
}

#[test]
fn a_pod_that_holds_most_ports_of_a_node_that_fails_is_confirmed_and_named() {
    let finding = diagnose(&recorded(false, 12.0, 64.0, MOSTLY_WATCHER));
    assert_eq!(finding.judgement, Judgement::Confirmed);
    // The node's own connections count once, and those inside the network not at all.
    assert!(
        finding
            .summary
            .starts_with("pod shop/watcher holds 60 of the 64 outbound connections"),
        "{}",
        finding.summary
    );
    let shown = finding.evidence.iter().map(|e| e.field.as_str());
    let shown: Vec<&str> = shown.filter(|field| field.contains("outbound")).collect();
    assert_eq!(
        shown,
        [
            "outbound connections of pod shop/watcher",
            "outbound connections of process konnectivity on the node"
        ]
    );
}

#[test]
fn a_pod_that_is_being_deleted_holds_its_ports_by_its_name_and_one_that_ended_holds_none() {
    let mut recorded = recorded(false, 12.0, 64.0, MOSTLY_WATCHER);
    recorded.edit(&all_pods(), |pods| {
        pods[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    let finding = diagnose(&recorded);
    assert!(
        finding.summary.starts_with("pod shop/watcher holds 60"),
        "{}",
        finding.summary
    );
    recorded.edit(&all_pods(), |pods| {
        pods[0]["status"]["phase"] = "Failed".into()
    });
    let finding = diagnose(&recorded);
    assert!(
        finding.summary.starts_with("address 10.244.4.250 holds 60"),
        "{}",
        finding.summary
    );
}

#[test]
fn where_the_agent_works_a_holder_is_only_suspected() {
    let finding = diagnose(&recorded(true, 12.0, 64.0, MOSTLY_WATCHER));
    assert_eq!(finding.judgement, Judgement::Suspected);
    assert!(
        finding.summary.contains("shop/watcher"),
        "{}",
        finding.summary
    );
}

#[test]
fn ports_that_many_share_are_suspected_without_naming_one() {
    let spread = "20 10.244.4.250 203.0.113.10:443\n22 10.244.4.251 203.0.113.10:443\n\
        22 curl 203.0.113.10:443\n";
    let finding = diagnose(&recorded(false, 12.0, 64.0, spread));
    assert_eq!(finding.judgement, Judgement::Suspected);
    assert!(
        finding.summary.starts_with("No one workload"),
        "{}",
        finding.summary
    );
}

#[test]
fn without_a_shortage_no_node_is_looked_at() {
    let mut recorded = recorded(true, 0.0, 3.0, "");
    recorded.fail(connections(), ObserveError::Unavailable("not asked".into()));
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
}

#[test]
fn metrics_without_a_value_leave_it_unknown_and_no_node_is_looked_at() {
    let mut recorded = recorded(true, 0.0, 3.0, "");
    recorded.put_outbound_ports(&[]);
    recorded.fail(connections(), ObserveError::Unavailable("not asked".into()));
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains("Azure Monitor"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_node_that_cannot_be_read_leaves_it_unknown() {
    let mut recorded = recorded(false, 12.0, 64.0, "");
    recorded.fail(connections(), ObserveError::Truncated("4096 bytes".into()));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
}

#[test]
fn hostile_output_is_data_and_names_nobody() {
    let hostile = "99999999999999999999 x 1.2.3.4:5\n\u{1b}[2J $(reboot) ;\n7 10.244.4.250\n";
    let finding = diagnose(&recorded(false, 12.0, 64.0, hostile));
    assert_eq!(finding.judgement, Judgement::Suspected);
    assert!(
        finding.summary.starts_with("No one workload"),
        "{}",
        finding.summary
    );
}

#[test]
fn it_is_advice_there_is_nothing_to_plan() {
    assert!(SnatConnectionReuse::describe().effects.is_empty());
    let recorded = recorded(false, 12.0, 64.0, MOSTLY_WATCHER);
    let finding = diagnose(&recorded);
    let planned = SnatConnectionReuse::plan(&recorded, &Estate::cluster(), &finding, "{}");
    assert!(
        matches!(planned, Err(PluginError::NothingToDo(_))),
        "{planned:?}"
    );
}
