//! The simulated fabric says what the real one does: random rules, the same packets through both.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::*;
use futures::future::join_all;
use naosu_lab::data_plane::DataPlane;
use naosu_lab::estate::{
    Access, AdminAccess, Direction, NetworkSecurityGroup, SecurityAdminRule, SecurityRule,
};
use naosu_lab::fabric::{FabricPolicy, Packet, Protocol};
use naosu_lab::planes::{NamespacedDataPlane, ProbeResult};
use naosu_lab::scenario::Scenario;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

const POLICIES: u64 = 40;
const RULES: usize = 5;
const ADMIN_RULES: usize = 3;
const PORTS: [u16; 3] = [10249, 10250, 10251];

const TWO_GROUPS: &str = "
[[estate.network.subnets]]
name = 'aks-subnet'
address_prefix = '10.224.0.0/16'
network_security_group = 'on-subnet'
[[estate.pools]]
network_security_group = 'on-interface'
[[estate.application_security_groups]]
name = 'nodes'
pools = ['nodepool1']
[[estate.application_security_groups]]
name = 'nobody'
[[estate.network_security_groups]]
name = 'on-subnet'
[[estate.network_security_groups]]
name = 'on-interface'
";

#[tokio::test]
async fn random_rules_pass_the_same_packets_simulated_and_real() {
    if !real_packets_are_possible() {
        return;
    }
    let mut scenario = scenario(TWO_GROUPS);
    let plane = start(&scenario).await;
    let (mut passed, mut dropped) = (0, 0);
    for seed in 0..POLICIES {
        let mut random = StdRng::seed_from_u64(seed);
        for group in &mut scenario.estate.network_security_groups {
            group.rules = random_rules(&mut random);
        }
        // Every other policy has security admin rules before the groups.
        scenario.estate.network.security_admin_rules = if seed % 2 == 1 {
            random_admin_rules(&mut random)
        } else {
            Vec::new()
        };
        let resources = resources(&scenario.estate);
        plane.enforce(&resources).await.expect("it compiles");
        let policy = FabricPolicy::read(&resources, &BTreeMap::new()).expect("it compiles");
        let probes = pairs(&scenario).into_iter().map(|(from, packet)| {
            let plane = &plane;
            async move { (packet, really_passes(plane, from, packet).await) }
        });
        for (packet, real) in join_all(probes).await {
            let groups: &[NetworkSecurityGroup] = &scenario.estate.network_security_groups;
            let admin_rules = &scenario.estate.network.security_admin_rules;
            assert_eq!(
                policy.passes(&packet),
                real,
                "seed {seed}: {packet:?}\n{admin_rules:#?}\n{groups:#?}"
            );
            *(if real { &mut passed } else { &mut dropped }) += 1;
        }
    }
    // Rules that pass or drop everything would show nothing.
    assert!(
        passed > 100 && dropped > 100,
        "{passed} passed, {dropped} were dropped"
    );
}

const ANSWERS_ASTRAY: &str = "
[[estate.network.subnets]]
name = 'aks-subnet'
address_prefix = '10.224.0.0/16'
[[estate.network.subnets]]
name = 'second'
address_prefix = '10.226.0.0/16'
route_table = 'astray'
[[estate.route_tables]]
name = 'astray'
[[estate.route_tables.routes]]
name = 'one'
address_prefix = '10.224.0.4/32'
next_hop_type = 'None'
[[estate.pools]]
count = 2
[[estate.pools]]
name = 'second'
count = 1
subnet = 'second'
first_address = '10.226.0.4'
";

#[tokio::test]
async fn answers_follow_the_routes_of_their_own_subnet_simulated_and_real() {
    if !real_packets_are_possible() {
        return;
    }
    let scenario = scenario(ANSWERS_ASTRAY);
    let plane = start_enforcing(&scenario).await;
    let resources = resources(&scenario.estate);
    let policy = FabricPolicy::read(&resources, &BTreeMap::new()).expect("it compiles");
    for (from, passes) in [([10, 224, 0, 4], false), ([10, 224, 0, 5], true)] {
        let packet = Packet {
            protocol: Protocol::Tcp,
            source: from.into(),
            destination: [10, 226, 0, 4].into(),
            source_port: 50000,
            destination_port: 10250,
        };
        assert_eq!(policy.passes(&packet), passes, "{packet:?}");
        let number = u32::from(from[3] - 4);
        assert_eq!(
            really_passes(&plane, number, packet).await,
            passes,
            "{packet:?}"
        );
    }
}

