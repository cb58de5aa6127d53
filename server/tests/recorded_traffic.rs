//! Every exchange of the recordings (real traffic with Azure, recorded by others)
//! that the driver's types cover, read by those types.

use std::{collections::BTreeMap, path::PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use naosu_engine::error::Code;
use naosu_flow::{
    firewall::RouteTable,
    nsg::{Nsg, TagContext},
};
use naosu_plugin::arm;
use naosu_server::drivers::azure::{
    ManagedCluster, ResourceId,
    api_version::api_version,
    error::ArmErrorBody,
    operation::{Progress, Tracker, progress},
    response::ArmResponse,
};
use serde_json::Value;
use url::Url;

/// The folder of reference material, if it is there.
fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("NAOSU_AZURE_REFERENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/azure"),
        PathBuf::from,
    );
    path.join("recordings").is_dir().then_some(path)
}

fn response(url: &Url, exchange: &Value) -> ArmResponse {
    let recorded = &exchange["response"];
    let mut headers = HeaderMap::new();
    for (name, values) in recorded["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(values[0].as_str().unwrap()).unwrap(),
        );
    }
    ArmResponse {
        method: Method::from_bytes(exchange["request"]["method"].as_str().unwrap().as_bytes())
            .unwrap(),
        path: url.path().to_owned(),
        status: StatusCode::from_u16(recorded["code"].as_u64().unwrap() as u16).unwrap(),
        headers,
        body: recorded["body"].as_str().unwrap().as_bytes().to_vec(),
    }
}

#[derive(Debug, Default)]
struct Counts {
    errors: usize,
    operations: usize,
    failed_operations: usize,
    lists: usize,
    resources: usize,
    empty: usize,
    /// Resources by their types, of lists as well.
    by_type: BTreeMap<String, usize>,
}

