//! Run command, credentials, metrics, service tags, and the estate as Azure
//! resources.

mod support;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use naosu_lab::arm::{ArmOptions, MetricSeries, STREAM_LIMIT_BYTES};
use naosu_lab::data_plane::ScriptOutput;
use naosu_lab::scenario::{Scenario, Switches};
use naosu_lab::{builtin_scenario, builtin_scenario_names};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Arm, quick};

fn healthy() -> Scenario {
    builtin_scenario("healthy").unwrap()
}

fn run_command_path(scenario: &Scenario, node: usize) -> String {
    let nodes = scenario.estate.nodes();
    let instance = scenario.estate.instance_id(&nodes[node]);
    // The path's casing is the SDKs' own, and differs from the ids'.
    let instance = instance.replace("/virtualMachines/", "/virtualmachines/");
    format!("{instance}/runCommand?api-version=2024-07-01")
}

async fn run(arm: &Arm, scenario: &Scenario, node: usize, script: &[&str]) -> Answer {
    let body = json!({ "commandId": "RunShellScript", "script": script });
    arm.send(Method::POST, &run_command_path(scenario, node), Some(&body))
        .await
}

#[tokio::test]
async fn a_run_command_hides_the_exit_code_and_keeps_the_end_of_each_stream() {
    let scenario = healthy();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let long = [vec![b'x'; 5000], b"END".to_vec()].concat();
    *arm.data_plane.output.lock().unwrap() = Some(ScriptOutput {
        stdout: long,
        stderr: b"oops\n".to_vec(),
        exit_code: 3,
    });
    let accepted = run(&arm, &scenario, 1, &["echo a", "exit 3"]).await;
    assert_eq!(accepted.status, 202);
    let ended = arm.settled(&accepted).await.json();
    assert_eq!(ended["status"], "Succeeded");
    let status = &ended["properties"]["output"]["value"][0];
    assert_eq!(status["code"], "ProvisioningState/succeeded");
    let kept = format!("{}END", "x".repeat(STREAM_LIMIT_BYTES - 3));
    let expected = format!("Enable succeeded: \n[stdout]\n{kept}\n[stderr]\noops\n");
    assert_eq!(status["message"], expected);
    let result = arm.get(accepted.header("location")).await;
    assert_eq!((result.status, &result.json()["value"][0]), (200, status));
    let scripts = arm.data_plane.scripts.lock().unwrap().clone();
    assert_eq!(scripts[0].0, scenario.estate.nodes()[1].name);
    assert_eq!(scripts[0].1, "echo a\nexit 3");
}

#[tokio::test]
async fn one_run_command_at_a_time_on_an_instance_and_any_number_across() {
    let scenario = healthy();
    let switches = Switches {
        run_command_milliseconds: 300,
        ..quick()
    };
    let arm = Arm::serve(&scenario.estate, &switches).await;
    *arm.data_plane.output.lock().unwrap() = Some(ScriptOutput {
        stdout: Vec::new(),
        stderr: Vec::new(),
        exit_code: 0,
    });
    let first = run(&arm, &scenario, 0, &["true"]).await;
    let busy = run(&arm, &scenario, 0, &["true"]).await;
    assert_eq!((busy.status, busy.error_code().as_str()), (409, "Conflict"));
    assert_eq!(run(&arm, &scenario, 1, &["true"]).await.status, 202);
    assert_eq!(
        arm.get(first.header("location")).await.status,
        202,
        "still running"
    );
    arm.settled(&first).await;
    assert_eq!(run(&arm, &scenario, 0, &["true"]).await.status, 202);
    arm.server.refuse_run_commands(1);
    assert_eq!(run(&arm, &scenario, 2, &["true"]).await.status, 409);
    assert_eq!(run(&arm, &scenario, 2, &["true"]).await.status, 202);
}

#[tokio::test]
async fn a_run_command_for_what_is_not_there_is_refused() {
    let scenario = healthy();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let body = json!({ "commandId": "RunPowerShellScript" });
    let unknown = arm
        .send(Method::POST, &run_command_path(&scenario, 0), Some(&body))
        .await;
    assert_eq!(
        (unknown.status, unknown.error_code().as_str()),
        (400, "InvalidParameter")
    );
    let path = run_command_path(&scenario, 0).replace("virtualmachines/0", "virtualmachines/77");
    let body = json!({ "commandId": "RunShellScript", "script": [] });
    assert_eq!(arm.send(Method::POST, &path, Some(&body)).await.status, 404);
}

#[tokio::test]
async fn the_users_kubeconfig_comes_in_base64() {
    let scenario = healthy();
    let options = ArmOptions {
        kubeconfig: "kind: Config".to_owned(),
        ..ArmOptions::default()
    };
    let arm = Arm::serve_with(&scenario.estate, &quick(), options).await;
    let path = format!(
        "{}/listClusterUserCredential?api-version=2024-09-01",
        scenario.estate.cluster.id()
    );
    let answer = arm.send(Method::POST, &path, None).await.json();
    assert_eq!(answer["kubeconfigs"][0]["name"], "clusterUser");
    let value = answer["kubeconfigs"][0]["value"].as_str().unwrap();
    assert_eq!(STANDARD.decode(value).unwrap(), b"kind: Config");
    assert!(
        arm.server.requests().writes().is_empty(),
        "reading a credential is no write"
    );
}

