//! Every exchange of the recordings (real traffic with Azure, recorded by others)
//! that the driver's types cover, read by those types.

use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use naosu_engine::error::Code;
use naosu_flow::nsg::Nsg;
use naosu_server::drivers::azure::{
    ResourceId,
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
    lists: usize,
    resources: usize,
    security_groups: usize,
    empty: usize,
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
    assert!(counts.errors > 0 && counts.security_groups > 0 && counts.operations > 0);
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
        let seen = progress(&tracker, &response, url.path()).or_else(|error| {
            // AKS was recorded to answer Succeeded with an error beside it.
            if error.code() == Code::AzureOperationFailed {
                Ok(Progress::Done(None))
            } else {
                Err(error)
            }
        });
        seen.unwrap_or_else(|e| panic!("{name}: {e}"));
        counts.operations += 1;
    } else if response.body.is_empty() {
        counts.empty += 1;
    } else {
        let body = response.object().unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Some(items) = body.get("value").and_then(Value::as_array) {
            for item in items.iter().filter(|item| is_nsg(item)) {
                Nsg::from_arm(item).unwrap_or_else(|e| panic!("{name}: {e}"));
                counts.security_groups += 1;
            }
            counts.lists += 1;
        } else {
            let id = body["id"].as_str().unwrap_or_else(|| url.path());
            ResourceId::parse(id).unwrap_or_else(|e| panic!("{name}: {e}"));
            if is_nsg(&body) {
                Nsg::from_arm(&body).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(
                    response.etag(&body).is_some(),
                    "{name}: a group has an ETag"
                );
                counts.security_groups += 1;
            }
            counts.resources += 1;
        }
    }
}

fn is_nsg(resource: &Value) -> bool {
    resource["type"]
        .as_str()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("Microsoft.Network/networkSecurityGroups"))
}