#[test]
fn every_recorded_exchange_is_understood() {
    let Some(reference) = reference() else {
        println!("skipped: no reference recordings (set NAOSU_AZURE_REFERENCE)");
        return;
    };
    let mut counts = Counts::default();
    let mut exchanges = 0;
    let mut files: Vec<_> = std::fs::read_dir(reference.join("recordings"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let recording: Value = serde_yaml_ng::from_str(&text).unwrap();
        for exchange in recording["interactions"].as_array().unwrap() {
            exchanges += 1;
            let url = Url::parse(exchange["request"]["url"].as_str().unwrap()).unwrap();
            let name = format!("{} {}", file.display(), exchange["id"]);
            read(&name, &url, exchange, &mut counts);
        }
    }
    println!("{exchanges} recorded exchanges were read: {counts:?}");
    let read = counts.errors + counts.operations + counts.lists + counts.resources + counts.empty;
    assert_eq!(read, exchanges, "each was read as exactly one thing");
    assert!(counts.errors > 0 && counts.operations > 0 && counts.failed_operations > 0);
    for understood in [
        "microsoft.containerservice/managedclusters",
        "microsoft.network/networkinterfaces",
        "microsoft.network/networksecuritygroups",
        "microsoft.network/routetables",
        "microsoft.network/virtualnetworks",
        "microsoft.network/virtualnetworks/subnets",
    ] {
        assert!(counts.by_type.contains_key(understood), "{understood}");
    }
}

fn read(name: &str, url: &Url, exchange: &Value, counts: &mut Counts) {
    let response = response(url, exchange);
    let is_operation =
        url.path().contains("/operations/") || url.path().contains("/operationresults/");
    if !is_operation {
        let id = ResourceId::parse(url.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
        api_version(&id).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    if response.status.is_client_error() {
        let body =
            ArmErrorBody::parse(&response.body).unwrap_or_else(|| panic!("{name}: no error body"));
        assert!(!body.code.is_empty() && !body.message.is_empty(), "{name}");
        let error = response.clone().success().unwrap_err();
        let expected = match response.status.as_u16() {
            400 => Code::AzureBadRequest,
            404 => Code::AzureNotFound,
            409 => Code::AzureConflict,
            412 => Code::AzurePreconditionFailed,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(error.code(), expected, "{name}");
        counts.errors += 1;
        return;
    }
    let response = response.success().unwrap_or_else(|e| panic!("{name}: {e}"));
    if is_operation {
        let tracker = if url.path().contains("/operationresults/") {
            Tracker::Location(url.clone())
        } else {
            Tracker::AsyncOperation(url.clone(), None)
        };
        operation(name, &tracker, &response, counts);
    } else if response.body.is_empty() {
        counts.empty += 1;
    } else {
        let body = response.object().unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Some(items) = body.get("value").and_then(Value::as_array) {
            for item in items {
                resource(name, url, item, counts);
            }
            counts.lists += 1;
        } else {
            resource(name, url, &body, counts);
            let is_group = type_of(&body) == "microsoft.network/networksecuritygroups";
            assert!(!is_group || response.etag(&body).is_some(), "{name}");
            counts.resources += 1;
        }
    }
}

/// An operation goes on or ends as its own body says. AKS was recorded to answer
/// Succeeded with an error beside it, which is no success.
fn operation(name: &str, tracker: &Tracker, response: &ArmResponse, counts: &mut Counts) {
    counts.operations += 1;
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let status = body["status"].as_str().unwrap_or_default();
    let is_tracked = matches!(tracker, Tracker::AsyncOperation(..));
    match progress(tracker, response, &response.path) {
        Ok(Progress::Running) if is_tracked => {
            assert!(
                !["Succeeded", "Failed", "Canceled"].contains(&status),
                "{name}"
            );
        }
        Ok(Progress::Running) => assert_eq!(response.status, StatusCode::ACCEPTED, "{name}"),
        Ok(Progress::Done(_)) if is_tracked => {
            assert_eq!(status, "Succeeded", "{name}");
            assert!(body["error"].is_null(), "{name}");
        }
        Ok(Progress::Done(_)) => assert_eq!(response.status, StatusCode::OK, "{name}"),
        Err(error) => {
            assert_eq!(error.code(), Code::AzureOperationFailed, "{name}: {error}");
            let has_failed =
                status == "Failed" || (status == "Succeeded" && body["error"].is_object());
            assert!(has_failed, "{name}: {body}");
            assert!(error.to_string().contains(status), "{name}: {error}");
            counts.failed_operations += 1;
        }
    }
}

/// A resource as the types that really read it have it: what they leave out has a
/// default, so it is what they found that is looked at.
fn resource(name: &str, url: &Url, body: &Value, counts: &mut Counts) {
    // The instance view of a machine is the one thing that has no id.
    let id = body["id"].as_str().unwrap_or_else(|| url.path());
    let id = ResourceId::parse(id).unwrap_or_else(|e| panic!("{name}: {e}"));
    let kind = type_of(body);
    if !kind.is_empty() && kind != "microsoft.resources/resourcegroups" {
        assert_eq!(id.type_name(), kind, "{name}");
    }
    match kind.as_str() {
        "microsoft.containerservice/managedclusters" => {
            let cluster: arm::ManagedCluster = read_as(name, body);
            let group = cluster.properties.node_resource_group;
            assert!(!group.is_empty(), "{name}");
            assert!(!cluster.properties.agent_pool_profiles.is_empty(), "{name}");
            let found = ManagedCluster::read(&id, body).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(found.node_resource_group.name(), group, "{name}");
            let fqdn = cluster
                .properties
                .fqdn
                .map(|fqdn| fqdn.to_ascii_lowercase());
            assert_eq!(found.api_servers.first(), fqdn.as_ref(), "{name}");
        }
        "microsoft.network/virtualnetworks" => {
            let network: arm::VirtualNetwork = read_as(name, body);
            assert!(
                !network.properties.address_space.address_prefixes.is_empty(),
                "{name}"
            );
            for subnet in &network.properties.subnets {
                assert!(subnet.properties.prefixes().next().is_some(), "{name}");
            }
        }
        "microsoft.network/virtualnetworks/subnets" => {
            let subnet: arm::Subnet = read_as(name, body);
            assert!(subnet.properties.prefixes().next().is_some(), "{name}");
        }
        "microsoft.network/networkinterfaces" => {
            let interface: arm::NetworkInterface = read_as(name, body);
            assert!(!interface.properties.ip_configurations.is_empty(), "{name}");
            for configuration in &interface.properties.ip_configurations {
                let address = &configuration.properties.private_ip_address;
                assert!(
                    address.parse::<std::net::IpAddr>().is_ok(),
                    "{name}: {address}"
                );
                assert!(configuration.properties.subnet.is_some(), "{name}");
            }
        }
        "microsoft.network/networksecuritygroups" => {
            Nsg::from_arm(body).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        "microsoft.network/routetables" => {
            RouteTable::from_arm(body, &TagContext::new())
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        // Read by single fields where they are read at all.
        _ => {
            let named: arm::Resource = read_as(name, body);
            assert!(kind.is_empty() || !named.name.is_empty(), "{name}");
        }
    }
    *counts.by_type.entry(kind).or_default() += 1;
}

fn read_as<T: serde::de::DeserializeOwned>(name: &str, body: &Value) -> T {
    serde_json::from_value(body.clone()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn type_of(resource: &Value) -> String {
    resource["type"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase()
}
