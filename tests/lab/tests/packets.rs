//! What the fabric and the nodes' own firewalls really let pass.

mod common;

use std::time::Duration;

use common::*;
use naosu_lab::arm::resources_of as arm_resources;
use naosu_lab::data_plane::{DataPlane, TunnelError};
use naosu_lab::planes::NamespacedDataPlane;
use naosu_lab::planes::ProbeResult::{Connected, Refused, TimedOut};
use naosu_lab::scenario::Scenario;

const DENY_KUBELET: &str = "
[[estate.network.subnets]]
name = 'aks-subnet'
address_prefix = '10.224.0.0/16'
network_security_group = 'nsg'
[[estate.network_security_groups]]
name = 'nsg'
[[estate.network_security_groups.rules]]
name = 'deny-kubelet'
priority = 200
direction = 'Inbound'
access = 'Deny'
protocol = 'Tcp'
destination_ports = ['10250']
";

#[tokio::test]
async fn an_estate_without_rules_passes_everything() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario("")).await;
    for to in 0..3 {
        assert_eq!(
            probe(&plane, 0, kubelet(to)).await,
            Connected,
            "to node {to}"
        );
    }
    let closed = (kubelet(1).ip(), 10251).into();
    assert_eq!(probe(&plane, 0, closed).await, Refused);
}

#[tokio::test]
async fn before_anything_is_enforced_nothing_passes() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start(&scenario("")).await;
    assert_eq!(probe(&plane, 0, kubelet(1)).await, TimedOut);
    assert_eq!(probe(&plane, 0, kubelet(0)).await, Connected);
}

#[tokio::test]
async fn a_denying_rule_stops_packets_of_the_same_subnet_but_not_a_nodes_own() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario(DENY_KUBELET)).await;
    assert_eq!(probe(&plane, 0, kubelet(0)).await, Connected);
    assert_eq!(probe(&plane, 0, kubelet(1)).await, TimedOut);
    let other_port = (kubelet(1).ip(), 10251).into();
    assert_eq!(probe(&plane, 0, other_port).await, Refused);
}

#[tokio::test]
async fn a_new_rule_takes_effect_and_its_removal_too() {
    if !real_packets_are_possible() {
        return;
    }
    let faulty = scenario(DENY_KUBELET);
    let mended = scenario(&format!(
        "{DENY_KUBELET}
[[estate.network_security_groups.rules]]
name = 'allow-kubelet'
priority = 199
direction = 'Inbound'
access = 'Allow'
protocol = 'Tcp'
source = ['10.224.0.0/16']
destination_ports = ['10250']
"
    ));
    let plane = start_enforcing(&faulty).await;
    assert_eq!(probe(&plane, 2, kubelet(1)).await, TimedOut);
    let with_rule = resources(&mended.estate);
    plane.enforce(&with_rule).await.expect("it compiles");
    assert_eq!(probe(&plane, 2, kubelet(1)).await, Connected);
    let without = resources(&faulty.estate);
    plane.enforce(&without).await.expect("it compiles");
    assert_eq!(probe(&plane, 2, kubelet(1)).await, TimedOut);
}

#[tokio::test]
async fn resources_that_mean_nothing_leave_the_rules_in_force() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario(DENY_KUBELET)).await;
    let hostile = scenario(&DENY_KUBELET.replace(
        "protocol = 'Tcp'",
        "protocol = 'Tcp'\nsource = ['10.0.0.0/8; flush ruleset']",
    ));
    let refused = plane.enforce(&resources(&hostile.estate)).await;
    let refused = refused.expect_err("that is no prefix").to_string();
    assert!(refused.starts_with("resources_invalid: "), "{refused}");
    assert_eq!(probe(&plane, 0, kubelet(1)).await, TimedOut);
}

