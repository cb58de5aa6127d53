//! Oracle: real recorded exchanges with Azure. Each recorded request is sent
//! to the emulator, and status, header names and JSON shape of the answer are
//! compared with what Azure answered.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use naosu_lab::estate::{Cluster, Estate};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use support::{Answer, Arm, quick, reference};

#[derive(Deserialize)]
struct Cassette {
    interactions: Vec<Interaction>,
}

#[derive(Deserialize)]
struct Interaction {
    request: RecordedRequest,
    response: RecordedResponse,
}

#[derive(Deserialize)]
struct RecordedRequest {
    method: String,
    url: String,
    body: String,
    headers: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct RecordedResponse {
    code: u16,
    body: String,
    headers: BTreeMap<String, Vec<String>>,
}

/// Headers that are in some recordings of one kind of answer and not in others,
/// and what the recorder removed or HTTP/2 does not have.
const LOOSE_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "date",
    "retry-after",
    "x-ms-correlation-request-id",
    "x-ms-operation-identifier",
    "x-ms-original-request-ids",
    "x-ms-request-charge",
    "x-ms-request-id",
    "x-ms-routing-request-id",
];

/// A virtual network written again was answered 201 in this one exchange, 200
/// in every other of its kind.
const LOOSE_STATUS: [(&str, usize); 1] = [("virtualnetworkclient.AZURECLOUD.yaml", 6)];

/// Key paths that may differ, each with the reason.
const LOOSE_PATHS: &[(&str, &str)] = &[
    (
        "$.tags",
        "a policy of the recorder's subscription adds tags",
    ),
    (
        "$.properties.ipAddress",
        "a dynamic address appears when Azure pleases",
    ),
    (
        "$.eTag",
        "AKS gives etags since 2024-09-01; this recording's region did not yet",
    ),
    ("$.value[].eTag", "as above"),
    (
        "$.properties.identityProfile",
        "appears while AKS creates the cluster",
    ),
    (
        "$.properties.networkProfile.loadBalancerProfile.effectiveOutboundIPs",
        "as above",
    ),
    (
        "$.properties.agentPoolProfiles[].nodeLabels",
        "only in answers to PUT",
    ),
    (
        "$.properties.agentPoolProfiles[].enableAutoScaling",
        "only after a second PUT",
    ),
    (
        "$.value[].properties.agentPoolProfiles[].enableAutoScaling",
        "as above",
    ),
    (
        "$.error",
        "an AKS operation that succeeded with an error inside",
    ),
];

