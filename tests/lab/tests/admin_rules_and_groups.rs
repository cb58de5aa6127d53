//! Security admin rules before network security groups: the simulated fabric and real packets say
//! the same of every kind of rule, in both directions.

mod common;

use std::collections::BTreeMap;

use common::*;
use naosu_lab::data_plane::{ArmResources, DataPlane};
use naosu_lab::estate::{AdminAccess, Direction, Estate};
use naosu_lab::fabric::{FabricPolicy, Packet, Protocol};
use naosu_lab::planes::ProbeResult;
use naosu_lab::scenario::Scenario;

/// What the subnet's group does with the kubelet's port and one that no admin rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Allows,
    Denies,
}

/// An estate with one admin rule for the kubelet's port between nodes 0 and 1, one behind it that
/// denies the port to all, and a group that decides what is left to it.
fn governed(direction: Direction, access: AdminAccess, group: Group) -> Scenario {
    let (source, destination) = ("10.224.0.4", "10.224.0.5");
    let denied_ports = match group {
        Group::Allows => "'9'",
        Group::Denies => "'10250', '10400'",
    };
    scenario(&format!(
        "
[[estate.network.subnets]]
name = 'aks-subnet'
address_prefix = '10.224.0.0/16'
network_security_group = 'nsg'
[[estate.network.security_admin_rules]]
name = 'behind'
collection = 'another'
priority = 2
direction = '{direction:?}'
access = 'Deny'
protocol = 'Tcp'
destination_ports = ['10250']
[[estate.network.security_admin_rules]]
name = 'first'
priority = 1
direction = '{direction:?}'
access = '{access:?}'
protocol = 'Tcp'
source = ['{source}']
destination = ['{destination}']
destination_ports = ['10200-10299']
[[estate.network_security_groups]]
name = 'nsg'
[[estate.network_security_groups.rules]]
name = 'deny'
priority = 200
direction = '{direction:?}'
access = 'Deny'
protocol = 'Tcp'
destination_ports = [{denied_ports}]
"
    ))
}

fn simulated(resources: &ArmResources) -> FabricPolicy {
    FabricPolicy::read(resources, &BTreeMap::new()).expect("it compiles")
}

fn first_packet(from: u8, to: u8, port: u16) -> Packet {
    Packet {
        protocol: Protocol::Tcp,
        source: [10, 224, 0, 4 + from].into(),
        destination: [10, 224, 0, 4 + to].into(),
        source_port: 50000,
        destination_port: port,
    }
}

const CASES: [(AdminAccess, Group, bool); 6] = [
    (AdminAccess::Allow, Group::Allows, true),
    (AdminAccess::Allow, Group::Denies, false),
    (AdminAccess::AlwaysAllow, Group::Allows, true),
    (AdminAccess::AlwaysAllow, Group::Denies, true),
    (AdminAccess::Deny, Group::Allows, false),
    (AdminAccess::Deny, Group::Denies, false),
];

#[tokio::test]
async fn every_access_in_each_direction_is_the_same_simulated_and_real() {
    let real = if real_packets_are_possible() {
        Some(start(&scenario("")).await)
    } else {
        None
    };
    for direction in [Direction::Inbound, Direction::Outbound] {
        for (access, group, matched_passes) in CASES {
            let resources = resources(&governed(direction, access, group).estate);
            let policy = simulated(&resources);
            if let Some(plane) = &real {
                plane.enforce(&resources).await.expect("it compiles");
            }
            let packets = [
                (0, 10250, matched_passes),
                // The second rule decides what the first does not match.
                (2, 10250, false),
                // The group decides what no admin rule matches.
                (0, 10400, group == Group::Allows),
            ];
            for (from, port, passes) in packets {
                let packet = first_packet(from, 1, port);
                let case = format!("{direction:?} {access:?} {group:?} {packet:?}");
                assert_eq!(policy.passes(&packet), passes, "simulated: {case}");
                if let Some(plane) = &real {
                    let target = (packet.destination, port).into();
                    let probed = probe(plane, from.into(), target).await;
                    assert_eq!(probed != ProbeResult::TimedOut, passes, "real: {case}");
                }
            }
        }
    }
}

#[test]
fn always_to_allow_one_direction_leaves_the_other_to_its_own_rules() {
    let mut estate = governed(Direction::Outbound, AdminAccess::AlwaysAllow, Group::Denies).estate;
    let packet = first_packet(0, 1, 10250);
    let passes = |estate: &Estate| simulated(&resources(estate)).passes(&packet);
    assert!(passes(&estate), "its way out is always allowed");
    estate.network_security_groups[0].rules[0].direction = Direction::Inbound;
    assert!(!passes(&estate), "its way in is the group's to decide");
}

#[test]
fn rules_hold_on_the_networks_of_their_groups_only() {
    let estate = governed(Direction::Inbound, AdminAccess::Deny, Group::Allows).estate;
    let mut resources = resources(&estate);
    let packet = first_packet(0, 1, 10250);
    assert!(!simulated(&resources).passes(&packet));
    let member: Vec<String> = resources
        .of_type("Microsoft.Network/networkManagers/networkGroups/staticMembers")
        .filter_map(|member| member["id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(member.len(), 1);
    resources.remove(&member[0]);
    assert!(
        simulated(&resources).passes(&packet),
        "the network is no member any more"
    );
}
