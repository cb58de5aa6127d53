//! The plugin's judgement and proposal on recorded agents and ladders.

use naosu_konnectivity_scale::KonnectivityScale;
use naosu_plugin::{
    Effect, Finding, Judgement, ObjectRef, ObserveError, Plugin, PluginError, Query,
    kubernetes::{all_nodes, system_pods},
    testing::{self, Estate, Recorded},
};
use serde_json::{Value, json};

const LADDER: &str = r#"{"nodesToReplicas":[[1,2],[100,3],[250,4],[500,5],[1000,6],[5000,10]]}"#;

fn recorded(nodes: u32, ladder: &str) -> Recorded {
    let estate = Estate {
        nodes,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    let query = Query::KubernetesGet(ObjectRef {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "kube-system".into(),
        name: "konnectivity-agent-autoscaler".into(),
    });
    recorded.put(query, json!({ "data": { "ladder": ladder } }));
    recorded
}

fn agent(name: &str, restarts: u32) -> Value {
    let killed = json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137 } });
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
    assert_eq!(finding.evidence[0].value, "OOMKilled");
    assert!(
        ladder(&recorded)
            .unwrap()
            .starts_with(r#"{"nodesToReplicas":[[1,3]"#)
    );
}

#[test]
fn a_ladder_that_does_not_parse_makes_it_unknown() {
    assert_eq!(diagnose(&recorded(3, "{")).judgement, Judgement::Unknown);
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
    let mut without = killed(Estate::default().record());
    without.fail(
        Query::KubernetesGet(ObjectRef {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "kube-system".into(),
            name: "konnectivity-agent-autoscaler".into(),
        }),
        ObserveError::NotFound("no such map".into()),
    );
    let finding = diagnose(&without);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    assert!(finding.infeasible.is_some());
    assert!(matches!(ladder(&without), Err(PluginError::Infeasible(_))));
}
