//! Disruption budgets: waited for where waiting ends, gone round where it never does.

use naosu_plugin::{
    Effect, ObserveError, Proposal, Query, TcpProbe,
    kubernetes::{system_budgets, system_pods},
    testing::{self, Estate, Recorded},
};
use naosu_tunnel_pods_recreate::TunnelPodsRecreate;
use serde_json::{Value, json};

fn agent(name: &str, ready: bool) -> Value {
    let mut pod = Estate::agent_pod(ready);
    pod["metadata"]["name"] = json!(name);
    pod
}

fn recorded(agents: &[Value], budgets: &[Value]) -> Recorded {
    let mut recorded = Estate::default().record();
    for selector in ["app=konnectivity-agent", "component=tunnel"] {
        recorded.put(system_pods(selector), json!(agents));
    }
    recorded.put(system_budgets(), json!(budgets));
    // No node answers, though the way is open: ready agents are deaf.
    for node in 0..3 {
        let tunnel = Query::TunnelProbe(Estate::node_name(node));
        recorded.put(tunnel, json!({ "reached": false, "error": "i/o timeout" }));
        let way = Query::TcpProbe(TcpProbe {
            from_node: Estate::node_name(0),
            to_host: Estate::node_address(node).to_string(),
            port: 10250,
        });
        recorded.put(way, json!({ "reached": true, "error": "" }));
    }
    recorded
}

fn budget(healthy: u32, desired: u32, expected: u32) -> Value {
    json!({ "metadata": { "name": "konnectivity-agent", "namespace": "kube-system" },
        "spec": { "minAvailable": desired,
            "selector": { "matchLabels": { "app": "konnectivity-agent" } } },
        "status": { "currentHealthy": healthy, "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": healthy.saturating_sub(desired) } })
}

fn plan(recorded: &Recorded) -> Proposal {
    testing::plan::<TunnelPodsRecreate>(recorded, "{}").unwrap()
}

/// Whether the rollout is restarted in place of evictions, and the budget named.
fn goes_round(recorded: &Recorded) -> bool {
    let Proposal {
        steps, warnings, ..
    } = plan(recorded);
    let told = |warning: &String| warning.contains("kube-system/konnectivity-agent");
    match steps.as_slice() {
        [step] if matches!(&step.effect, Effect::RolloutRestart(_)) => {
            let Effect::RolloutRestart(workload) = &step.effect else {
                return false;
            };
            assert_eq!(workload.name, "konnectivity-agent");
            assert!(warnings.iter().any(told), "{warnings:?}");
            true
        }
        steps => {
            let evicts = |step: &naosu_plugin::Step| matches!(step.effect, Effect::PodEvict(_));
            assert!(steps.iter().all(evicts), "{steps:?}");
            assert!(!warnings.iter().any(told), "{warnings:?}");
            false
        }
    }
}

#[test]
fn without_enough_healthy_agents_no_unhealthy_one_can_be_evicted_and_the_rollout_is_restarted() {
    let alone = [agent("bad", false)];
    assert!(goes_round(&recorded(&alone, &[budget(0, 1, 1)])));
    let one_of_two = [agent("good", true), agent("bad", false)];
    assert!(goes_round(&recorded(&one_of_two, &[budget(1, 2, 2)])));
    assert!(!goes_round(&recorded(&one_of_two, &[budget(1, 1, 2)])));
    // A budget of which it was not told how it stands is judged by the agents.
    let mut untold = budget(0, 1, 1);
    untold["status"] = json!({});
    assert!(goes_round(&recorded(&alone, &[untold.clone()])));
    assert!(!goes_round(&recorded(&one_of_two, &[untold])));
}

#[test]
fn a_budget_that_is_no_hindrance_leaves_evictions_as_they_are() {
    let alone = [agent("bad", false)];
    let mut lenient = budget(0, 1, 1);
    lenient["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
    assert!(!goes_round(&recorded(&alone, &[lenient])));
    let mut other = budget(0, 1, 1);
    other["spec"]["selector"] = json!({ "matchLabels": { "app": "coredns" } });
    assert!(!goes_round(&recorded(&alone, &[other])));
    // A pod that does not run is evicted whatever a budget says.
    let mut waits = agent("waits", false);
    waits["status"]["phase"] = json!("Pending");
    assert!(!goes_round(&recorded(&[waits], &[budget(0, 1, 1)])));
}

#[test]
fn a_budget_that_lets_no_healthy_agent_go_is_gone_round_once_all_are_healthy() {
    let deaf = [agent("deaf", true)];
    assert!(goes_round(&recorded(&deaf, &[budget(1, 1, 1)])));
    let two = [agent("a", true), agent("b", true)];
    assert!(!goes_round(&recorded(&two, &[budget(2, 1, 2)])));
    assert!(goes_round(&recorded(&two, &[budget(2, 2, 2)])));
}

#[test]
fn two_budgets_of_one_pod_refuse_every_eviction_of_it() {
    let two = [agent("good", true), agent("bad", false)];
    let budgets = [budget(1, 1, 2), budget(1, 1, 2)];
    assert!(goes_round(&recorded(&two, &budgets)));
}

#[test]
fn budgets_that_may_not_be_read_are_a_warning() {
    let mut recorded = recorded(&[agent("bad", false)], &[]);
    let denied = ObserveError::Forbidden("no right to list them".into());
    recorded.fail(system_budgets(), denied);
    let warnings = plan(&recorded).warnings.join("\n");
    assert!(warnings.contains("no right to list them"), "{warnings}");
}
