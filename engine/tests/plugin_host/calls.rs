//! What a guest may do in a call, and what becomes of one that does more.

use std::sync::{Arc, Mutex};

use naosu_engine::{
    Code,
    model::Finding,
    plugin::{Plugin, Reads},
};
use serde_json::{Map, Value, json};

use crate::support::{NothingThere, OBSERVED_AT, cluster, diagnose, hostile};

async fn failure(plugin: &dyn Plugin, text: &str) -> naosu_engine::Error {
    let error = diagnose(plugin, text).await.unwrap_err();
    let next = diagnose(plugin, "fine").await.unwrap();
    assert_eq!(next.summary, "fine", "the call after {text}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_uses_too_much_is_stopped_and_the_next_call_works() {
    let plugin = hostile().await;
    for (way, word) in [
        ("loop", "500 ms"),
        ("memory", "bytes of memory"),
        ("output", "bytes"),
    ] {
        let error = failure(&*plugin, way).await;
        assert_eq!(error.code, Code::PluginLimitExceeded, "{way}: {error}");
        assert!(error.message.contains(word), "{way}: {error}");
    }
}

#[tokio::test]
async fn a_guest_that_waits_for_ever_is_stopped_by_the_outer_timeout() {
    let plugin = hostile().await;
    let error = failure(&*plugin, "sleep").await;
    assert_eq!(error.code, Code::PluginLimitExceeded);
    assert!(error.message.contains("3000 ms"), "{error}");
}

#[tokio::test]
async fn a_crash_is_an_error_of_that_call_only() {
    let plugin = hostile().await;
    for way in ["trap", "exit", "stack"] {
        let error = failure(&*plugin, way).await;
        assert_eq!(error.code, Code::PluginTrapped, "{way}: {error}");
    }
}

#[tokio::test]
async fn a_busy_guest_does_not_keep_others_from_running() {
    // One thread: the loop has to yield for the other call to end first.
    let plugin = hostile().await;
    let ended = Arc::new(Mutex::new(Vec::new()));
    let calls = ["loop", "fine"].map(|way| {
        let (plugin, ended) = (Arc::clone(&plugin), Arc::clone(&ended));
        tokio::spawn(async move {
            let result = diagnose(&*plugin, way).await;
            ended.lock().unwrap().push((way, result.is_ok()));
        })
    });
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(*ended.lock().unwrap(), [("fine", true), ("loop", false)]);
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_its_field() {
    let plugin = hostile().await;
    for (way, field) in [
        ("long", "diagnose.summary"),
        ("other-cause", "diagnose.cause"),
        ("bad-json", "diagnose.subject"),
        ("bad-time", "diagnose.evidence[0].observed-at"),
        (
            "bad-prefix",
            "diagnose.required-flows[0].source-prefixes[0]",
        ),
    ] {
        let error = failure(&*plugin, way).await;
        assert_eq!(error.code, Code::PluginMisbehaved, "{way}: {error}");
        assert!(error.message.contains(field), "{way}: {error}");
    }
}

#[tokio::test]
async fn control_characters_are_kept_as_data() {
    let plugin = hostile().await;
    let finding = diagnose(&*plugin, "escapes").await.unwrap();
    assert_eq!(finding.summary, "\x1b[2J; rm -rf /\n");
}

#[tokio::test]
async fn there_are_no_files_environment_or_arguments() {
    let plugin = hostile().await;
    assert_eq!(diagnose(&*plugin, "files").await.unwrap().summary, "true");
    assert_eq!(
        diagnose(&*plugin, "environment").await.unwrap().summary,
        "0 0"
    );
}

#[tokio::test]
async fn clock_and_random_numbers_are_the_same_in_every_call() {
    let plugin = hostile().await;
    for way in ["clock", "random"] {
        let one = diagnose(&*plugin, way).await.unwrap();
        let two = diagnose(&*plugin, way).await.unwrap();
        assert_eq!(one, two, "{way}");
    }
}

#[tokio::test]
async fn reads_that_are_not_granted_malformed_or_of_secrets_never_reach_the_host() {
    let plugin = hostile().await;
    for (way, word) in [
        ("metric", "NotGranted"),
        ("secret", "NotGranted"),
        ("path", "Invalid"),
    ] {
        let reads = Arc::new(NothingThere::default());
        let symptom = naosu_engine::model::Symptom {
            text: way.to_owned(),
            nodes: Vec::new(),
        };
        let given: Arc<dyn Reads> = reads.clone();
        let finding = plugin.diagnose(&cluster(), &symptom, given).await.unwrap();
        assert!(finding.summary.contains(word), "{way}: {}", finding.summary);
        assert!(reads.0.lock().unwrap().is_empty(), "{way}");
    }
}

async fn plan(
    plugin: &dyn Plugin,
    parameters: Value,
) -> Result<naosu_engine::plugin::Proposal, naosu_engine::Error> {
    let finding: Finding = diagnose(plugin, "fine").await.unwrap();
    let parameters: Map<String, Value> = serde_json::from_value(parameters).unwrap();
    let reads = Arc::new(NothingThere::default());
    plugin.plan(&cluster(), &finding, &parameters, reads).await
}

#[tokio::test]
async fn an_effect_that_was_not_declared_is_refused() {
    let plugin = hostile().await;
    let error = plan(&*plugin, json!({ "way": "undeclared" }))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::PluginMisbehaved);
    assert!(error.message.contains("UfwDisable"), "{error}");
    let error = plan(&*plugin, json!({ "way": "title" })).await.unwrap_err();
    assert!(error.message.contains("plan.steps[0].title"), "{error}");
}

#[tokio::test]
async fn parameters_are_checked_and_defaults_filled_in() {
    let plugin = hostile().await;
    let proposal = plan(&*plugin, json!({})).await.unwrap();
    assert_eq!(proposal.summary, r#"{"way":"none"}"#);
    for wrong in [json!({ "way": 1 }), json!({ "unknown": "x" })] {
        let error = plan(&*plugin, wrong).await.unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter);
    }
}

#[tokio::test]
async fn a_typed_refusal_keeps_its_meaning() {
    let plugin = hostile().await;
    let finding = diagnose(&*plugin, "fine").await.unwrap();
    let reads = Arc::new(NothingThere::default());
    let error = plugin
        .verify(&cluster(), &finding, &[], reads)
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::NothingToDo);
    assert!(OBSERVED_AT.starts_with("2026"));
}

#[tokio::test]
async fn much_output_is_dropped_and_the_call_goes_on() {
    let plugin = hostile().await;
    assert_eq!(diagnose(&*plugin, "log").await.unwrap().summary, "logged");
}
