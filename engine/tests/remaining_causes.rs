//! What a silent tunnel means after a fix, when other causes were confirmed too.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use naosu_engine::{
    Engine, Error,
    model::{ClusterId, Digest, Finding, Judgement, PluginInfo, Query, Run, RunState, Symptom},
    plugin::{Plugin, Proposal, ProposedStep, Reads, Verdict},
};
use support::{
    applied, approved, config, open,
    plugin::AllowPort,
    world::{World, nsg},
};

/// Another cause: confirmed always, or for as long as the group lacks its rule.
struct Other {
    info: PluginInfo,
    is_same_fault: bool,
}

impl Other {
    fn new(is_same_fault: bool) -> Self {
        Self {
            info: PluginInfo {
                id: "other".into(),
                version: "1".into(),
                digest: Digest::of_bytes(b"other"),
                contract: "naosu:plugin@0.1.0".into(),
                cause: "other-cause".into(),
                summary: String::new(),
                fix: String::new(),
                parameters: vec![],
                capabilities: vec![],
                effects: vec![],
                imports: vec![],
                source: "test".into(),
            },
            is_same_fault,
        }
    }
}

#[async_trait]
impl Plugin for Other {
    fn info(&self) -> &PluginInfo {
        &self.info
    }

    async fn diagnose(
        &self,
        _: &ClusterId,
        _: &Symptom,
        reads: Arc<dyn Reads>,
    ) -> Result<Finding, Error> {
        let resource = nsg("a");
        let group = reads.read(&Query::AzureGet { resource }).await;
        let is_mended = group
            .answer
            .as_ref()
            .is_ok_and(|body| body.contains("allow-10250"));
        Ok(Finding {
            plugin: self.info.id.clone(),
            cause: self.info.cause.clone(),
            judgement: if self.is_same_fault && is_mended {
                Judgement::RuledOut
            } else {
                Judgement::Confirmed
            },
            summary: String::new(),
            evidence: vec![],
            required_flows: vec![],
            infeasible: None,
            subject: serde_json::Value::Null,
        })
    }

    async fn plan(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &serde_json::Map<String, serde_json::Value>,
        _: Arc<dyn Reads>,
    ) -> Result<Proposal, Error> {
        panic!("it has no fix")
    }

    async fn verify(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &[ProposedStep],
        _: Arc<dyn Reads>,
    ) -> Result<Verdict, Error> {
        panic!("it has no fix")
    }
}

/// Mends one cause while the tunnel stays silent.
async fn mended_beside(other: Other) -> Run {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&["a"]));
    world.force_reach(false);
    let engine = Engine::start(
        config(),
        open(place.path()),
        vec![Arc::new(AllowPort::new(&["a"])), Arc::new(other)],
        Arc::clone(&world) as _,
        Arc::clone(&world) as _,
    )
    .await
    .unwrap();
    let plan = approved(&engine).await.unwrap();
    applied(&engine, &plan.id).await
}

#[tokio::test]
async fn a_cause_that_is_still_there_explains_the_silence_and_is_named() {
    let run = mended_beside(Other::new(false)).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    assert!(
        run.summary.contains("other-cause remains"),
        "{}",
        run.summary
    );
}

#[tokio::test]
async fn a_cause_that_went_away_with_the_mended_one_explains_nothing() {
    let run = mended_beside(Other::new(true)).await;
    assert_eq!(run.state, RunState::RolledBack, "{run:#?}");
}
