//! The plugin's judgement and proposal on recorded agents and ladders.

use naosu_konnectivity_scale::KonnectivityScale;
use naosu_plugin::{
    Effect, Finding, Judgement, ObjectRef, ObserveError, Plugin, PluginError, Query,
    kubernetes::{all_nodes, system_pods},
    testing::{self, Estate, Recorded},
};
use serde_json::{Value, json};

const LADDER: &str = r#"{"nodesToReplicas":[[1,2],[100,3],[250,4],[500,5],[1000,6],[5000,10]]}"#;

fn config_map() -> Query {
    Query::KubernetesGet(ObjectRef {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "kube-system".into(),
        name: "konnectivity-agent-autoscaler".into(),
    })
}

fn recorded(nodes: u32, ladder: &str) -> Recorded {
    let estate = Estate {
        nodes,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    recorded.put(config_map(), json!({ "data": { "ladder": ladder } }));
    recorded
}

/// The estate is observed at 08:53:20 of that day.
const JUST_NOW: &str = "2025-10-09T08:50:00Z";

fn agent(name: &str, restarts: u32) -> Value {
    agent_killed_at(name, restarts, JUST_NOW)
}

/// An agent that was killed for memory if it was restarted, the last time then.
fn agent_killed_at(name: &str, restarts: u32, at: &str) -> Value {
    let killed = json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137,
        "finishedAt": at } });
    json!({ "metadata": { "name": name, "namespace": "kube-system",
            "labels": { "app": "konnectivity-agent" } },
        "spec": { "nodeName": Estate::node_name(0) },
        "status": { "phase": "Running", "hostIP": Estate::node_address(0),
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "restartCount": restarts,
                "lastState": if restarts > 0 { killed } else { json!({}) } }] } })
}

fn with_agents(mut recorded: Recorded, agents: &[Value]) -> Recorded {
    recorded.put(system_pods("app=konnectivity-agent"), json!(agents));
    recorded
}

fn killed(recorded: Recorded) -> Recorded {
    with_agents(recorded, &[agent("agent", 4)])
}

fn mended(finding: &Finding, after: &Recorded) -> bool {
    let verdict = KonnectivityScale::verify(after, &Estate::cluster(), finding, &[]).unwrap();
    verdict.mended
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<KonnectivityScale>(recorded).unwrap()
}