#[tokio::test]
async fn ufw_and_iptables_of_one_node_leave_the_others_and_the_host_alone() {
    if !real_packets_are_possible() {
        return;
    }
    let host_before = std::fs::read("/etc/ufw/user.rules").ok();
    let plane = start_enforcing(&scenario(
        "[[estate.nodes]]
name = 'aks-nodepool1-28341567-vmss000001'
ufw = ['deny 10250/tcp', '--force enable']
[[estate.nodes]]
name = 'aks-nodepool1-28341567-vmss000002'
iptables_legacy_restore = '''
*filter
-A INPUT -p tcp -m tcp --dport 10250 -j REJECT --reject-with tcp-reset
COMMIT'''
",
    ))
    .await;
    assert_eq!(probe(&plane, 2, kubelet(0)).await, Connected);
    assert_eq!(probe(&plane, 0, kubelet(1)).await, TimedOut);
    assert_eq!(probe(&plane, 0, kubelet(2)).await, Refused);
    let status = plane.run_on_node(&node(1), "LC_ALL=C ufw status").await;
    let status = String::from_utf8(status.expect("it runs").stdout).expect("text");
    assert!(status.contains("10250/tcp"), "{status}");
    let elsewhere = plane.run_on_node(&node(0), "LC_ALL=C ufw status").await;
    let elsewhere = String::from_utf8(elsewhere.expect("it runs").stdout).expect("text");
    assert_eq!(elsewhere.trim(), "Status: inactive");
    assert_eq!(std::fs::read("/etc/ufw/user.rules").ok(), host_before);
}

#[tokio::test]
async fn a_node_without_ufw_says_that_the_command_is_not_found() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario("[switches]\nufw_absent = true\n")).await;
    let script = "hostname; iptables -S INPUT; ufw status";
    let output = plane.run_on_node(&node(1), script).await.expect("it runs");
    assert_eq!(output.exit_code, 127);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        stdout.starts_with("aks-nodepool1-28341567-vmss000001\n"),
        "{stdout}"
    );
    assert!(stdout.contains("-A INPUT -j KUBE-FIREWALL"), "{stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("ufw: not found"), "{stderr}");
}

#[tokio::test]
async fn a_script_cannot_write_to_the_host_and_cannot_run_for_ever() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario("")).await;
    let script = "touch /etc/naosu-lab-was-here; sleep 1000 & echo started";
    let output = plane.run_on_node(&node(0), script).await.expect("it runs");
    assert_eq!(output.stdout, b"started\n");
    assert!(!std::path::Path::new("/etc/naosu-lab-was-here").exists());
}

#[tokio::test]
async fn the_tunnel_reaches_only_the_agents_node_when_the_kubelet_port_is_denied() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario(DENY_KUBELET)).await;
    let nobody = plane.dial_through_tunnel(kubelet(0).ip(), 10250).await;
    assert_eq!(nobody.err(), Some(TunnelError::NoAgent));
    plane.start_agent(&node(0)).await.expect("it starts");
    assert!(plane.wait_for_agent(&node(0), Duration::from_secs(5)).await);
    assert!(
        plane
            .dial_through_tunnel(kubelet(0).ip(), 10250)
            .await
            .is_ok()
    );
    let far = plane.dial_through_tunnel(kubelet(1).ip(), 10250).await;
    assert_eq!(
        far.err().map(|error| error.to_string()).as_deref(),
        Some("dial tcp 10.224.0.5:10250: i/o timeout")
    );
    plane.stop_agent(&node(0)).await.expect("it stops");
    let gone = plane.dial_through_tunnel(kubelet(0).ip(), 10250).await;
    assert_eq!(gone.err(), Some(TunnelError::NoAgent));
}

