//! The plugin's judgement and proposal on recorded agents and ladders.

use naosu_konnectivity_scale::KonnectivityScale;
use naosu_plugin::{
    Effect, Finding, Judgement, ObjectRef, Plugin, PluginError, Query, Symptom,
    kubernetes::system_pods,
    testing::{Estate, Recorded},
};
use serde_json::json;

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

fn killed(mut recorded: Recorded) -> Recorded {
    let pods = json!([{ "metadata": { "name": "agent", "namespace": "kube-system",
            "labels": { "app": "konnectivity-agent" } },
        "spec": { "nodeName": Estate::node_name(0) },
        "status": { "phase": "Running", "hostIP": Estate::node_address(0),
            "containerStatuses": [{ "restartCount": 4,
                "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }] } }]);
    recorded.put(system_pods("app=konnectivity-agent"), pods);
    recorded
}

fn diagnose(recorded: &Recorded) -> Finding {
    let symptom = Symptom {
        text: String::new(),
        nodes: Vec::new(),
    };
    KonnectivityScale::diagnose(recorded, &Estate::cluster(), &symptom).unwrap()
}

fn ladder(recorded: &Recorded) -> Result<String, PluginError> {
    let finding = diagnose(recorded);
    let proposal = KonnectivityScale::plan(recorded, &Estate::cluster(), &finding, "{}")?;
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
