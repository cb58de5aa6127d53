//! The text of a symptom orders what is found, and the probes have the last word.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use jiff::Timestamp;
use naosu_engine::{
    Engine, Error, Naosu,
    facade::{DiagnoseProgress, DiagnoseRequest},
    model::{
        Bearing, ClusterId, Diagnosis, Digest, Evidence, Finding, HintKind, Judgement, PluginInfo,
        Query, Symptom,
    },
    plugin::{Plugin, Proposal, ProposedStep, Reads, Verdict},
};
use support::{alice, cluster, config, open, world::World};

/// Judges its cause as it is told to, and shows as evidence what it was told of
/// nodes, then one piece for each node.
struct Judges {
    info: PluginInfo,
    judgement: Judgement,
}

fn judges(id: &str, cause: &str, judgement: Judgement) -> Arc<dyn Plugin> {
    Arc::new(Judges {
        info: PluginInfo {
            id: id.into(),
            version: "1".into(),
            digest: Digest::of_bytes(id.as_bytes()),
            contract: "naosu:plugin@0.1.0".into(),
            cause: cause.into(),
            summary: String::new(),
            fix: String::new(),
            parameters: vec![],
            capabilities: vec![],
            effects: vec![],
            imports: vec![],
            source: "test".into(),
        },
        judgement,
    })
}

fn evidence(resource: &str, value: &str) -> Evidence {
    Evidence {
        resource: resource.into(),
        field: "f".into(),
        value: value.into(),
        observed_at: Timestamp::UNIX_EPOCH,
        meaning: "m".into(),
    }
}

#[async_trait]
impl Plugin for Judges {
    fn info(&self) -> &PluginInfo {
        &self.info
    }

    async fn diagnose(
        &self,
        _: &ClusterId,
        symptom: &Symptom,
        reads: Arc<dyn Reads>,
    ) -> Result<Finding, Error> {
        for node in ["node-0", "node-1"] {
            reads.read(&Query::TunnelProbe { node: node.into() }).await;
        }
        Ok(Finding {
            plugin: String::new(),
            cause: self.info.cause.clone(),
            judgement: self.judgement,
            summary: String::new(),
            evidence: vec![
                evidence("told", &symptom.nodes.join(" ")),
                evidence("node/node-0", ""),
                evidence("node/node-1", ""),
            ],
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
        unreachable!("nothing is planned here")
    }

    async fn verify(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &[ProposedStep],
        _: Arc<dyn Reads>,
    ) -> Result<Verdict, Error> {
        unreachable!("nothing is applied here")
    }
}

async fn diagnosis(reach: bool, symptom: Symptom) -> Diagnosis {
    use Judgement::{Confirmed, RuledOut};
    let place = tempfile::tempdir().unwrap();
    let world = Arc::new(World::denying(&[]));
    world.force_reach(reach);
    let plugins = vec![
        judges("a", "nsg-blocks-tunnel", Confirmed),
        judges("b", "somebody-elses-cause", Confirmed),
        judges("c", "tunnel-agents-stale", Confirmed),
        judges("d", "konnectivity-underscaled", RuledOut),
    ];
    let engine = Engine::start(
        config(),
        open(place.path()),
        plugins,
        Arc::clone(&world) as _,
        Arc::clone(&world) as _,
    )
    .await
    .unwrap();
    let request = DiagnoseRequest {
        cluster: cluster(),
        symptom,
        plugins: Vec::new(),
    };
    let mut items = engine.diagnose(&alice(), request).await.unwrap();
    while let Some(item) = items.next().await {
        if let DiagnoseProgress::Finished { diagnosis } = item.unwrap() {
            assert_eq!(engine.diagnosis(&diagnosis.id).await.unwrap(), *diagnosis);
            return *diagnosis;
        }
    }
    panic!("the stream ended without a diagnosis");
}

fn text(text: &str) -> Symptom {
    Symptom {
        text: text.into(),
        nodes: Vec::new(),
    }
}

fn order(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis
        .findings
        .iter()
        .map(|f| f.plugin.as_str())
        .collect()
}

#[tokio::test]
async fn among_equal_findings_the_text_comes_first_and_no_finding_is_lost_or_raised() {
    let none = diagnosis(false, Symptom::default()).await;
    assert_eq!(
        (order(&none).as_slice(), &none.hint),
        (["a", "b", "c", "d"].as_slice(), &None)
    );
    let no_agent = diagnosis(false, text("No agent available")).await;
    assert_eq!(order(&no_agent), ["c", "a", "b", "d"]);
    let timeout = diagnosis(false, text("dial tcp 10.224.0.5:10250: i/o timeout")).await;
    assert_eq!(order(&timeout), ["a", "c", "b", "d"]);
    let hint = timeout.hint.unwrap();
    assert_eq!(
        (hint.kind, hint.bearing),
        (HintKind::DialTimeout, Bearing::Tunnel)
    );
    assert!(
        hint.probe.starts_with("The probe agrees: 2 of 2"),
        "{}",
        hint.probe
    );
    assert_eq!(timeout.tunnel.unwrap().asked, 2);
}

#[tokio::test]
async fn an_address_becomes_the_nodes_name_for_plugins_and_evidence_about_it_leads() {
    let mut symptom = text("dial tcp 10.224.0.5:10250: i/o timeout");
    symptom.nodes = vec!["node-9".into()];
    let diagnosis = diagnosis(false, symptom.clone()).await;
    assert_eq!(diagnosis.symptom, symptom, "kept as given");
    let hint = diagnosis.hint.as_ref().unwrap();
    assert_eq!(
        (&hint.nodes, &hint.unknown_nodes),
        (&vec!["node-1".into()], &vec!["node-9".into()])
    );
    let leads = &diagnosis.findings[0].evidence;
    let resources: Vec<&str> = leads.iter().map(|e| e.resource.as_str()).collect();
    assert_eq!(resources, ["node/node-1", "told", "node/node-0"]);
    assert_eq!(leads[1].value, "node-1 node-9");
}

#[tokio::test]
async fn a_text_of_the_tunnel_is_contradicted_by_a_tunnel_that_carries() {
    let diagnosis = diagnosis(true, text("error dialing backend: EOF")).await;
    let hint = diagnosis.hint.unwrap();
    assert_eq!(hint.bearing, Bearing::Tunnel);
    assert!(
        hint.probe.contains("all 2 nodes asked were reached"),
        "{}",
        hint.probe
    );
}
