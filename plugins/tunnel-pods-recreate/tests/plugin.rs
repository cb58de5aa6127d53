//! The plugin's judgement and proposal on recorded agents and probes.

use naosu_plugin::{
    Effect, Finding, Judgement, ObjectList, Plugin, PluginError, Query, Symptom, TcpProbe,
    kubernetes::system_pods,
    testing::{Estate, Recorded},
};
use naosu_tunnel_pods_recreate::TunnelPodsRecreate;
use serde_json::{Value, json};

fn tunnel(node: u32) -> Query {
    Query::TunnelProbe(Estate::node_name(node))
}

fn way(from: u32, to: u32) -> Query {
    Query::TcpProbe(TcpProbe {
        from_node: Estate::node_name(from),
        to_host: Estate::node_address(to).to_string(),
        port: 10250,
    })
}

fn reached() -> Value {
    json!({ "reached": true, "error": "", "elapsed_ms": 3 })
}

fn silent() -> Value {
    json!({ "reached": false, "error": "i/o timeout", "elapsed_ms": 2000 })
}

fn healthy() -> Recorded {
    let mut recorded = Estate::default().record();
    for node in 0..3 {
        recorded.put(tunnel(node), reached());
    }
    recorded
}

fn with_agents(mut recorded: Recorded, agents: &Value) -> Recorded {
    recorded.put(system_pods("app=konnectivity-agent"), agents);
    recorded.put(system_pods("component=tunnel"), agents);
    recorded
}

fn agent(name: &str, node: u32, ready: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "kube-system",
            "labels": { "app": "konnectivity-agent", "component": "tunnel" } },
        "spec": { "nodeName": Estate::node_name(node) },
        "status": { "phase": "Running", "hostIP": Estate::node_address(node),
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": [{ "restartCount": 7,
                "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }] } })
}

fn diagnose(recorded: &Recorded) -> Finding {
    let symptom = Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    TunnelPodsRecreate::diagnose(recorded, &Estate::cluster(), &symptom).unwrap()
}

fn plan(recorded: &Recorded) -> Result<naosu_plugin::Proposal, PluginError> {
    TunnelPodsRecreate::plan(recorded, &Estate::cluster(), &diagnose(recorded), "{}")
}

fn evicted(recorded: &Recorded) -> Vec<String> {
    let steps = plan(recorded).unwrap().steps.into_iter();
    steps
        .map(|step| match step.effect {
            Effect::PodEvict(pod) => pod.name,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn with_ready_agents_and_every_node_answering_it_is_ruled_out() {
    let finding = diagnose(&healthy());
    assert_eq!(
        finding.judgement,
        Judgement::RuledOut,
        "{}",
        finding.summary
    );
    assert!(matches!(plan(&healthy()), Err(PluginError::NothingToDo(_))));
}

#[test]
fn an_agent_that_runs_and_is_not_ready_is_suspected_and_only_it_is_evicted() {
    let agents = json!([agent("good", 0, "True"), agent("bad", 1, "False")]);
    let recorded = with_agents(healthy(), &agents);
    let finding = diagnose(&recorded);
    // Its way to the API server may be what keeps it from being ready.
    assert_eq!(finding.judgement, Judgement::Suspected);
    assert_eq!(finding.evidence[0].resource, "pod/kube-system/bad");
    assert!(finding.evidence[0].value.contains("OOMKilled"));
    assert_eq!(evicted(&recorded), ["bad"]);
}

#[test]
fn an_agent_whose_pod_does_not_run_is_confirmed() {
    let mut bad = agent("bad", 1, "False");
    bad["status"]["phase"] = json!("Pending");
    let recorded = with_agents(healthy(), &json!([agent("good", 0, "True"), bad]));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    assert_eq!(evicted(&recorded), ["bad"]);
}

#[test]
fn a_closed_way_to_the_node_is_another_cause() {
    let mut recorded = healthy();
    recorded.put(tunnel(2), silent());
    recorded.put(way(0, 2), silent());
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
}

#[test]
fn an_open_way_without_an_answer_is_suspected_and_all_agents_go_one_by_one() {
    let mut recorded = healthy();
    recorded.put(tunnel(2), silent());
    recorded.put(way(0, 2), reached());
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert_eq!(evicted(&recorded), ["konnectivity-agent-5b8f9-x2x4q"]);
}

#[test]
fn without_any_agent_it_is_confirmed_and_the_rollout_restarted() {
    let recorded = with_agents(healthy(), &json!([]));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    let proposal = plan(&recorded).unwrap();
    assert!(
        matches!(&proposal.steps[0].effect, Effect::RolloutRestart(w) if w.name == "konnectivity-agent")
    );
}

#[test]
fn webhooks_that_fail_open_are_named_in_a_warning() {
    let mut recorded = with_agents(healthy(), &json!([agent("bad", 1, "False")]));
    for kind in [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ] {
        let query = Query::KubernetesList(ObjectList {
            api_version: "admissionregistration.k8s.io/v1".into(),
            kind: kind.into(),
            namespace: String::new(),
            label_selector: String::new(),
        });
        let body = json!([{ "metadata": { "name": "policy" },
            "webhooks": [{ "failurePolicy": "Ignore" }] },
            { "metadata": { "name": "strict" }, "webhooks": [{ "failurePolicy": "Fail" }] }]);
        recorded.put(query, body);
    }
    let warnings = plan(&recorded).unwrap().warnings.join("\n");
    assert!(
        warnings.contains("fail open") && warnings.contains("policy"),
        "{warnings}"
    );
    assert!(!warnings.contains("strict"), "{warnings}");
}

#[test]
fn a_probe_that_cannot_be_made_makes_it_unknown() {
    let recorded = Estate::default().record();
    assert_eq!(diagnose(&recorded).judgement, Judgement::Unknown);
}
