//! Oracle: Azure's own specifications. What the emulator answers must validate
//! against them, and it must take what their examples send.

mod support;
#[path = "support/swagger.rs"]
mod swagger;

use std::fmt::Write as _;

use naosu_lab::builtin_scenario;
use naosu_lab::data_plane::ScriptOutput;
use naosu_lab::estate::{Cluster, Estate};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Arm, quick, reference};
use swagger::{Example, Specifications};

/// Collects what does not conform.
struct Findings {
    specifications: Specifications,
    text: String,
    checked: usize,
}

impl Findings {
    fn check(&mut self, method: &str, path: &str, status: u16, body: &str) {
        let path = path.split('?').next().unwrap();
        let body: Value = match body {
            "" => return,
            body => serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}")),
        };
        let Some(problems) = self.specifications.problems(method, path, status, &body) else {
            return;
        };
        self.checked += 1;
        for problem in problems {
            writeln!(self.text, "{method} {path} → {status}: {problem}").unwrap();
        }
    }
}

fn findings() -> Option<Findings> {
    let root = reference("swagger")?;
    Some(Findings {
        specifications: Specifications::read(root.parent().unwrap()),
        text: String::new(),
        checked: 0,
    })
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        kind if kind.contains("networkInterfaces") && kind.contains("virtualMachines") => {
            "2018-10-01"
        }
        kind if kind.contains("Microsoft.Compute") => "2024-07-01",
        kind if kind.contains("ContainerService") => "2024-02-01",
        _ => "2024-05-01",
    }
}

#[tokio::test]
async fn every_resource_of_an_estate_validates_against_its_specification() {
    let Some(mut findings) = findings() else {
        return;
    };
    for name in [
        "egress-firewall-policy-aks-link",
        "egress-firewall-tunnelfront",
        "nsg-deny-10250",
        "route-api-server-direct-decoy",
    ] {
        let scenario = builtin_scenario(name).unwrap();
        let arm = Arm::serve(&scenario.estate, &quick()).await;
        let ids: Vec<String> = arm
            .server
            .snapshot()
            .iter()
            .filter_map(|resource| resource["id"].as_str().map(str::to_owned))
            .collect();
        for id in ids {
            let collection = id.rsplit_once('/').unwrap().0;
            for path in [id.as_str(), collection] {
                let answer = arm
                    .get(&format!("{path}?api-version={}", api_version(path)))
                    .await;
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
                findings.check("get", path, answer.status, &answer.text);
            }
        }
        *arm.data_plane.output.lock().unwrap() = Some(ScriptOutput {
            stdout: b"a".to_vec(),
            stderr: Vec::new(),
            exit_code: 0,
        });
        let instance = scenario.estate.instance_id(&scenario.estate.nodes()[0]);
        let script = json!({ "commandId": "RunShellScript", "script": ["true"] });
        let path = format!("{instance}/runCommand?api-version=2024-07-01");
        let accepted = arm.send(Method::POST, &path, Some(&script)).await;
        arm.settled(&accepted).await;
        let result = arm.get(accepted.header("location")).await;
        findings.check("post", &path, result.status, &result.text);
        let path = format!("{instance}/instanceView?api-version=2024-07-01");
        let view = arm.get(&path).await;
        findings.check("get", &path, view.status, &view.text);
        let cluster = scenario.estate.cluster.id();
        let path = format!("{cluster}/listClusterUserCredential?api-version=2024-02-01");
        let credential = arm.send(Method::POST, &path, None).await;
        findings.check("post", &path, credential.status, &credential.text);
        let path = format!(
            "{cluster}/providers/Microsoft.Insights/metrics?api-version=2018-01-01&metricnames=node_cpu_usage_millicores"
        );
        let metrics = arm.get(&path).await;
        findings.check("get", &path, metrics.status, &metrics.text);
        let path = format!(
            "/subscriptions/{}/providers/Microsoft.Network/locations/westeurope/serviceTags?api-version=2024-05-01",
            scenario.estate.cluster.subscription
        );
        let tags = arm.get(&path).await;
        findings.check("get", &path, tags.status, &tags.text);
    }
    assert!(findings.text.is_empty(), "{}", findings.text);
    assert!(
        findings.checked > 100,
        "only {} answers were checked",
        findings.checked
    );
}