fn ladder(recorded: &Recorded) -> Result<String, PluginError> {
    let proposal = testing::plan::<KonnectivityScale>(recorded, "{}")?;
    match &proposal.steps[0].effect {
        Effect::ConfigMapSet(set) => Ok(set.value.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shipped_ladder_without_kills_is_ruled_out() {
    let recorded = recorded(3, LADDER);
    assert_eq!(diagnose(&recorded).judgement, Judgement::RuledOut);
    assert!(matches!(
        ladder(&recorded),
        Err(PluginError::NothingToDo(_))
    ));
}

#[test]
fn a_ladder_with_too_few_agents_is_confirmed_and_raised_to_the_published_number() {
    let recorded = recorded(120, r#"{"nodesToReplicas":[[1,1]]}"#);
    assert_eq!(diagnose(&recorded).judgement, Judgement::Confirmed);
    assert_eq!(ladder(&recorded).unwrap(), r#"{"nodesToReplicas":[[1,3]]}"#);
}

#[test]
fn an_agent_killed_for_memory_is_confirmed_and_gets_help() {
    let recorded = killed(recorded(3, LADDER));
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert_eq!(
        finding.evidence[0].value,
        "OOMKilled at 2025-10-09T08:50:00Z, restarted 4 times"
    );
    assert!(
        ladder(&recorded)
            .unwrap()
            .starts_with(r#"{"nodesToReplicas":[[1,3]"#)
    );
}

#[test]
fn a_kill_counts_by_how_long_ago_and_how_often_it_was() {
    for (at, restarts, expected) in [
        (JUST_NOW, 1, Judgement::Confirmed),
        // The clock of the node is ahead.
        ("2025-10-09T09:00:00Z", 1, Judgement::Confirmed),
        ("2025-10-09T01:00:00Z", 1, Judgement::Suspected),
        ("2025-10-09T01:00:00Z", 4, Judgement::Confirmed),
        ("2025-10-07T01:00:00Z", 1, Judgement::RuledOut),
        ("2025-06-01T00:00:00Z", 9, Judgement::RuledOut),
        // No time, or none that can be.
        ("", 4, Judgement::Suspected),
        ("yesterday", 4, Judgement::Suspected),
        ("2099-01-01T00:00:00Z", 4, Judgement::Suspected),
    ] {
        let agents = [agent_killed_at("agent", restarts, at), agent("other", 0)];
        let finding = diagnose(&with_agents(recorded(3, LADDER), &agents));
        assert_eq!(finding.judgement, expected, "{at} {restarts}: {finding:#?}");
        assert!(
            finding.evidence[0].value.starts_with("OOMKilled"),
            "{finding:#?}"
        );
    }
}

#[test]
fn an_agent_that_is_down_for_memory_is_confirmed_whenever_that_was() {
    let mut down = agent("agent", 0);
    down["status"]["containerStatuses"][0]["state"] = json!({ "terminated": {
        "reason": "OOMKilled", "finishedAt": "2025-06-01T00:00:00Z" } });
    let finding = diagnose(&with_agents(recorded(3, LADDER), &[down]));
    assert_eq!(finding.judgement, Judgement::Confirmed);
}

fn agents(count: usize) -> Vec<Value> {
    let names = (0..count).map(|n| format!("agent-{n}"));
    names.map(|name| agent(&name, 0)).collect()
}

fn without_ladder(mut recorded: Recorded) -> Recorded {
    recorded.fail(config_map(), ObserveError::NotFound("no such map".into()));
    recorded
}

#[test]
fn too_few_agents_that_run_are_suspected_with_and_without_a_ladder_that_asks_for_enough() {
    // 1,000 nodes need six; one may be missing.
    for (running, expected) in [
        (2, Judgement::Suspected),
        (4, Judgement::Suspected),
        (5, Judgement::RuledOut),
        (6, Judgement::RuledOut),
        // None at all is another cause.
        (0, Judgement::RuledOut),
    ] {
        let agents = match running {
            0 => vec![pending()],
            some => agents(some),
        };
        let with = with_agents(recorded(1000, LADDER), &agents);
        let without = without_ladder(with.clone());
        for (recorded, next) in [(&with, "asks for 6 agents already"), (&without, "upgrade")] {
            let finding = diagnose(recorded);
            assert_eq!(finding.judgement, expected, "{running}: {finding:#?}");
            let Some(why) = finding.infeasible else {
                assert_eq!(expected, Judgement::RuledOut);
                continue;
            };
            assert!(why.contains(next), "{why}");
            let planned = ladder(recorded);
            assert!(
                matches!(planned, Err(PluginError::Infeasible(_))),
                "{planned:?}"
            );
        }
    }
}

fn pending() -> Value {
    let mut pending = agent("pending", 0);
    pending["status"] = json!({ "phase": "Pending" });
    pending
}

#[test]
fn without_an_agent_or_a_deployment_of_some_the_kind_of_tunnel_is_not_known() {
    let none = with_agents(recorded(3, LADDER), &[]);
    assert_eq!(diagnose(&none).judgement, Judgement::Unknown);
}

#[test]
fn pods_that_do_not_run_yet_are_no_agents_that_run() {
    let mut some = agents(2);
    some.extend((0..4).map(|n| {
        let mut pod = pending();
        pod["metadata"]["name"] = json!(format!("pending-{n}"));
        pod
    }));
    let finding = diagnose(&with_agents(recorded(1000, LADDER), &some));
    assert_eq!(finding.judgement, Judgement::Suspected);
}

/// Three nodes with so many cores each.
fn with_cores(mut recorded: Recorded, cpu: &str) -> Recorded {
    let body = naosu_plugin::Reads::read(&recorded, &all_nodes())
        .unwrap()
        .body;
    let mut nodes: Value = serde_json::from_str(&body).unwrap();
    for node in nodes.as_array_mut().unwrap() {
        node["status"]["allocatable"] = json!({ "cpu": cpu });
    }
    recorded.put(all_nodes(), nodes);
    recorded
}

#[test]
fn a_ladder_of_cores_is_judged_by_the_cores_that_nodes_tell() {
    const BY_CORES: &str = r#"{"coresToReplicas":[[1,1],[11,2]]}"#;
    for (cpu, expected) in [
        ("3860m", Judgement::RuledOut),
        ("2", Judgement::Confirmed),
        ("", Judgement::Unknown),
    ] {
        let recorded = with_cores(recorded(3, BY_CORES), cpu);
        assert_eq!(diagnose(&recorded).judgement, expected, "{cpu}");
    }
    assert_eq!(
        ladder(&with_cores(recorded(3, BY_CORES), "2")).unwrap(),
        r#"{"coresToReplicas":[[1,1],[11,2]],"nodesToReplicas":[[1,2]]}"#
    );
    let unknown = ladder(&recorded(3, BY_CORES));
    assert!(
        matches!(unknown, Err(PluginError::NothingToDo(_))),
        "{unknown:?}"
    );
    // What the nodes ask for alone is enough, whatever the cores add.
    let both = r#"{"coresToReplicas":[[1,1]],"nodesToReplicas":[[1,2]]}"#;
    assert_eq!(diagnose(&recorded(3, both)).judgement, Judgement::RuledOut);
}

#[test]
fn what_makes_no_sense_makes_it_unknown() {
    assert_eq!(diagnose(&recorded(3, "{")).judgement, Judgement::Unknown);
    assert_eq!(diagnose(&recorded(0, LADDER)).judgement, Judgement::Unknown);
    let mut linear = recorded(3, LADDER);
    linear.put(config_map(), json!({ "data": { "linear": "{}" } }));
    let finding = diagnose(&linear);
    assert_eq!(finding.judgement, Judgement::Unknown);
    assert!(
        finding.summary.contains("the keys are: linear"),
        "{}",
        finding.summary
    );
}

#[test]
fn it_is_mended_when_the_wanted_agents_are_ready_though_the_old_kill_is_still_told() {
    let finding = diagnose(&killed(recorded(3, LADDER)));
    let raised = r#"{"nodesToReplicas":[[1,3]]}"#;
    let agents = [agent("agent", 4), agent("b", 0), agent("c", 0)];
    assert!(mended(&finding, &with_agents(recorded(3, raised), &agents)));
    // Not before all are there, not by the ladder of before, not when one is killed again.
    assert!(!mended(
        &finding,
        &with_agents(recorded(3, raised), &agents[..2])
    ));
    assert!(!mended(
        &finding,
        &with_agents(recorded(3, LADDER), &agents)
    ));
    let again = [agent("agent", 5), agent("b", 0), agent("c", 0)];
    assert!(!mended(&finding, &with_agents(recorded(3, raised), &again)));
}

#[test]
fn a_ladder_that_begins_above_the_nodes_gives_its_first_step_and_is_raised_from_one_node_on() {
    let low = recorded(3, r#"{"nodesToReplicas":[[10,1]]}"#);
    assert_eq!(diagnose(&low).judgement, Judgement::Confirmed);
    assert_eq!(
        ladder(&low).unwrap(),
        r#"{"nodesToReplicas":[[1,2],[10,2]]}"#
    );
    let enough = recorded(3, r#"{"nodesToReplicas":[[10,2]]}"#);
    assert_eq!(diagnose(&enough).judgement, Judgement::RuledOut);
}

#[test]
fn nodes_that_take_nothing_new_do_not_count_as_they_do_not_for_the_autoscaler() {
    let mut half = recorded(100, LADDER.replace("[100,3]", "[100,2]").as_str());
    assert_eq!(diagnose(&half).judgement, Judgement::Confirmed);
    let body = naosu_plugin::Reads::read(&half, &all_nodes()).unwrap().body;
    let mut nodes: Value = serde_json::from_str(&body).unwrap();
    nodes[0]["spec"]["unschedulable"] = json!(true);
    half.put(all_nodes(), nodes);
    assert_eq!(diagnose(&half).judgement, Judgement::RuledOut);
}

#[test]
fn without_a_ladder_killed_agents_are_confirmed_and_said_to_be_beyond_this_fix() {
    let without = without_ladder(killed(Estate::default().record()));
    let finding = diagnose(&without);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.infeasible.is_some());
    assert!(matches!(ladder(&without), Err(PluginError::Infeasible(_))));
}
