//! Agents that wait: for a node, for an image, for a container.

use naosu_plugin::{
    Effect, Finding, Judgement, Plugin, PluginError, Query, Verdict,
    kubernetes::{all_nodes, system_pods},
    testing::{self, Estate, Recorded},
};
use naosu_tunnel_pods_recreate::TunnelPodsRecreate;
use serde_json::{Value, json};

fn agent(name: &str, ready: bool) -> Value {
    let mut pod = Estate::agent_pod(ready);
    pod["metadata"]["name"] = json!(name);
    pod
}

/// An agent on the second node whose container waits.
fn waiting(reason: &str, message: &str) -> Value {
    let mut pod = agent("waiting", false);
    pod["spec"]["nodeName"] = json!(Estate::node_name(1));
    pod["status"]["phase"] = json!("Pending");
    pod["status"]["containerStatuses"] = json!([{ "name": "konnectivity-agent", "ready": false,
        "state": { "waiting": { "reason": reason, "message": message } } }]);
    pod
}

fn unplaced() -> Value {
    let mut pod = agent("unplaced", false);
    pod["spec"] = json!({ "tolerations": [] });
    pod["status"] = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled",
        "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu." }] });
    pod
}

/// Every node answers through the tunnel.
fn recorded(agents: &[Value]) -> Recorded {
    let mut recorded = Estate::default().record();
    for selector in ["app=konnectivity-agent", "component=tunnel"] {
        recorded.put(system_pods(selector), json!(agents));
    }
    for node in 0..3 {
        let query = Query::TunnelProbe(Estate::node_name(node));
        recorded.put(query, json!({ "reached": true, "error": "" }));
    }
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<TunnelPodsRecreate>(recorded).unwrap()
}

fn evicted(recorded: &Recorded) -> (Vec<String>, Vec<String>) {
    let proposal = testing::plan::<TunnelPodsRecreate>(recorded, "{}").unwrap();
    let names = proposal.steps.into_iter().map(|step| match step.effect {
        Effect::PodEvict(pod) => pod.name,
        other => panic!("{other:?}"),
    });
    (names.collect(), proposal.warnings)
}

/// What is said after the steps for `before` ran, when it looks like `after`.
fn verified(before: &Recorded, after: &Recorded) -> Verdict {
    let finding = diagnose(before);
    let cluster = Estate::cluster();
    TunnelPodsRecreate::verify(after, &cluster, &finding, &[]).unwrap()
}

#[test]
fn an_image_that_is_not_pulled_is_suspected_and_a_new_pod_is_said_not_to_help() {
    let pull = "Back-off pulling image \"mcr.microsoft.com/oss/kubernetes/agent:v0.1\"";
    let recorded = recorded(&[agent("good", true), waiting("ImagePullBackOff", pull)]);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert!(
        finding.summary.contains("ImagePullBackOff"),
        "{}",
        finding.summary
    );
    assert!(
        finding.evidence[0]
            .value
            .contains("waits: ImagePullBackOff")
    );
    let infeasible = finding.infeasible.unwrap();
    for part in ["would wait as well", pull, "mcr.microsoft.com on TCP 443"] {
        assert!(infeasible.contains(part), "{part} is not in {infeasible}");
    }
    let planned = testing::plan::<TunnelPodsRecreate>(&recorded, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

#[test]
fn a_container_that_is_still_made_is_suspected_with_its_reason() {
    let recorded = recorded(&[agent("good", true), waiting("ContainerCreating", "")]);
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert!(
        finding.summary.contains("ContainerCreating"),
        "{}",
        finding.summary
    );
    assert_eq!(finding.infeasible, None);
    assert_eq!(evicted(&recorded).0, ["waiting"]);
}

#[test]
fn an_agent_whose_node_does_not_answer_is_suspected() {
    let mut silent = waiting("x", "");
    silent["status"]["containerStatuses"] = json!([]);
    let mut recorded = recorded(&[agent("good", true), silent]);
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    recorded.edit(&all_nodes(), |nodes| {
        nodes[1]["status"]["conditions"][0]["status"] = json!("Unknown");
    });
    assert_eq!(diagnose(&recorded).judgement, Judgement::Suspected);
}

#[test]
fn only_those_that_a_new_pod_helps_are_evicted_and_the_others_do_not_undo_it() {
    let pulling = waiting("ErrImagePull", "");
    let mut bad = agent("bad", false);
    bad["status"]["containerStatuses"] = json!([]);
    let before = recorded(&[bad, pulling.clone(), unplaced()]);
    let (names, warnings) = evicted(&before);
    assert_eq!(names, ["bad"]);
    let told = |warning: &String| warning.starts_with("Not mended by this plan: waiting on");
    assert!(warnings.iter().any(told), "{warnings:?}");
    let after = recorded(&[agent("new", true), pulling.clone(), unplaced()]);
    let verdict = verified(&before, &after);
    assert!(verdict.mended, "{}", verdict.summary);
    // One that waits for a node only since then is the plan's.
    let worse = recorded(&[agent("new", true), pulling, unplaced(), unplaced()]);
    assert!(!verified(&before, &worse).mended);
    assert!(!verified(&before, &before).mended);
}

#[test]
fn an_agent_without_a_node_beside_one_that_runs_is_told_with_the_schedulers_reason() {
    let mut recorded = recorded(&[agent("good", true), unplaced()]);
    recorded.edit(&all_nodes(), |nodes| {
        nodes[1]["spec"]["taints"] =
            json!([{ "key": "dedicated", "value": "batch", "effect": "NoSchedule" }]);
    });
    let finding = diagnose(&recorded);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    for part in ["1 of 2 tunnel agents has no node", "Insufficient cpu"] {
        assert!(finding.summary.contains(part), "{}", finding.summary);
    }
    assert!(finding.infeasible.unwrap().contains("make room for it"));
    let values: Vec<&str> = finding.evidence.iter().map(|e| e.value.as_str()).collect();
    assert!(values.contains(&"dedicated=batch:NoSchedule"), "{values:?}");
    let planned = testing::plan::<TunnelPodsRecreate>(&recorded, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

#[test]
fn with_agents_that_are_not_ready_those_without_a_node_are_told_as_well() {
    let recorded = recorded(&[agent("bad", false), unplaced()]);
    let finding = diagnose(&recorded);
    assert_eq!(finding.infeasible, None);
    assert!(
        finding.summary.contains("has no node"),
        "{}",
        finding.summary
    );
    assert_eq!(evicted(&recorded).0, ["bad"]);
}
