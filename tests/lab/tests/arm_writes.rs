//! Writes to the emulated Azure: what changes, what is enforced, and what is
//! refused without changing anything.

mod support;

use naosu_lab::builtin_scenario;
use naosu_lab::scenario::Switches;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Arm, quick};

const VERSION: &str = "?api-version=2024-05-01";

fn rule(priority: u32) -> Value {
    json!({ "properties": {
        "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority,
        "sourceAddressPrefix": "10.224.0.0/16", "sourcePortRange": "*",
        "destinationAddressPrefix": "10.224.0.0/16", "destinationPortRange": "10250",
    }})
}

/// The lab of `nsg-deny-10250`, with the id of its security group.
async fn lab(switches: &Switches) -> (Arm, String) {
    let scenario = builtin_scenario("nsg-deny-10250").unwrap();
    let group = scenario.estate.network_security_group_id("nsg-aks-subnet");
    (Arm::serve(&scenario.estate, switches).await, group)
}

impl Arm {
    async fn put(&self, id: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.send_with(Method::PUT, &format!("{id}{VERSION}"), Some(body), headers)
            .await
    }

    async fn read(&self, id: &str) -> Answer {
        self.get(&format!("{id}{VERSION}")).await
    }

    /// Settled writes: how often the packets were told.
    fn enforcements(&self) -> usize {
        self.data_plane.enforced.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_rule_written_on_its_own_is_in_the_group_under_a_new_etag_and_in_the_packets() {
    let (arm, group) = lab(&quick()).await;
    let before = arm.read(&group).await;
    let enforced = arm.enforcements();
    let written = arm
        .put(&format!("{group}/securityRules/allow"), &rule(199), &[])
        .await;
    assert_eq!(written.status, 201, "{written:?}");
    assert_eq!(
        written.json()["properties"]["provisioningState"],
        "Updating"
    );
    assert_eq!(
        arm.settled(&written).await.json(),
        json!({ "status": "Succeeded" })
    );
    let after = arm.read(&group).await;
    assert_ne!(before.header("etag"), after.header("etag"));
    assert_eq!(after.json()["etag"], after.header("etag"));
    let rules = after.json()["properties"]["securityRules"].clone();
    let names: Vec<&str> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"allow") && names.contains(&"deny-kubelet"));
    assert_eq!(
        rules[0]["etag"],
        after.header("etag"),
        "children share the version"
    );
    assert_eq!(arm.enforcements(), enforced + 1);
    let told = arm
        .data_plane
        .enforced
        .lock()
        .unwrap()
        .last()
        .unwrap()
        .get(&group)
        .unwrap()
        .clone();
    assert!(told.to_string().contains("/securityRules/allow"));
}

#[tokio::test]
async fn ids_are_compared_without_case_and_given_back_as_created() {
    let (arm, group) = lab(&quick()).await;
    let answer = arm
        .read(
            &group
                .to_uppercase()
                .replace("/SUBSCRIPTIONS/", "/subscriptions/"),
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["id"], group);
    let cluster = arm
        .server
        .resource(&builtin_scenario("healthy").unwrap().estate.cluster.id())
        .unwrap();
    assert!(cluster["id"].as_str().unwrap().contains("/resourcegroups/"));
}

