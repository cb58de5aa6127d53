//! Commands on nodes, as Azure saw them: one at a time on each node, and on all nodes at once.

use std::{collections::BTreeSet, time::Duration};

use naosu_lab::{
    Lab, LabOptions, NodeName,
    arm::RunCommandEvent::{self, Ended, Refused, Started},
    builtin_scenario,
};
use naosu_tests::{mending::diagnose, product::Naosu};

/// A hang is a failure; nothing here is decided by time.
const LIMIT: Duration = Duration::from_secs(110);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_on_all_nodes_at_once_and_one_at_a_time_on_each() {
    // Nodes that do not answer are tried from the agent's node, whose rules are read besides.
    let mut scenario = builtin_scenario("nsg-deny-10250").unwrap();
    scenario.switches.run_command_milliseconds = 500;
    let lab = Lab::start(scenario, LabOptions::default()).await.unwrap();
    if let Some(reason) = lab.simulated_because() {
        println!("skipped: no real packets, {reason}");
        return;
    }
    let nodes: BTreeSet<NodeName> = lab
        .scenario()
        .estate
        .nodes()
        .into_iter()
        .map(|node| node.name)
        .collect();
    let naosu = Naosu::at(&lab).unwrap();
    // While none is let end, each node begins one all the same: nobody waits for another node.
    // They are held until the tunnel has not answered, which asks for more of the agent's node.
    lab.arm().hold_run_commands(true);
    let all_begin = async {
        let begun = lab
            .arm()
            .wait_for_run_commands(|events| started(events) == nodes);
        let begun = tokio::time::timeout(LIMIT, begun).await;
        let silent = lab.kube().requests().wait_for(LIMIT, |request| {
            request.path.ends_with("/proxy/healthz") && request.status == Some(503)
        });
        let silent = silent.await;
        let events = lab.arm().run_command_events();
        lab.arm().hold_run_commands(false);
        assert!(begun.is_ok(), "nodes wait for each other: {events:?}");
        assert!(silent, "the tunnel answers");
        assert_eq!(events.len(), nodes.len(), "two at once: {events:?}");
    };
    let (diagnosis, ()) = tokio::join!(diagnose(&naosu, &lab), all_begin);
    diagnosis.unwrap();
    let events = lab.arm().run_command_events();
    assert_one_at_a_time(&events);
    let several = |node: &&NodeName| {
        let of_node = events
            .iter()
            .filter(|event| **event == Started((*node).clone()));
        of_node.count() > 1
    };
    assert!(
        nodes.iter().any(|node| several(&node)),
        "{events:?} shows nothing"
    );
}

fn started(events: &[RunCommandEvent]) -> BTreeSet<NodeName> {
    let started = events.iter().filter_map(|event| match event {
        Started(node) => Some(node.clone()),
        Ended(_) | Refused(_) => None,
    });
    started.collect()
}

fn assert_one_at_a_time(events: &[RunCommandEvent]) {
    let mut running = BTreeSet::new();
    for event in events {
        let in_order = match event {
            Started(node) => running.insert(node),
            Ended(node) => running.remove(node),
            Refused(_) => false,
        };
        assert!(in_order, "{event:?} in {events:?}");
    }
}
