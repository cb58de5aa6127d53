//! The whole lab: a rule written through ARM changes what a real `kubectl logs` gets.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use naosu_lab::lifecycle::{Lab, LabOptions};
use naosu_lab::{builtin_scenario, machine::Machine};
use reqwest::StatusCode;
use serde_json::json;
use tokio::process::Command;

struct Output {
    success: bool,
    stdout: String,
    stderr: String,
}

async fn kubectl(lab: &Lab, arguments: &[&str]) -> Output {
    let output = Command::new("kubectl")
        .args(arguments)
        .env("KUBECONFIG", lab.kubeconfig_file())
        .env("HOME", lab.directory())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(30), output).await;
    let output = output.expect("kubectl ends").expect("kubectl starts");
    Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn packets_are_possible() -> bool {
    let possible = Machine::start("trial", || Ok(())).is_ok();
    if !possible {
        println!("skipped: no network namespaces");
    }
    possible
}

fn kubectl_is_there() -> bool {
    let kubectl = std::process::Command::new("kubectl")
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .status();
    if !kubectl.is_ok_and(|status| status.success()) {
        println!("skipped: no kubectl");
        return false;
    }
    true
}

async fn start(name: &str, base: &Path) -> Lab {
    // Another test of this process may have done so already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = LabOptions {
        base_directory: base.to_owned(),
        ..LabOptions::default()
    };
    options.data_plane_options.dial_limit = Duration::from_millis(500);
    let scenario = builtin_scenario(name).expect("it is there");
    Lab::start(scenario, options).await.expect("it starts")
}

async fn wait_for_operation(http: &reqwest::Client, lab: &Lab, answer: reqwest::Response) {
    let header = answer.headers().get("azure-asyncoperation");
    let Some(url) = header.and_then(|url| url.to_str().ok()).map(str::to_owned) else {
        return;
    };
    for _ in 0..100 {
        let request = http.get(&url).bearer_auth(lab.arm().token());
        let status: serde_json::Value = request
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        match status["status"].as_str() {
            Some("InProgress") => tokio::time::sleep(Duration::from_millis(50)).await,
            Some("Succeeded") => return,
            other => panic!("the operation ended {other:?}"),
        }
    }
    panic!("the operation never ended");
}

#[tokio::test]
async fn a_rule_written_through_arm_brings_the_logs_back_and_its_removal_takes_them_away() {
    if !packets_are_possible() || !kubectl_is_there() {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let lab = start("nsg-deny-10250", base.path()).await;
    let far_node = "spec.nodeName=aks-nodepool1-28341567-vmss000001";
    let query = [
        "-n",
        "kube-system",
        "get",
        "pods",
        "-o",
        "name",
        "--field-selector",
        far_node,
    ];
    let pods = kubectl(&lab, &query).await;
    let pod = pods
        .stdout
        .lines()
        .next()
        .expect("a pod on the far node")
        .to_owned();
    let logs = ["-n", "kube-system", "logs", "--tail=1", pod.as_str()];

    let before = kubectl(&lab, &logs).await;
    assert!(!before.success, "{}", before.stdout);
    let symptom = "dial tcp 10.224.0.5:10250: i/o timeout";
    assert!(before.stderr.contains(symptom), "{}", before.stderr);

    let estate = &lab.scenario().estate;
    let group = estate.network_security_group_id("nsg-aks-subnet");
    let rule = format!(
        "{}{group}/securityRules/allow-kubelet?api-version=2024-05-01",
        lab.arm().endpoint()
    );
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let allow = json!({ "properties": {
        "priority": 199, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "10.224.0.0/16", "sourcePortRange": "*",
        "destinationAddressPrefix": "10.224.0.0/16", "destinationPortRange": "10250",
    }});
    let put = http.put(&rule).bearer_auth(lab.arm().token()).json(&allow);
    let answer = put.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED);
    wait_for_operation(&http, &lab, answer).await;
    let mended = kubectl(&lab, &logs).await;
    assert!(mended.success, "{}", mended.stderr);
    assert!(
        mended.stdout.contains("level=info pod="),
        "{}",
        mended.stdout
    );

    let delete = http.delete(&rule).bearer_auth(lab.arm().token());
    let answer = delete.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    wait_for_operation(&http, &lab, answer).await;
    let after = kubectl(&lab, &logs).await;
    assert!(after.stderr.contains(symptom), "{}", after.stderr);
}

async fn failed_connections(http: &reqwest::Client, lab: &Lab) -> f64 {
    let url = format!(
        "{}{}/providers/Microsoft.Insights/metrics",
        lab.arm().endpoint(),
        lab.scenario().estate.load_balancer_id()
    );
    let request = http.get(&url).bearer_auth(lab.arm().token()).query(&[
        ("api-version", "2018-01-01"),
        ("metricnames", "SnatConnectionCount"),
        ("interval", "PT1M"),
        ("aggregation", "Total"),
        ("$filter", "ConnectionState eq 'Failed'"),
    ]);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let metrics: serde_json::Value = answer.json().await.expect("JSON");
    let points = metrics.pointer("/value/0/timeseries/0/data");
    let points = points.and_then(serde_json::Value::as_array);
    let points = points.expect("a time series");
    points
        .iter()
        .filter_map(|point| point["total"].as_f64())
        .sum()
}

#[tokio::test]
async fn outbound_ports_run_out_for_real_and_more_of_them_let_the_agent_through() {
    if !packets_are_possible() {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let lab = start("snat-exhausted", base.path()).await;
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let tunnel = lab.data_plane();
    let agents = tunnel.agents().await;
    assert!(
        agents.iter().all(|agent| agent.running && !agent.connected),
        "{agents:?}"
    );
    assert!(failed_connections(&http, &lab).await >= 50.0);

    let url = format!(
        "{}{}?api-version=2025-05-01",
        lab.arm().endpoint(),
        lab.cluster_id()
    );
    let get = http.get(&url).bearer_auth(lab.arm().token());
    let answer = get.send().await.expect("an answer");
    let mut cluster: serde_json::Value = answer.json().await.expect("JSON");
    let profile = "/properties/networkProfile/loadBalancerProfile/allocatedOutboundPorts";
    *cluster.pointer_mut(profile).expect("the profile") = json!(1024);
    let put = http.put(&url).bearer_auth(lab.arm().token()).json(&cluster);
    let answer = put.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    wait_for_operation(&http, &lab, answer).await;
    let connected = async {
        while !tunnel.agents().await.iter().any(|agent| agent.connected) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let connected = tokio::time::timeout(Duration::from_secs(15), connected).await;
    assert!(connected.is_ok(), "the agent never connected");
}