#[tokio::test]
async fn metrics_are_split_by_the_dimension_that_is_filtered() {
    let scenario = healthy();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let group = scenario.estate.cluster.node_resource_group();
    let balancer = scenario
        .estate
        .network_provider_id(&group, "loadBalancers", "kubernetes");
    for (state, count) in [("Failed", 7.0), ("Successful", 90.0)] {
        arm.server.record_metric(MetricSeries {
            resource_id: balancer.clone(),
            name: "SnatConnectionCount".to_owned(),
            unit: "Count".to_owned(),
            dimensions: BTreeMap::from([("ConnectionState".to_owned(), state.to_owned())]),
            points: vec![("2026-01-01T10:01:30Z".parse().unwrap(), count)],
        });
    }
    let ask = async |filter: &str| {
        let path = format!(
            "{balancer}/providers/Microsoft.Insights/metrics?api-version=2018-01-01&metricnames=SnatConnectionCount&timespan=2026-01-01T10:00:00Z/2026-01-01T10:05:00Z&interval=PT1M&aggregation=Total{filter}"
        );
        arm.get(&path).await.json()["value"][0]["timeseries"].clone()
    };
    let failed = ask("&$filter=ConnectionState%20eq%20'Failed'").await;
    assert_eq!(
        failed[0]["data"][1],
        json!({ "timeStamp": "2026-01-01T10:01:00Z", "total": 7.0 })
    );
    assert_eq!(failed[0]["data"].as_array().unwrap().len(), 5);
    let each = ask("&$filter=ConnectionState%20eq%20'*'").await;
    assert_eq!(each.as_array().unwrap().len(), 2);
    assert_eq!(
        each[0]["metadatavalues"][0]["name"]["value"],
        "connectionstate"
    );
    let first = ask("&$filter=ConnectionState%20eq%20'*'&top=1").await;
    assert_eq!(first.as_array().unwrap().len(), 1);
    let sum = ask("").await;
    assert_eq!(sum[0]["data"][1]["total"], 97.0);
}

#[tokio::test]
async fn a_metric_or_dimension_that_azure_does_not_have_is_refused() {
    let scenario = healthy();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let group = scenario.estate.cluster.node_resource_group();
    let balancer = scenario
        .estate
        .network_provider_id(&group, "loadBalancers", "kubernetes");
    for (query, said) in [
        ("SnatConnections", "Valid metrics: VipAvailability,"),
        (
            "UsedSnatPorts&$filter=ConnectionState%20eq%20'*'",
            "supported ones are: FrontendIPAddress,BackendIPAddress,ProtocolType",
        ),
    ] {
        let path = format!(
            "{balancer}/providers/Microsoft.Insights/metrics?api-version=2018-01-01&metricnames={query}"
        );
        let answer = arm.get(&path).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["code"], "BadRequest", "{query}");
        assert!(answer.text.contains(said), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn service_tags_are_those_of_the_estate() {
    let scenario = healthy();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Network/locations/westeurope/serviceTags?api-version=2024-05-01",
        scenario.estate.cluster.subscription
    );
    let tags = arm.get(&path).await.json();
    let tag = tags["values"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tag| tag["name"] == "AzureCloud.westeurope");
    assert_eq!(tag.unwrap()["properties"]["region"], "westeurope");
    assert!(
        !tag.unwrap()["properties"]["addressPrefixes"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn every_scenarios_estate_is_served_whole() {
    for name in builtin_scenario_names() {
        let scenario = builtin_scenario(name).unwrap();
        let estate = &scenario.estate;
        let arm = Arm::serve(estate, &quick()).await;
        let there = |id: &str| -> Value {
            arm.server
                .resource(id)
                .unwrap_or_else(|| panic!("{name}: {id} is missing"))
        };
        for group in &estate.network_security_groups {
            let shown = there(&estate.network_security_group_id(&group.name));
            let rules = shown["properties"]["securityRules"].as_array().unwrap();
            assert_eq!(rules.len(), group.all_rules().len(), "{name}");
            assert_eq!(
                shown["properties"]["defaultSecurityRules"]
                    .as_array()
                    .unwrap()
                    .len(),
                6
            );
        }
        let manager = estate.network_provider_id(
            "rg-network-governance",
            "networkManagers",
            "avnm-governance",
        );
        for rule in &estate.network.security_admin_rules {
            there(&format!(
                "{manager}/securityAdminConfigurations/security-baseline/ruleCollections/{}/rules/{}",
                rule.collection, rule.name
            ));
        }
        for table in &estate.route_tables {
            there(&estate.route_table_id(&table.name));
        }
        for firewall in &estate.firewalls {
            let group = &estate.cluster.resource_group;
            there(&estate.network_provider_id(group, "azureFirewalls", &firewall.name));
        }
        for node in estate.nodes() {
            let instance = there(&estate.instance_id(&node));
            assert_eq!(
                instance["properties"]["osProfile"]["computerName"],
                node.name.as_str()
            );
        }
        there(&estate.network_id());
        there(&estate.cluster.id());
    }
}