#[tokio::test]
async fn a_write_under_an_old_etag_is_refused_and_changes_nothing() {
    let (arm, group) = lab(&quick()).await;
    let stale = arm.read(&group).await.header("etag").to_owned();
    let id = format!("{group}/securityRules/allow");
    arm.settled(&arm.put(&id, &rule(199), &[]).await).await;
    let enforced = arm.enforcements();
    let refused = arm.put(&id, &rule(198), &[("if-match", &stale)]).await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (412, "PreconditionFailed")
    );
    assert_eq!(
        refused.json()["error"]["details"][0]["code"],
        "PreconditionFailedEtagMismatch"
    );
    assert_eq!(arm.read(&id).await.json()["properties"]["priority"], 199);
    assert_eq!(arm.enforcements(), enforced);
    let exists = arm.put(&id, &rule(198), &[("if-none-match", "*")]).await;
    assert_eq!(exists.status, 412);
    let fresh = arm.read(&id).await.header("etag").to_owned();
    assert_eq!(
        arm.put(&id, &rule(198), &[("if-match", &fresh)])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_deleted_rule_is_gone_and_deleting_it_again_answers_no_content() {
    let (arm, group) = lab(&quick()).await;
    let path = format!("{group}/securityRules/deny-kubelet{VERSION}");
    let deleted = arm.send(Method::DELETE, &path, None).await;
    assert_eq!(deleted.status, 202);
    assert!(!deleted.header("location").is_empty());
    arm.settled(&deleted).await;
    let location = arm.get(deleted.header("location")).await;
    assert_eq!(location.status, 204, "{location:?}");
    let gone = arm.get(&path).await;
    assert_eq!((gone.status, gone.error_code().as_str()), (404, "NotFound"));
    assert_eq!(gone.json()["error"]["details"], json!([]));
    assert_eq!(arm.send(Method::DELETE, &path, None).await.status, 204);
}

#[tokio::test]
async fn bad_rules_are_refused_with_azures_codes() {
    let (arm, group) = lab(&quick()).await;
    let before = arm.server.resource(&group);
    let mut host_bits = rule(300);
    host_bits["properties"]["sourceAddressPrefix"] = json!("10.224.0.1/16");
    let mut tag_in_list = rule(300);
    tag_in_list["properties"]["sourceAddressPrefix"] = Value::Null;
    tag_in_list["properties"]["sourceAddressPrefixes"] = json!(["10.0.0.0/8", "VirtualNetwork"]);
    let cases = [
        (rule(200), "SecurityRuleConflict"),
        (rule(99), "SecurityRuleInvalidPriority"),
        (host_bits, "SecurityRuleInvalidAddressPrefix"),
        (tag_in_list, "SecurityRuleParameterContainsUnsupportedValue"),
        (json!({ "properties": {} }), "SecurityRuleParameterMissing"),
    ];
    for (body, code) in cases {
        let refused = arm
            .put(&format!("{group}/securityRules/bad"), &body, &[])
            .await;
        assert_eq!((refused.status, refused.error_code().as_str()), (400, code));
    }
    let garbage = arm
        .client
        .put(format!("{}{group}{VERSION}", arm.server.endpoint()))
        .bearer_auth(&arm.token)
        .body("{");
    let garbage = support::answer(garbage).await;
    assert_eq!(
        (garbage.status, garbage.error_code().as_str()),
        (400, "InvalidRequestContent")
    );
    assert_eq!(arm.server.resource(&group), before);
}

#[tokio::test]
async fn a_group_in_use_cannot_be_deleted_and_says_by_whom_it_is_used() {
    let (arm, group) = lab(&quick()).await;
    let refused = arm
        .send(Method::DELETE, &format!("{group}{VERSION}"), None)
        .await;
    assert_eq!(
        refused.error_code(),
        "InUseNetworkSecurityGroupCannotBeDeleted"
    );
    assert!(refused.text.contains("/subnets/aks-subnet"));
    let shown = arm.read(&group).await.json();
    assert!(
        shown["properties"]["subnets"][0]["id"]
            .as_str()
            .unwrap()
            .ends_with("/subnets/aks-subnet")
    );
}

#[tokio::test]
async fn a_second_write_during_an_operation_is_told_to_come_again() {
    let switches = Switches {
        operation_milliseconds: 300,
        ..quick()
    };
    let (arm, group) = lab(&switches).await;
    let first = arm
        .put(&format!("{group}/securityRules/a"), &rule(300), &[])
        .await;
    let second = arm
        .put(&format!("{group}/securityRules/b"), &rule(301), &[])
        .await;
    assert_eq!(
        (second.status, second.error_code().as_str()),
        (429, "RetryableError")
    );
    assert_eq!(
        second.json()["error"]["details"][0]["code"],
        "RetryableErrorDueToAnotherOperation"
    );
    let polled = arm.get(first.header("azure-asyncoperation")).await;
    assert_eq!(polled.json()["status"], "InProgress");
    assert_eq!(polled.header("retry-after"), "0");
    arm.settled(&first).await;
    assert_eq!(
        arm.put(&format!("{group}/securityRules/b"), &rule(301), &[])
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn an_operation_that_fails_leaves_its_mark_and_nothing_of_what_was_asked() {
    let switches = Switches {
        async_failures: 1,
        ..quick()
    };
    let (arm, group) = lab(&switches).await;
    let before = arm.server.resource(&group).unwrap();
    let id = format!("{group}/securityRules/allow");
    let accepted = arm.put(&id, &rule(199), &[]).await;
    assert_eq!(accepted.status, 201);
    let ended = arm.settled(&accepted).await.json();
    assert_eq!(ended["status"], "Failed");
    assert_eq!(ended["error"]["code"], "AnotherOperationInProgress");
    let after = arm.server.resource(&group).unwrap();
    assert_eq!(after["properties"]["provisioningState"], "Failed");
    assert_ne!(after["etag"], before["etag"]);
    let names = |group: &Value| -> Vec<Value> {
        let rules = group["properties"]["securityRules"].as_array().unwrap();
        rules.iter().map(|rule| rule["name"].clone()).collect()
    };
    assert_eq!(names(&after), names(&before));
    let again = arm.put(&id, &rule(199), &[]).await;
    assert_eq!(arm.settled(&again).await.json()["status"], "Succeeded");
    let mended = arm.server.resource(&group).unwrap();
    assert_eq!(mended["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn what_the_packets_cannot_follow_is_taken_back() {
    let (arm, group) = lab(&quick()).await;
    let before = arm.server.resource(&group);
    *arm.data_plane.refuse_enforcing.lock().unwrap() = true;
    let accepted = arm
        .put(&format!("{group}/securityRules/allow"), &rule(199), &[])
        .await;
    assert_eq!(arm.settled(&accepted).await.json()["status"], "Failed");
    assert_eq!(arm.server.resource(&group), before);
}

#[tokio::test]
async fn someone_elses_write_in_between_makes_a_conditional_write_fail_once() {
    let switches = Switches {
        etag_conflicts: 1,
        ..quick()
    };
    let (arm, group) = lab(&switches).await;
    let read = arm.read(&group).await;
    let body = read.json();
    let refused = arm
        .put(&group, &body, &[("if-match", read.header("etag"))])
        .await;
    assert_eq!(refused.status, 412);
    let fresh = arm.read(&group).await;
    assert_ne!(fresh.header("etag"), read.header("etag"));
    let accepted = arm
        .put(&group, &body, &[("if-match", fresh.header("etag"))])
        .await;
    assert_eq!(accepted.status, 200);
}

#[tokio::test]
async fn a_firewall_keeps_the_private_address_that_only_azure_sets() {
    let scenario = builtin_scenario("egress-firewall-tunnelfront").unwrap();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let group = &scenario.estate.cluster.resource_group;
    let id = scenario
        .estate
        .network_provider_id(group, "azureFirewalls", "fw-egress");
    let address = "/properties/ipConfigurations/0/properties/privateIPAddress";
    let mut body = arm.read(&id).await.json();
    assert_eq!(body.pointer(address), Some(&json!("10.225.0.4")));
    for sent in [Value::Null, json!("10.225.0.99")] {
        *body.pointer_mut(address).unwrap() = sent;
        let accepted = arm.put(&id, &body, &[]).await;
        assert_eq!(arm.settled(&accepted).await.json()["status"], "Succeeded");
        let kept = arm.read(&id).await.json();
        assert_eq!(kept.pointer(address), Some(&json!("10.225.0.4")));
    }
}

#[tokio::test]
async fn outbound_ports_follow_the_clusters_profile_into_its_load_balancer() {
    let scenario = builtin_scenario("healthy").unwrap();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let id = scenario.estate.cluster.id();
    let mut cluster = arm
        .get(&format!("{id}?api-version=2025-02-01"))
        .await
        .json();
    let profile = &mut cluster["properties"]["networkProfile"]["loadBalancerProfile"];
    profile["allocatedOutboundPorts"] = json!(21_000);
    let path = format!("{id}?api-version=2025-02-01");
    let refused = arm.send(Method::PUT, &path, Some(&cluster)).await;
    assert_eq!(
        refused.error_code(),
        "InvalidLoadBalancerProfileAllocatedOutboundPorts"
    );
    assert_eq!(
        refused.json()["error"]["target"],
        "networkProfile.loadBalancerProfile.allocatedOutboundPorts"
    );
    let profile = &mut cluster["properties"]["networkProfile"]["loadBalancerProfile"];
    profile["allocatedOutboundPorts"] = json!(24_000);
    profile["managedOutboundIPs"]["count"] = json!(2);
    let accepted = arm.send(Method::PUT, &path, Some(&cluster)).await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
    let ended = arm.settled(&accepted).await.json();
    assert_eq!(ended["status"], "Succeeded");
    assert!(ended["endTime"].is_string() && ended["name"].is_string());
    let group = scenario.estate.cluster.node_resource_group();
    let balancer = scenario
        .estate
        .network_provider_id(&group, "loadBalancers", "kubernetes");
    let balancer = arm.server.resource(&balancer).unwrap();
    let rule = &balancer["properties"]["outboundRules"][0]["properties"];
    assert_eq!(rule["allocatedOutboundPorts"], 24_000);
    assert_eq!(
        rule["frontendIPConfigurations"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_change_to_a_nat_gateway_and_back_leaves_the_group_as_it_was() {
    let scenario = builtin_scenario("snat-exhausted").unwrap();
    let estate = &scenario.estate;
    let arm = Arm::serve(estate, &quick()).await;
    let path = format!("{}?api-version=2025-02-01", estate.cluster.id());
    let group = estate.cluster.node_resource_group();
    let gateway = estate.network_provider_id(&group, "natGateways", "aks-nat-gateway");
    let balancer = estate.load_balancer_id();
    let network = || {
        let network = arm.server.resource(&estate.network_id()).unwrap();
        network["properties"]["subnets"][0]["properties"].clone()
    };
    let before = arm.get(&path).await.json();
    let put = async |change: &dyn Fn(&mut Value)| {
        let mut cluster = arm.get(&path).await.json();
        change(&mut cluster["properties"]["networkProfile"]);
        let accepted = arm.send(Method::PUT, &path, Some(&cluster)).await;
        assert_eq!(accepted.status, 200, "{accepted:?}");
        assert_eq!(arm.settled(&accepted).await.json()["status"], "Succeeded");
    };
    put(&|profile| {
        profile["outboundType"] = json!("managedNATGateway");
        profile["natGatewayProfile"] = json!({ "managedOutboundIPProfile": { "count": 2 } });
    })
    .await;
    let made = arm.server.resource(&gateway).unwrap();
    let addresses = made["properties"]["publicIpAddresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 2);
    assert_eq!(network()["natGateway"]["id"], made["id"]);
    assert!(arm.server.resource(&balancer).is_none());
    let profile = &arm.get(&path).await.json()["properties"]["networkProfile"];
    assert!(profile.get("loadBalancerProfile").is_none());
    let effective = &profile["natGatewayProfile"]["effectiveOutboundIPs"];
    assert_eq!(effective.as_array().unwrap().len(), 2);
    let was = before["properties"]["networkProfile"].clone();
    put(&|profile| *profile = was.clone()).await;
    let after = arm.get(&path).await.json();
    assert_eq!(after["properties"]["networkProfile"], was);
    assert!(arm.server.resource(&gateway).is_none());
    assert!(network().get("natGateway").is_none());
    let rule = &arm.server.resource(&balancer).unwrap()["properties"]["outboundRules"][0];
    assert_eq!(rule["properties"]["allocatedOutboundPorts"], 64);
}