/// The types whose writes the emulator takes.
const WRITTEN: [&str; 14] = [
    "/networkSecurityGroups/{networkSecurityGroupName}",
    "/securityRules/{securityRuleName}",
    "/applicationSecurityGroups/{applicationSecurityGroupName}",
    "/virtualNetworks/{virtualNetworkName}",
    "/subnets/{subnetName}",
    "/publicIPAddresses/{publicIpAddressName}",
    "/loadBalancers/{loadBalancerName}",
    "/routeTables/{routeTableName}",
    "/routes/{routeName}",
    "/natGateways/{natGatewayName}",
    "/azureFirewalls/{azureFirewallName}",
    "/firewallPolicies/{firewallPolicyName}",
    "/ruleCollectionGroups/{ruleCollectionGroupName}",
    "/managedClusters/{resourceName}",
];

/// Examples that Azure itself would not take, each with the reason.
const UNUSABLE: &[(&str, &str)] = &[
    (
        "LoadBalancerCreateGatewayLoadBalancerProviderWithOneBackendPool.json",
        "asks for a sku that its own specification does not have",
    ),
    (
        "LoadBalancerCreateGatewayLoadBalancerProviderWithTwoBackendPool.json",
        "as above",
    ),
];

#[tokio::test]
async fn every_write_of_the_specifications_examples_is_taken_and_answered_as_specified() {
    let Some(mut findings) = findings() else {
        return;
    };
    let mut sent = 0;
    for example in findings.specifications.examples("put") {
        let wanted = WRITTEN.iter().any(|end| example.template.ends_with(end))
            && !UNUSABLE.iter().any(|(name, _)| *name == example.name);
        if wanted {
            send(&example, &mut findings).await;
            sent += 1;
        }
    }
    assert!(findings.text.is_empty(), "{}", findings.text);
    assert!(sent > 30, "only {sent} examples were sent");
}

async fn send(example: &Example, findings: &mut Findings) {
    let parameters = &example.content["parameters"];
    let mut path = example.template.clone();
    for (name, value) in parameters.as_object().unwrap() {
        if let Some(value) = value.as_str() {
            path = path.replace(&format!("{{{name}}}"), value);
        }
    }
    assert!(
        !path.contains("/{") || path.contains("{subscription-id}"),
        "{path}"
    );
    let path = path.replace("{subscription-id}", "subid");
    let subscription = path.split('/').nth(2).unwrap().to_owned();
    let group = path.split('/').nth(4).unwrap().to_owned();
    let cluster = Cluster {
        subscription,
        resource_group: group,
        ..Cluster::default()
    };
    let arm = Arm::serve(
        &Estate {
            cluster,
            ..Estate::default()
        },
        &quick(),
    )
    .await;
    let (above, _) = path.rsplit_once('/').unwrap();
    let (parent, _) = above.rsplit_once('/').unwrap();
    if !parent.rsplit_once('/').unwrap().0.ends_with("/providers")
        && !parent.ends_with("Microsoft.Network")
        && !parent.ends_with("ContainerService")
    {
        let body = json!({ "location": "westus", "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } } });
        let made = arm
            .send(
                Method::PUT,
                &format!("{parent}?api-version={}", example.api_version),
                Some(&body),
            )
            .await;
        assert!(made.status < 300, "{parent}: {made:?}");
        arm.settled(&made).await;
    }
    let body = parameters["parameters"]
        .as_object()
        .map(|_| &parameters["parameters"])
        .or_else(|| {
            let inputs = parameters
                .as_object()?
                .values()
                .find(|value| value.is_object())?;
            Some(inputs)
        })
        .unwrap();
    let address = format!("{path}?api-version={}", example.api_version);
    let answer = arm.send(Method::PUT, &address, Some(body)).await;
    if answer.status >= 300 {
        writeln!(findings.text, "{}: refused: {}", example.name, answer.text).unwrap();
        return;
    }
    findings.check("put", &path, answer.status, &answer.text);
    arm.settled(&answer).await;
    let read = arm.get(&address).await;
    findings.check("get", &path, read.status, &read.text);
}