#[tokio::test]
async fn a_closed_way_out_keeps_agents_from_connecting_until_it_opens() {
    if !real_packets_are_possible() {
        return;
    }
    let closed = scenario(
        &DENY_KUBELET
            .replace("Inbound", "Outbound")
            .replace("10250", "443"),
    );
    let plane = start_enforcing(&closed).await;
    plane.start_agent(&node(0)).await.expect("it starts");
    assert!(!plane.wait_for_agent(&node(0), Duration::from_secs(1)).await);
    let open = resources(&scenario("").estate);
    plane.enforce(&open).await.expect("it compiles");
    assert!(
        plane
            .wait_for_agent(&node(0), Duration::from_secs(10))
            .await
    );
}

#[tokio::test]
async fn a_flow_that_was_established_survives_a_rule_that_denies_new_ones() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_enforcing(&scenario("")).await;
    plane.start_agent(&node(0)).await.expect("it starts");
    assert!(plane.wait_for_agent(&node(0), Duration::from_secs(5)).await);
    let deny = resources(
        &scenario(
            &DENY_KUBELET
                .replace("'10250'", "'443', '10250'")
                .replace("Inbound", "Outbound"),
        )
        .estate,
    );
    plane.enforce(&deny).await.expect("it compiles");
    assert!(
        plane
            .dial_through_tunnel(kubelet(0).ip(), 10250)
            .await
            .is_ok()
    );
}

/// Starts a data plane that enforces its estate as AKS makes it, with its load balancer.
async fn start_as_in_arm(scenario: &Scenario) -> NamespacedDataPlane {
    let plane = start(scenario).await;
    let enforced = plane.enforce(&arm_resources(&scenario.estate)).await;
    enforced.expect("the estate's resources compile");
    plane
}

#[tokio::test]
async fn a_node_that_loses_ports_loses_the_connections_on_them_and_keeps_the_others() {
    if !real_packets_are_possible() {
        return;
    }
    let allocated = |ports: u32| {
        scenario(&format!(
            "[estate.cluster]\nallocated_outbound_ports = {ports}\n[[estate.workloads]]\n\
             name = 'holder'\nnode = 'aks-nodepool1-28341567-vmss000000'\nconnections = 64\n"
        ))
    };
    let plane = start_as_in_arm(&allocated(64)).await;
    plane.start_workloads().await.expect("they start");
    plane.start_agent(&node(0)).await.expect("it starts");
    assert!(
        !plane.wait_for_agent(&node(0), Duration::from_secs(1)).await,
        "the workload holds every port"
    );
    plane
        .enforce(&arm_resources(&allocated(128).estate))
        .await
        .expect("it compiles");
    assert!(
        plane
            .wait_for_agent(&node(0), Duration::from_secs(10))
            .await
    );
    plane
        .enforce(&arm_resources(&allocated(64).estate))
        .await
        .expect("it compiles");
    let cut = plane.dial_through_tunnel(kubelet(0).ip(), 10250).await;
    assert!(cut.is_err(), "the agent's port is not the node's any more");
    assert_eq!(plane.outbound_usage()[0].open, 64);
}

#[tokio::test]
async fn a_nat_gateway_cuts_what_used_the_load_balancer_and_carries_what_is_new() {
    if !real_packets_are_possible() {
        return;
    }
    let plane = start_as_in_arm(&scenario("")).await;
    plane.start_agent(&node(0)).await.expect("it starts");
    assert!(plane.wait_for_agent(&node(0), Duration::from_secs(5)).await);
    let gateway = scenario("[estate.cluster]\noutbound_type = 'managedNATGateway'\n");
    plane
        .enforce(&arm_resources(&gateway.estate))
        .await
        .expect("it compiles");
    let dial = || plane.dial_through_tunnel(kubelet(0).ip(), 10250);
    assert!(dial().await.is_err(), "its way out is not there any more");
    plane.restart_agent(&node(0)).await.expect("it restarts");
    let through_gateway = async {
        // The server knows the agent of before until the new one is there.
        while dial().await.is_err() {}
    };
    let limit = Duration::from_secs(10);
    let carried = tokio::time::timeout(limit, through_gateway).await;
    assert!(carried.is_ok(), "the gateway carries no connection");
}