fn pairs(scenario: &Scenario) -> Vec<(u32, Packet)> {
    let nodes = scenario.estate.nodes();
    let mut pairs = Vec::new();
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.name != from.name) {
            for port in PORTS {
                let packet = Packet {
                    protocol: Protocol::Tcp,
                    source: from.address.into(),
                    destination: to.address.into(),
                    source_port: 50000,
                    destination_port: port,
                };
                pairs.push((from.instance, packet));
            }
        }
    }
    pairs
}

async fn really_passes(plane: &NamespacedDataPlane, from: u32, packet: Packet) -> bool {
    let target = SocketAddr::new(packet.destination, packet.destination_port);
    probe(plane, from, target).await != ProbeResult::TimedOut
}

fn random_rules(random: &mut StdRng) -> Vec<SecurityRule> {
    let mut priorities: Vec<u16> = (100..200).collect();
    (0..RULES)
        .map(|index| {
            let priority = priorities.swap_remove(random.random_range(0..priorities.len()));
            let (source, source_groups) = random_side(random);
            let (destination, destination_groups) = random_side(random);
            SecurityRule {
                name: format!("rule-{index}"),
                priority,
                direction: *[Direction::Inbound, Direction::Outbound]
                    .choose(random)
                    .expect("some"),
                access: *[Access::Allow, Access::Deny].choose(random).expect("some"),
                protocol: (*["*", "Tcp", "Tcp", "Udp", "Icmp"]
                    .choose(random)
                    .expect("some"))
                .into(),
                source,
                source_groups,
                source_ports: words(
                    random,
                    &[&["*"], &["*"], &["1024-65535"], &["1-1023", "60"]],
                ),
                destination,
                destination_groups,
                destination_ports: words(
                    random,
                    &[
                        &["*"],
                        &["10250"],
                        &["10249-10250"],
                        &["10251", "10250-10260"],
                        &["80"],
                    ],
                ),
                description: None,
            }
        })
        .collect()
}

fn random_admin_rules(random: &mut StdRng) -> Vec<SecurityAdminRule> {
    let mut priorities: Vec<u16> = (1..50).collect();
    (0..ADMIN_RULES)
        .map(|index| SecurityAdminRule {
            name: format!("admin-rule-{index}"),
            collection: format!("collection-{}", random.random_range(0..2)),
            priority: priorities.swap_remove(random.random_range(0..priorities.len())),
            direction: *[Direction::Inbound, Direction::Outbound]
                .choose(random)
                .expect("some"),
            access: *[
                AdminAccess::Allow,
                AdminAccess::AlwaysAllow,
                AdminAccess::Deny,
            ]
            .choose(random)
            .expect("some"),
            protocol: (*["Any", "Tcp", "Tcp", "Udp"].choose(random).expect("some")).into(),
            source: random_prefixes(random),
            source_ports: words(random, &[&["0-65535"], &["1024-65535"], &["1-1023"]]),
            destination: random_prefixes(random),
            destination_ports: words(
                random,
                &[&["0-65535"], &["10250"], &["10249-10250"], &["80", "10251"]],
            ),
            description: None,
        })
        .collect()
}

fn random_side(random: &mut StdRng) -> (Vec<String>, Vec<String>) {
    let prefixes = random_prefixes(random);
    match random.random_range(0..6) {
        0 => (vec!["*".into()], vec!["nodes".into()]),
        1 => (vec!["*".into()], vec!["nobody".into()]),
        _ => (prefixes, Vec::new()),
    }
}

fn random_prefixes(random: &mut StdRng) -> Vec<String> {
    words(
        random,
        &[
            &["*"],
            &["VirtualNetwork"],
            &["Internet"],
            &["AzureLoadBalancer"],
            &["Storage"],
            &["10.224.0.4"],
            &["10.224.0.4/31"],
            &["10.224.0.0/16"],
            &["10.224.0.5", "10.224.0.0/29", "10.224.0.6/32"],
        ],
    )
}

fn words(random: &mut StdRng, choices: &[&[&str]]) -> Vec<String> {
    let chosen = choices.choose(random).expect("some");
    chosen.iter().map(|word| (*word).to_owned()).collect()
}
