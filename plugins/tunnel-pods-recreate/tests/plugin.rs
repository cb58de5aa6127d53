//! The plugin's judgement and proposal on recorded agents and probes.

use naosu_plugin::{
    Effect, Finding, Judgement, ObjectList, Plugin, PluginError, Query, Symptom, TcpProbe,
    kubernetes::{all_nodes, system_deployments, system_pods},
    testing::{self, Estate, Recorded},
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
    json!({ "reached": false, "error": "i/o timeout", "elapsed_ms": 2000, "tries": 4, "answered": 0 })
}

fn sometimes() -> Value {
    json!({ "reached": false, "error": "i/o timeout", "elapsed_ms": 2000, "tries": 4, "answered": 2 })
}

fn faulty(error: &str) -> Value {
    json!({ "reached": true, "error": error, "elapsed_ms": 3, "tries": 4, "answered": 4 })
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
            "containerStatuses": [{ "restartCount": 0, "lastState": {} }] } })
}

/// The same, killed for lack of memory before.
fn killed(mut agent: Value) -> Value {
    agent["status"]["containerStatuses"] = json!([{ "restartCount": 7,
        "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }]);
    agent
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<TunnelPodsRecreate>(recorded).unwrap()
}

fn plan(recorded: &Recorded) -> Result<naosu_plugin::Proposal, PluginError> {
    testing::plan::<TunnelPodsRecreate>(recorded, "{}")
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
    let agents = json!([agent("good", 0, "True"), killed(agent("bad", 1, "False"))]);
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

fn of_the_nodes(recorded: &mut Recorded, nodes: &[u32], answer: &Value) {
    for node in nodes {
        recorded.put(tunnel(*node), answer);
        for agent in 0..2 {
            recorded.put(way(agent, *node), reached());
        }
    }
}

#[test]
fn a_ready_agent_through_which_no_node_is_reached_though_each_way_is_open_is_deaf() {
    let mut recorded = healthy();
    of_the_nodes(&mut recorded, &[0, 1, 2], &silent());
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("deaf"), "{}", finding.summary);
    assert_eq!(evicted(&recorded), ["konnectivity-agent-5b8f9-x2x4q"]);
}

#[test]
fn of_two_ready_agents_one_is_deaf_when_the_same_nodes_answer_now_and_then() {
    let agents = json!([agent("a", 0, "True"), agent("b", 1, "True")]);
    let mut recorded = with_agents(healthy(), &agents);
    of_the_nodes(&mut recorded, &[0, 2], &sometimes());
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    assert_eq!(evicted(&recorded), ["a", "b"]);
    // The way from one of them is closed: requests given to it explain the silence.
    recorded.put(way(1, 0), silent());
    recorded.put(way(1, 2), silent());
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
}

#[test]
fn what_other_faults_explain_as_well_is_suspected_only() {
    let both = |recorded: Recorded| {
        let agents = json!([agent("a", 0, "True"), agent("b", 1, "True")]);
        with_agents(recorded, &agents)
    };
    // One node alone: its kubelet may hang.
    let mut one = both(healthy());
    of_the_nodes(&mut one, &[2], &sometimes());
    // Some nodes always, others never: so may theirs.
    let mut some = both(healthy());
    of_the_nodes(&mut some, &[1, 2], &silent());
    // No agent is connected, whatever their pods say.
    let mut unconnected = both(healthy());
    let no_agent =
        json!({ "reached": false, "error": "No agent available", "tries": 4, "answered": 0 });
    of_the_nodes(&mut unconnected, &[0, 1, 2], &no_agent);
    // A node that says itself that it is not well.
    let mut unwell = both(healthy());
    of_the_nodes(&mut unwell, &[0, 1, 2], &silent());
    let mut nodes: Value = serde_json::from_str(&read(&unwell, &all_nodes())).unwrap();
    nodes[2]["status"]["conditions"][0]["status"] = json!("Unknown");
    unwell.put(all_nodes(), nodes);
    // What carried the requests was killed.
    let agents = json!([agent("a", 0, "True"), killed(agent("b", 1, "True"))]);
    let mut out_of_memory = with_agents(healthy(), &agents);
    of_the_nodes(&mut out_of_memory, &[0, 2], &sometimes());
    for recorded in [one, some, unconnected, unwell, out_of_memory] {
        let finding = diagnose(&recorded);
        assert_eq!(
            finding.judgement,
            Judgement::Suspected,
            "{}",
            finding.summary
        );
    }
}

fn read(recorded: &Recorded, query: &Query) -> String {
    naosu_plugin::Reads::read(recorded, query).unwrap().body
}

#[test]
fn a_kubelet_that_answers_wrongly_is_reached_and_no_fault_of_the_agents() {
    for error in [
        "remote error: tls: internal error",
        "http: server gave HTTP response to HTTPS client",
    ] {
        let mut recorded = healthy();
        recorded.put(tunnel(1), faulty(error));
        let finding = diagnose(&recorded);
        assert_eq!(
            finding.judgement,
            Judgement::RuledOut,
            "{}",
            finding.summary
        );
        assert!(finding.summary.contains(error), "{}", finding.summary);
        let about = finding.evidence.last().unwrap();
        assert!(
            about.meaning.contains("not the tunnel"),
            "{}",
            about.meaning
        );
    }
}

#[test]
fn plain_http_from_every_node_may_be_the_tunnels_own() {
    let mut recorded = healthy();
    for node in 0..3 {
        let plain = "http: server gave HTTP response to HTTPS client";
        recorded.put(tunnel(node), faulty(plain));
    }
    assert_eq!(diagnose(&recorded).judgement, Judgement::Suspected);
}

#[test]
fn named_nodes_are_tried_first_and_plan_asks_the_same() {
    let mut recorded = Estate {
        nodes: 9,
        ..Estate::default()
    }
    .record();
    for node in 0..9 {
        recorded.put(tunnel(node), silent());
    }
    // Only these ways are recorded: to try any other would make it unknown.
    for node in [8, 0, 1] {
        recorded.put(way(0, node), reached());
    }
    let symptom = Symptom {
        text: String::new(),
        nodes: vec![Estate::node_name(8)],
    };
    let finding = TunnelPodsRecreate::diagnose(&recorded, &Estate::cluster(), &symptom).unwrap();
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    TunnelPodsRecreate::plan(&recorded, &Estate::cluster(), &finding, "{}").unwrap();
}

fn deployment(replicas: u32) -> Value {
    json!([{ "metadata": { "name": "konnectivity-agent" }, "spec": { "replicas": replicas,
        "template": { "spec": { "tolerations": [{ "key": "CriticalAddonsOnly", "operator": "Exists" }] } } } }])
}

#[test]
fn without_any_agent_the_deployment_is_asked_for_some_or_its_rollout_restarted() {
    let mut recorded = with_agents(healthy(), &json!([]));
    recorded.put(system_deployments(), deployment(0));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    let proposal = plan(&recorded).unwrap();
    let Effect::KubernetesPatch(patch) = &proposal.steps[0].effect else {
        panic!("{proposal:?}");
    };
    assert_eq!(patch.object.name, "konnectivity-agent");
    assert_eq!(patch.patch, r#"{"spec":{"replicas":2}}"#);

    recorded.put(system_deployments(), deployment(2));
    let proposal = plan(&recorded).unwrap();
    assert!(
        matches!(&proposal.steps[0].effect, Effect::RolloutRestart(w) if w.name == "konnectivity-agent")
    );

    recorded.put(system_deployments(), json!([]));
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    assert!(matches!(plan(&recorded), Err(PluginError::Infeasible(_))));
}

fn tainted(recorded: &mut Recorded, nodes: &[usize], key: &str) {
    let mut all: Value = serde_json::from_str(&read(recorded, &all_nodes())).unwrap();
    for node in nodes {
        all[*node]["spec"]["taints"] =
            json!([{ "key": key, "value": "batch", "effect": "NoExecute" }]);
    }
    recorded.put(all_nodes(), all);
}

fn waiting() -> Value {
    json!([{ "metadata": { "name": "waiting", "namespace": "kube-system",
            "labels": { "app": "konnectivity-agent", "component": "tunnel" } },
        "spec": { "tolerations": [{ "key": "CriticalAddonsOnly", "operator": "Exists" }] },
        "status": { "phase": "Pending", "conditions": [{ "type": "PodScheduled",
            "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu." }] } }])
}

#[test]
fn agents_that_every_node_keeps_away_are_confirmed_with_the_taint_and_no_step_helps() {
    let mut recorded = with_agents(healthy(), &waiting());
    tainted(&mut recorded, &[0, 1, 2], "dedicated");
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(
        finding.summary.contains("dedicated=batch:NoExecute"),
        "{}",
        finding.summary
    );
    let help = finding.infeasible.clone().unwrap();
    assert!(help.contains("dedicated=batch:NoExecute-"), "{help}");
    assert!(matches!(plan(&recorded), Err(PluginError::Infeasible(_))));
    // The same when the evicted pods are gone and only their deployment is left.
    let mut gone = with_agents(recorded, &json!([]));
    gone.put(system_deployments(), deployment(2));
    assert!(
        diagnose(&gone)
            .summary
            .contains("dedicated=batch:NoExecute")
    );
}

#[test]
fn tolerated_taints_and_free_nodes_leave_it_to_the_schedulers_words() {
    let mut tolerated = with_agents(healthy(), &waiting());
    tainted(&mut tolerated, &[0, 1, 2], "CriticalAddonsOnly");
    let mut one_free = with_agents(healthy(), &waiting());
    tainted(&mut one_free, &[0, 1], "dedicated");
    for recorded in [tolerated, one_free] {
        let finding = diagnose(&recorded);
        assert_eq!(finding.judgement, Judgement::Confirmed);
        assert!(
            finding.summary.contains("Insufficient cpu"),
            "{}",
            finding.summary
        );
        assert!(finding.infeasible.is_some());
    }
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
