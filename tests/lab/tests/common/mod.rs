//! A data plane with an estate's resources enforced, without the emulated APIs.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::net::SocketAddr;
use std::time::Duration;

use naosu_lab::arm::resources_of;
use naosu_lab::data_plane::{ArmResources, DataPlane, NodeName};
use naosu_lab::estate::Estate;
use naosu_lab::planes::{DataPlaneOptions, NamespacedDataPlane, Probe, ProbeResult};
use naosu_lab::scenario::Scenario;
use serde_json::{Value, json};

/// A scenario from the parts a test cares about.
pub fn scenario(parts: &str) -> Scenario {
    let text = format!(
        "title = 'a test'\nstory = 'a test'\n{parts}\n[expect.findings]\nnsg = 'unknown'\n\
         ufw = 'unknown'\niptables = 'unknown'\negress = 'unknown'\nsnat = 'unknown'\n\
         tunnel-pods = 'unknown'\nkonnectivity-scale = 'unknown'\nroute = 'unknown'\n"
    );
    Scenario::parse("test", &text).expect("the test's scenario is valid")
}

/// Whether this machine allows namespaces; says so when it does not.
pub fn real_packets_are_possible() -> bool {
    let possible = naosu_lab::machine::Machine::start("trial", || Ok(())).is_ok();
    if !possible {
        println!("skipped: no network namespaces without root");
    }
    possible
}

/// Starts a data plane with short time limits.
pub async fn start(scenario: &Scenario) -> NamespacedDataPlane {
    let options = DataPlaneOptions {
        dial_limit: Duration::from_millis(400),
        ..DataPlaneOptions::default()
    };
    NamespacedDataPlane::start(scenario, options)
        .await
        .expect("the data plane starts")
}

/// Starts a data plane that enforces its estate.
pub async fn start_enforcing(scenario: &Scenario) -> NamespacedDataPlane {
    let plane = start(scenario).await;
    plane
        .enforce(&resources(&scenario.estate))
        .await
        .expect("the estate's resources compile");
    plane
}

/// The nth node's name.
pub fn node(number: u32) -> NodeName {
    NodeName(format!("aks-nodepool1-28341567-vmss00000{number}"))
}

/// The nth node's kubelet.
pub fn kubelet(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 224, 0, 4 + number], 10250))
}

/// Tries a connection from a node.
pub async fn probe(plane: &NamespacedDataPlane, from: u32, to: SocketAddr) -> ProbeResult {
    let from = Probe::FromNode(node(from));
    plane.probe(&from, to).await.expect("the probe can be made")
}

/// An estate as ARM would hold what the fabric reads.
pub fn resources(estate: &Estate) -> ArmResources {
    let named = |id: String, properties: Value| {
        let name = id.rsplit('/').next().unwrap_or_default().to_owned();
        json!({ "id": id, "name": name, "properties": properties })
    };
    let reference = |id: Option<String>| id.map_or(Value::Null, |id| json!({ "id": id }));
    let groups = estate.network_security_groups.iter().map(|group| {
        let rules: Vec<Value> = group
            .all_rules()
            .iter()
            .map(|rule| json!({ "name": rule.name, "properties": estate.security_rule_properties(rule) }))
            .collect();
        let id = estate.network_security_group_id(&group.name);
        named(id, json!({ "securityRules": rules }))
    });
    let subnets: Vec<Value> = estate
        .network
        .subnets
        .iter()
        .map(|subnet| {
            let group = subnet.network_security_group.as_deref();
            let table = subnet.route_table.as_deref();
            named(
                estate.subnet_id(&subnet.name),
                json!({
                    "networkSecurityGroup": reference(group.map(|g| estate.network_security_group_id(g))),
                    "routeTable": reference(table.map(|t| estate.route_table_id(t))),
                }),
            )
        })
        .collect();
    let network = named(
        estate.network_id(),
        json!({
            "addressSpace": { "addressPrefixes": estate.network.address_prefixes },
            "subnets": subnets,
        }),
    );
    let interfaces = estate.nodes().into_iter().map(|node| {
        let pool = estate.pools.iter().find(|pool| pool.name == node.pool);
        let group = pool.and_then(|pool| pool.network_security_group.as_deref());
        let application_groups: Vec<Value> = estate
            .application_security_groups
            .iter()
            .filter(|group| group.pools.contains(&node.pool))
            .map(|group| json!({ "id": estate.application_security_group_id(&group.name) }))
            .collect();
        named(
            format!("{}/networkInterfaces/nic", estate.instance_id(&node)),
            json!({
                "networkSecurityGroup": reference(group.map(|g| estate.network_security_group_id(g))),
                "ipConfigurations": [{ "properties": {
                    "privateIPAddress": node.address,
                    "subnet": { "id": estate.subnet_id(&node.subnet) },
                    "applicationSecurityGroups": application_groups,
                }}],
            }),
        )
    });
    let tables = estate.route_tables.iter().map(|table| {
        let routes: Vec<Value> = table
            .routes
            .iter()
            .map(|route| {
                json!({ "name": route.name, "properties": {
                    "addressPrefix": route.address_prefix,
                    "nextHopType": route.next_hop_type,
                    "nextHopIpAddress": route.next_hop_address,
                }})
            })
            .collect();
        named(
            estate.route_table_id(&table.name),
            json!({ "routes": routes }),
        )
    });
    let seeded = resources_of(estate);
    let governance = seeded.iter().filter(|resource| {
        let id = resource["id"].as_str().unwrap_or_default();
        id.contains("/networkManagers/")
    });
    groups
        .chain([network])
        .chain(interfaces)
        .chain(tables)
        .chain(governance.cloned())
        .collect()
}
