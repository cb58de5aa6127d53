//! Every scenario is what it says: real packets show the fault it describes, and no other.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use naosu_lab::data_plane::NodeName;
use naosu_lab::estate::TunnelType;
use naosu_lab::lifecycle::{DataPlaneChoice, Lab, LabOptions};
use naosu_lab::planes::{Probe, ProbeResult};
use naosu_lab::scenario::Scenario;
use naosu_lab::{builtin_scenario, builtin_scenario_names};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Labs at once: enough to wait for several time limits together.
const PARALLEL_LABS: usize = 4;

#[tokio::test]
async fn packets_show_the_fault_every_scenario_describes() {
    if !real_packets_are_possible() {
        return;
    }
    let permits = Arc::new(Semaphore::new(PARALLEL_LABS));
    let mut checks = JoinSet::new();
    for name in builtin_scenario_names() {
        let scenario = builtin_scenario(name).expect("it is valid");
        let permits = Arc::clone(&permits);
        checks.spawn(async move {
            let _permit = permits.acquire().await.expect("never closed");
            let base = tempfile::tempdir().expect("a directory");
            differences(&scenario, base.path())
                .await
                .map(|differences| format!("{}: {differences}", scenario.name))
        });
    }
    let mut wrong = Vec::new();
    while let Some(check) = checks.join_next().await {
        wrong.extend(check.expect("no check panics"));
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn differences(scenario: &Scenario, base: &Path) -> Option<String> {
    let mut options = LabOptions {
        base_directory: base.to_owned(),
        data_plane: DataPlaneChoice::Real,
        ..LabOptions::default()
    };
    options.data_plane_options.dial_limit = Duration::from_millis(400);
    let lab = match Lab::start(scenario.clone(), options).await {
        Ok(lab) => lab,
        Err(error) => return Some(error.to_string()),
    };
    let plane = &lab;
    let nodes = scenario.estate.nodes();
    if scenario.expect.tunnel_down {
        // Time in which an agent that can connect would have: nothing tells that none will.
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    // Who dials nodes: connected agents, or an API server in the network.
    let agents = lab.data_plane().agents().await.into_iter();
    let mut dialers: Vec<Probe> = agents
        .filter(|agent| agent.connected)
        .map(|agent| Probe::FromNode(agent.node))
        .collect();
    if scenario.estate.cluster.tunnel == TunnelType::VnetIntegration {
        dialers.push(Probe::FromControlPlane);
    }
    let mut unreachable = BTreeSet::new();
    let mut unreachable_from_themselves = BTreeSet::new();
    for node in &nodes {
        let kubelet = SocketAddr::from((node.address, 10250));
        if !reaches(plane, &Probe::FromNode(node.name.clone()), kubelet).await {
            unreachable_from_themselves.insert(node.name.clone());
        }
        let mut always = !dialers.is_empty();
        for dialer in &dialers {
            let stale = nodes
                .iter()
                .any(|n| *dialer == Probe::FromNode(n.name.clone()) && n.settings.agent_stale);
            always &= !stale && reaches(plane, dialer, kubelet).await;
        }
        if !always {
            unreachable.insert(node.name.clone());
        }
    }
    let expect = &scenario.expect;
    let listed = |nodes: &[NodeName]| nodes.iter().cloned().collect::<BTreeSet<_>>();
    let mut differences = Vec::new();
    if dialers.is_empty() != expect.tunnel_down {
        differences.push(format!("nodes are dialled by {dialers:?}"));
    }
    if unreachable != listed(&expect.unreachable_nodes) {
        differences.push(format!("unreachable are {unreachable:?}"));
    }
    if unreachable_from_themselves != listed(&expect.unreachable_from_themselves) {
        let found = unreachable_from_themselves;
        differences.push(format!("unreachable from themselves are {found:?}"));
    }
    if let (Some(symptom), Some(node)) = (&expect.symptom, unreachable.first()) {
        let address = nodes.iter().find(|n| &n.name == node)?.address;
        let error = failing_dial(plane, SocketAddr::from((address, 10250))).await;
        if error.as_ref() != Some(symptom) {
            differences.push(format!("the symptom is {error:?}"));
        }
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}

async fn reaches(plane: &Lab, from: &Probe, to: SocketAddr) -> bool {
    let result = plane.probe(from, to).await;
    result.expect("the probe can be made") == ProbeResult::Connected
}

/// What the tunnel says when it fails; with several agents it may take some dials to meet the one
/// that does.
async fn failing_dial(plane: &Lab, to: SocketAddr) -> Option<String> {
    const DIALS: usize = 40;
    for _ in 0..DIALS {
        if let Err(error) = plane
            .data_plane()
            .dial_through_tunnel(to.ip(), to.port())
            .await
        {
            return Some(error.to_string());
        }
    }
    None
}
