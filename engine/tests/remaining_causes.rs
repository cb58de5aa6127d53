//! What a silent tunnel means after a fix, when other causes were confirmed too.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use naosu_engine::{
    Engine, Error,
    model::{
        ClusterId, Digest, Finding, Flow, Judgement,
        Judgement::{Confirmed, RuledOut, Suspected, Unknown},
        PluginInfo, Query, Run, RunState, Symptom,
    },
    plugin::{Plugin, Proposal, ProposedStep, Reads, Verdict},
};
use support::{
    applied, approved, config, open,
    plugin::AllowPort,
    world::{Kubelet, World, nsg},
};

/// Another cause, by what is judged of it while the group lacks its rule, and once
/// it has it.
struct Other {
    info: PluginInfo,
    before: Judgement,
    after: Judgement,
    names_packets: bool,
}

impl Other {
    fn new(before: Judgement, after: Judgement) -> Self {
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
            before,
            after,
            names_packets: false,
        }
    }

    /// That names the packets it keeps out.
    fn naming_packets(self) -> Self {
        Self {
            names_packets: true,
            ..self
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
            judgement: if is_mended { self.after } else { self.before },
            summary: String::new(),
            evidence: vec![],
            required_flows: if self.names_packets {
                vec![Flow {
                    protocol: "Tcp".into(),
                    source_prefixes: vec!["10.0.0.4/32".into()],
                    destination_prefixes: vec!["10.0.0.5/32".into()],
                    destination_ports: vec!["10250".into()],
                }]
            } else {
                vec![]
            },
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
    let world = World::denying(&["a"]);
    world.force_reach(false);
    mended_in(world, other).await
}

/// Mends one cause in this world.
async fn mended_in(world: World, other: Other) -> Run {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(world);
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
    for other in [
        Other::new(Confirmed, Confirmed),
        Other::new(Confirmed, Unknown),
        Other::new(Confirmed, Suspected).naming_packets(),
        Other::new(Suspected, Suspected).naming_packets(),
        Other::new(Suspected, Unknown).naming_packets(),
    ] {
        let run = mended_beside(other).await;
        assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
        assert!(
            run.summary.contains("other-cause remains"),
            "{}",
            run.summary
        );
    }
}

#[tokio::test]
async fn a_cause_that_is_still_there_is_named_as_well_where_the_tunnel_shows_the_fix() {
    for (kubelet, told) in [
        (Some(Kubelet::Unready), "What remains is silent for another"),
        (None, "The tunnel answers on 2 of 2"),
    ] {
        let world = World::denying(&["a"]);
        if let Some(kubelet) = kubelet {
            world.kubelet("node-1", kubelet);
        }
        let run = mended_in(world, Other::new(Confirmed, Confirmed)).await;
        assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
        assert!(run.summary.contains(told), "{}", run.summary);
        // A tunnel that carries has no need of an explanation.
        let is_named = run.summary.contains("other-cause remains");
        assert_eq!(is_named, kubelet.is_some(), "{}", run.summary);
    }
}

#[tokio::test]
async fn a_cause_that_went_away_with_the_mended_one_explains_nothing() {
    for other in [
        Other::new(Confirmed, RuledOut),
        Other::new(Suspected, RuledOut).naming_packets(),
        // What only the silence speaks for is no explanation of it.
        Other::new(Suspected, Suspected),
        Other::new(Confirmed, Suspected),
    ] {
        let run = mended_beside(other).await;
        assert_eq!(run.state, RunState::RolledBack, "{run:#?}");
    }
}