#[tokio::test]
async fn every_recorded_exchange_gets_an_answer_of_the_recorded_shape() {
    let Some(folder) = reference("recordings") else {
        return;
    };
    let mut problems = String::new();
    let mut compared = 0;
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no recordings");
    for file in files {
        let cassette: Cassette =
            serde_yaml_ng::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        compared += replay(&name, &cassette, &mut problems).await;
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(compared > 200, "only {compared} exchanges were compared");
}

async fn replay(name: &str, cassette: &Cassette, problems: &mut String) -> usize {
    let estate = Estate {
        cluster: Cluster {
            subscription: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..Cluster::default()
        },
        ..Estate::default()
    };
    let arm = Arm::serve(&estate, &quick()).await;
    let mut last: Option<Answer> = None;
    let mut compared = 0;
    for (place, interaction) in cassette.interactions.iter().enumerate() {
        let recorded = &interaction.response;
        if interaction.request.method == "PUT" && recorded.code == 200 {
            // What answers 200 was there before; make sure that it is.
            let before = send(&arm, &interaction.request, None).await;
            if !before.header("azure-asyncoperation").is_empty() {
                arm.settled(&before).await;
            }
        }
        let answer = send(&arm, &interaction.request, last.as_ref()).await;
        let mut differences = Vec::new();
        if answer.status != recorded.code && !LOOSE_STATUS.contains(&(name, place)) {
            differences.push(format!(
                "status {} instead of {}",
                answer.status, recorded.code
            ));
        }
        differences.extend(header_differences(&answer, recorded));
        differences.extend(shape_differences(&answer.text, &recorded.body));
        if let (Some(code), true) = (error_code(&recorded.body), answer.status >= 400)
            && error_code(&answer.text).as_ref() != Some(&code)
        {
            differences.push(format!(
                "error {:?} instead of {code}",
                error_code(&answer.text)
            ));
        }
        for difference in differences {
            let RecordedRequest { method, url, .. } = &interaction.request;
            writeln!(problems, "{name}#{place} {method} {url}: {difference}").unwrap();
        }
        if !answer.header("azure-asyncoperation").is_empty() {
            // The recorder left out the polls that were still running, and
            // some operations were never polled: wait for the end of each.
            arm.settled(&answer).await;
        }
        if interaction.request.method != "GET" {
            last = Some(answer);
        }
        compared += 1;
    }
    compared
}

async fn send(arm: &Arm, recorded: &RecordedRequest, last_write: Option<&Answer>) -> Answer {
    let method: Method = recorded.method.parse().unwrap();
    let path = recorded
        .url
        .strip_prefix("https://management.azure.com")
        .unwrap();
    let polls = path.contains("/operations/") || path.contains("/operationresults/");
    if let (true, Some(write)) = (polls, last_write) {
        let status_url = write.header("azure-asyncoperation");
        let url = if status_url.is_empty() {
            write.header("location")
        } else {
            status_url
        };
        return arm.get(url).await;
    }
    if let Some((before, token)) = path.split_once("%24skiptoken=") {
        // The recorded token is Azure's own; ours is where the first page ended.
        let rest = token.split_once('&').map_or("", |(_, rest)| rest);
        return arm.get(&format!("{before}%24skiptoken=1&{rest}")).await;
    }
    let body: Option<Value> =
        (!recorded.body.is_empty()).then(|| serde_json::from_str(&recorded.body).unwrap());
    let if_match = recorded
        .headers
        .get("If-Match")
        .and_then(|values| values.first());
    let headers: Vec<(&str, &str)> = if_match
        .map(|tag| ("if-match", tag.as_str()))
        .into_iter()
        .collect();
    arm.send_with(method, path, body.as_ref(), &headers).await
}

fn header_differences(answer: &Answer, recorded: &RecordedResponse) -> Vec<String> {
    let loose = |name: &String| LOOSE_HEADERS.contains(&name.as_str());
    let expected: BTreeSet<String> = recorded
        .headers
        .keys()
        .map(|name| name.to_ascii_lowercase())
        .filter(|name| !loose(name))
        .collect();
    let found: BTreeSet<String> = answer
        .headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .filter(|name| !loose(name))
        .collect();
    let missing = expected
        .difference(&found)
        .map(|name| format!("header {name} is missing"));
    let extra = found
        .difference(&expected)
        .map(|name| format!("header {name} is extra"));
    missing.chain(extra).collect()
}

fn shape_differences(found: &str, expected: &str) -> Vec<String> {
    if expected.is_empty() || found.is_empty() {
        return if expected.is_empty() == found.is_empty() {
            Vec::new()
        } else {
            vec![format!("body {found:?} instead of {expected:?}")]
        };
    }
    let loose = |path: &String| {
        LOOSE_PATHS.iter().any(|(loose, _)| {
            let at = path.split_once(": ").map_or(path.as_str(), |(at, _)| at);
            at == *loose
                || at
                    .strip_prefix(loose)
                    .is_some_and(|rest| rest.starts_with(['.', '[']))
        })
    };
    let (found, expected) = (shape(found), shape(expected));
    let missing = expected
        .difference(&found)
        .filter(|path| !loose(path))
        .map(|path| format!("missing {path}"));
    let extra = found
        .difference(&expected)
        .filter(|path| !loose(path))
        .map(|path| format!("extra {path}"));
    missing.chain(extra).collect()
}

fn shape(text: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    collect(&value, "$", &mut paths);
    paths
}

fn collect(value: &Value, at: &str, paths: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    paths.insert(format!("{at}: {kind}"));
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(item, &format!("{at}[]"), paths)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, field)| collect(field, &format!("{at}.{name}"), paths)),
        _ => {}
    }
}

fn error_code(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body["error"]["code"].as_str()?.to_owned())
}
