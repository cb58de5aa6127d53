//! Several faults at once: each fix is applied as a diagnosis finds it, the next
//! diagnosis finds what is left, and in the end the tunnel answers on every node.
//! Then everything is taken back, the last first.

use std::collections::BTreeSet;

use naosu_lab::{Lab, LabOptions, builtin_scenario};
use naosu_tests::{
    mending::{approve_fully, connect_anew, diagnose, judgements, text},
    product::Naosu,
    tunnel_truth::unreachable_nodes,
};
use serde_json::Value;

/// What was applied: the plugin and its run.
type Applied = Vec<(String, String)>;

/// The first confirmed finding, in the product's own order, that a plan is made of.
async fn first_plan(naosu: &Naosu, diagnosis: &Value) -> Option<(String, Value)> {
    let id = text(&diagnosis["id"]);
    for finding in diagnosis["findings"].as_array()? {
        if finding["judgement"] != "confirmed" {
            continue;
        }
        let plugin = text(&finding["plugin"]);
        let create = ["plan", "create", &id, "--plugin", &plugin];
        if let Ok(plan) = naosu.json(&create).await {
            return Some((plugin, plan));
        }
    }
    None
}

async fn mend_in_turn(name: &str, faults: usize) {
    let lab = Lab::start(builtin_scenario(name).unwrap(), LabOptions::default());
    let lab = lab.await.unwrap();
    if let Some(reason) = lab.simulated_because() {
        println!("skipped: no real packets, {reason}");
        return;
    }
    let naosu = Naosu::at(&lab).unwrap();
    let before = unreachable_nodes(&lab).await;
    let mut applied = Applied::new();
    while !unreachable_nodes(&lab).await.is_empty() {
        let diagnosis = diagnose(&naosu, &lab).await.unwrap();
        let judged = judgements(&diagnosis);
        for (plugin, run) in &applied {
            assert_eq!(judged[plugin], "ruled_out", "{name}: {plugin} after {run}");
        }
        let (plugin, plan) = first_plan(&naosu, &diagnosis)
            .await
            .unwrap_or_else(|| panic!("{name}: after {applied:?} nothing is found: {judged:?}"));
        let (id, digest) = (text(&plan["id"]), text(&plan["digest"]));
        approve_fully(&naosu, &id, &digest, plan).await.unwrap();
        let run = naosu.json(&["apply", &id]).await.unwrap();
        assert_eq!(run["state"], "SUCCEEDED", "{name}: {plugin}: {run:#}");
        applied.push((plugin, text(&run["id"])));
        assert!(applied.len() <= faults, "{name}: {applied:?} and no end");
    }
    assert_eq!(applied.len(), faults, "{name}: {applied:?}");

    let mut all_taken_back = true;
    for (plugin, run) in applied.iter().rev() {
        let (code, finished) = naosu.failure(&["run", "rollback", run]).await.unwrap();
        if code == "run_not_reversible" {
            all_taken_back = false;
            continue;
        }
        let state = finished.json().unwrap()["state"].take();
        assert_eq!(state, "ROLLED_BACK", "{name}: {plugin}: {finished}");
    }
    if lab.scenario().expect.tunnel_down {
        connect_anew(&lab).await.unwrap();
    }
    let at_end = unreachable_nodes(&lab).await;
    if all_taken_back {
        assert_eq!(at_end, before, "{name}: not as it was before");
    } else {
        assert_ne!(at_end, BTreeSet::new(), "{name}: not all was taken back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nsg_and_then_a_node_s_iptables() {
    mend_in_turn("nsg-and-iptables", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_s_ufw_and_another_s_iptables() {
    mend_in_turn("ufw-and-iptables", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_out_and_then_a_node_s_iptables() {
    mend_in_turn("egress-firewall-and-iptables", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_ports_and_then_an_nsg() {
    mend_in_turn("snat-exhausted-and-nsg", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_agent_and_then_a_node_s_iptables() {
    mend_in_turn("agent-stale-and-iptables", 2).await;
}
