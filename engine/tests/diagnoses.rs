//! What a diagnosis tells of every cause, and what it asks by itself.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use naosu_engine::{
    Code, Engine, Error,
    model::{
        ClusterId, Diagnosis, Digest, Finding, Judgement, PluginInfo, Query, Symptom, TunnelAnswer,
    },
    plugin::{Plugin, Proposal, ProposedStep, Reads, Verdict},
};
use support::{
    config, diagnose_for, open,
    plugin::AllowPort,
    world::{Kubelet, World},
};

/// A plugin that meets a limit.
struct Overrun(PluginInfo);

impl Overrun {
    fn new() -> Self {
        Self(PluginInfo {
            id: "overrun".into(),
            version: "1".into(),
            digest: Digest::of_bytes(b"overrun"),
            contract: "naosu:plugin@0.1.0".into(),
            cause: "another-cause".into(),
            summary: String::new(),
            fix: String::new(),
            parameters: vec![],
            capabilities: vec![],
            effects: vec![],
            imports: vec![],
            source: "test".into(),
        })
    }
}

#[async_trait]
impl Plugin for Overrun {
    fn info(&self) -> &PluginInfo {
        &self.0
    }

    async fn diagnose(
        &self,
        _: &ClusterId,
        _: &Symptom,
        _: Arc<dyn Reads>,
    ) -> Result<Finding, Error> {
        let message = "overrun took longer than 5 ms";
        Err(Error::new(Code::PluginLimitExceeded, message, "wait"))
    }

    async fn plan(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &serde_json::Map<String, serde_json::Value>,
        _: Arc<dyn Reads>,
    ) -> Result<Proposal, Error> {
        panic!("there is no finding to plan for")
    }

    async fn verify(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &[ProposedStep],
        _: Arc<dyn Reads>,
    ) -> Result<Verdict, Error> {
        panic!("there is nothing to verify")
    }
}

async fn diagnosis(world: World, symptom: Symptom) -> Diagnosis {
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(world);
    let engine = Engine::start(
        config(),
        open(place.path()),
        vec![Arc::new(AllowPort::new(&["a"])), Arc::new(Overrun::new())],
        Arc::clone(&world) as _,
        Arc::clone(&world) as _,
    )
    .await
    .unwrap();
    diagnose_for(&engine, symptom).await.unwrap()
}

#[tokio::test]
async fn a_cause_whose_plugin_failed_is_unknown_and_says_by_which_code() {
    let diagnosis = diagnosis(World::denying(&["a"]), Symptom::default()).await;
    let causes: Vec<(&str, Judgement)> = diagnosis
        .findings
        .iter()
        .map(|finding| (finding.cause.as_str(), finding.judgement))
        .collect();
    assert_eq!(
        causes,
        [
            ("nsg-blocks-tunnel", Judgement::Confirmed),
            ("another-cause", Judgement::Unknown)
        ]
    );
    let unknown = &diagnosis.findings[1];
    assert_eq!(unknown.evidence[0].value, "plugin_limit_exceeded");
    assert!(unknown.summary.contains("took longer than 5 ms"));
    assert_eq!(diagnosis.failures[0].plugin, "overrun");
}

#[tokio::test]
async fn a_diagnosis_asks_kubelets_logs_and_the_way_to_silent_nodes_whatever_plugins_ask() {
    let world = World::denying(&[]);
    world.kubelet("node-1", Kubelet::Stopped);
    let diagnosis = diagnosis(world, Symptom::default()).await;
    let tunnel = diagnosis.tunnel.unwrap();
    assert_eq!((tunnel.asked, tunnel.reached), (2, 1));
    assert_eq!(tunnel.others[0].answer, TunnelAnswer::Silent);
    assert_eq!(tunnel.logs.unwrap().reached, 1);
    let from_agents = tunnel.from_agents.unwrap();
    assert_eq!((from_agents.tried, from_agents.reached), (1, 0));
    assert_eq!(from_agents.others[0].node, "node-1");
    let tried = |query: &Query| matches!(query, Query::TcpProbes { from_node, .. } if from_node == "node-0");
    assert!(diagnosis.observations.iter().any(|seen| tried(&seen.query)));
}

#[tokio::test]
async fn no_node_is_commanded_where_all_answer_and_none_is_named() {
    let well = diagnosis(World::denying(&[]), Symptom::default()).await;
    assert_eq!(well.tunnel.unwrap().from_agents, None);
    let symptom = Symptom {
        text: "dial tcp 10.224.0.5:10250: i/o timeout".into(),
        nodes: vec![],
    };
    let named = diagnosis(World::denying(&[]), symptom).await;
    assert_eq!(named.tunnel.unwrap().from_agents.unwrap().reached, 1);
}
