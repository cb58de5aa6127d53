//! What the emulated Azure refuses before any resource is asked, and how a
//! test makes it misbehave.

mod support;

use std::time::Duration;

use naosu_lab::arm::ArmOptions;
use naosu_lab::builtin_scenario;
use naosu_lab::wire::{Authority, CannedResponse, Fault, FaultAction};
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{Arm, answer, quick};

const VERSION: &str = "?api-version=2024-05-01";

async fn lab() -> (Arm, String) {
    let scenario = builtin_scenario("nsg-deny-10250").unwrap();
    let group = scenario.estate.network_security_group_id("nsg-aks-subnet");
    (Arm::serve(&scenario.estate, &quick()).await, group)
}

#[tokio::test]
async fn without_a_good_token_the_answer_is_a_challenge() {
    let (arm, group) = lab().await;
    let url = format!("{}{group}{VERSION}", arm.server.endpoint());
    let none = answer(arm.client.get(&url)).await;
    assert_eq!(
        (none.status, none.error_code().as_str()),
        (401, "AuthenticationFailed")
    );
    assert!(
        none.header("www-authenticate")
            .starts_with("Bearer authorization_uri=\"")
    );
    let wrong = answer(arm.client.get(&url).bearer_auth("x.y.z")).await;
    assert_eq!(wrong.error_code(), "InvalidAuthenticationToken");
    arm.server.expire_tokens();
    let old = answer(arm.client.get(&url).bearer_auth(&arm.token)).await;
    assert_eq!(
        (old.status, old.error_code().as_str()),
        (401, "ExpiredAuthenticationToken")
    );
}

#[tokio::test]
async fn a_token_comes_for_the_secret_the_assertion_and_the_managed_identity() {
    let scenario = builtin_scenario("healthy").unwrap();
    let identity = Authority::generate().unwrap().loopback_identity().unwrap();
    let options = ArmOptions {
        identity: Some(identity),
        ..ArmOptions::default()
    };
    let arm = Arm::serve_with(&scenario.estate, &quick(), options).await;
    let server = &arm.server;
    assert!(
        server
            .authority()
            .unwrap()
            .starts_with("https://localhost:")
    );
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        server.endpoint(),
        server.tenant()
    );
    let form = |extra: &[(&str, &str)]| {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        body.append_pair("client_id", server.client_id());
        body.append_pair("scope", "https://management.azure.com/.default");
        extra.iter().for_each(|(name, value)| {
            body.append_pair(name, value);
        });
        arm.client
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish())
    };
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let accepted = [
        answer(form(&[("client_secret", server.client_secret())])).await,
        answer(form(&[
            ("client_assertion_type", assertion_type),
            ("client_assertion", "a.b.c"),
        ]))
        .await,
        answer(
            arm.client
                .get(format!(
                    "{}?api-version=2019-08-01&resource=r",
                    server.managed_identity_endpoint()
                ))
                .header("x-identity-header", server.client_secret()),
        )
        .await,
    ];
    for token in accepted {
        let token = token.json()["access_token"].as_str().unwrap().to_owned();
        let url = format!(
            "{}{}{VERSION}",
            server.endpoint(),
            scenario.estate.network_id()
        );
        assert_eq!(
            answer(arm.client.get(url).bearer_auth(token)).await.status,
            200
        );
    }
    let refused = answer(form(&[("client_secret", "wrong")])).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error_codes"], json!([7_000_215]));
}

#[tokio::test]
async fn the_api_version_is_required_and_checked() {
    let (arm, group) = lab().await;
    assert_eq!(
        arm.get(&group).await.error_code(),
        "MissingApiVersionParameter"
    );
    let bad = arm.get(&format!("{group}?api-version=latest")).await;
    assert_eq!(
        (bad.status, bad.error_code().as_str()),
        (400, "InvalidApiVersionParameter")
    );
    let scenario = builtin_scenario("healthy").unwrap();
    let nodes = scenario.estate.nodes();
    let interfaces = format!(
        "{}/networkInterfaces",
        scenario.estate.instance_id(&nodes[0])
    );
    let old = arm
        .get(&format!("{interfaces}?api-version=2018-10-01"))
        .await;
    assert_eq!(
        old.json()["value"][0]["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"],
        "10.224.0.4"
    );
    let new = arm
        .get(&format!("{interfaces}?api-version=2024-05-01"))
        .await;
    assert_eq!(new.error_code(), "NoRegisteredProviderFound");
}

#[tokio::test]
async fn each_not_found_has_its_own_shape() {
    let (arm, group) = lab().await;
    let get = async |path: String| arm.get(&format!("{path}{VERSION}")).await;
    let child = get(format!("{group}/securityRules/none")).await;
    assert_eq!(
        (
            child.error_code().as_str(),
            child.header("x-ms-failure-cause")
        ),
        ("NotFound", "")
    );
    let resource = get(format!("{group}x")).await;
    assert_eq!(
        (
            resource.error_code().as_str(),
            resource.header("x-ms-failure-cause")
        ),
        ("ResourceNotFound", "gateway")
    );
    let resource_group = get(group.replace("rg-lab", "rg-none")).await;
    assert_eq!(resource_group.error_code(), "ResourceGroupNotFound");
    let subscription = get("/subscriptions/0/resourceGroups/a".to_owned()).await;
    assert_eq!(subscription.error_code(), "SubscriptionNotFound");
    let rule = json!({ "properties": {} });
    let parent = arm
        .send(
            Method::PUT,
            &format!("{group}x/securityRules/r{VERSION}"),
            Some(&rule),
        )
        .await;
    assert_eq!(
        (parent.status, parent.error_code().as_str()),
        (404, "ParentResourceNotFound")
    );
    assert!(
        arm.server
            .requests()
            .writes()
            .iter()
            .all(|write| write.status == Some(404))
    );
}

#[tokio::test]
async fn lockdown_allows_reading_only_and_missing_rights_not_even_that() {
    let scenario = builtin_scenario("nsg-lockdown").unwrap();
    let arm = Arm::serve(&scenario.estate, &quick()).await;
    let node_group = scenario.estate.cluster.node_resource_group();
    let id = scenario
        .estate
        .network_provider_id(&node_group, "networkSecurityGroups", "new");
    let body = json!({ "location": "westeurope" });
    let refused = arm
        .send(Method::PUT, &format!("{id}{VERSION}"), Some(&body))
        .await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (403, "DenyAssignmentAuthorizationFailed")
    );
    let list = format!("{}{VERSION}", id.trim_end_matches("/new"));
    assert_eq!(arm.get(&list).await.status, 200);
    let assignments = format!(
        "{}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01",
        scenario.estate.cluster.group_id(&node_group)
    );
    let assignments = arm.get(&assignments).await.json();
    assert_eq!(
        assignments["value"][0]["properties"]["isSystemProtected"],
        true
    );
    arm.server.forbid("*/networkSecurityGroups*");
    let refused = arm.get(&list).await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (403, "AuthorizationFailed")
    );
    assert!(
        refused
            .text
            .contains("'Microsoft.Network/networkSecurityGroups/read'")
    );
}

#[tokio::test]
async fn injected_faults_catch_the_requests_they_name_and_no_others() {
    let (arm, group) = lab().await;
    let path = format!("{group}{VERSION}");
    let faults = arm.server.faults();
    let respond = |response| FaultAction::Respond(response);
    faults.inject(Fault::once(
        Method::GET,
        "*/networkSecurityGroups/*",
        respond(CannedResponse::throttled(7)),
    ));
    let throttled = arm.get(&path).await;
    assert_eq!(
        (throttled.status, throttled.header("retry-after")),
        (429, "7")
    );
    faults.inject(Fault::once(
        Method::GET,
        "*",
        respond(CannedResponse::garbage()),
    ));
    assert!(serde_json::from_str::<serde_json::Value>(&arm.get(&path).await.text).is_err());
    faults.inject(Fault::once(
        Method::GET,
        "*",
        respond(CannedResponse::empty()),
    ));
    assert_eq!(arm.get(&path).await.text, "");
    let broken = CannedResponse::arm_error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "broken",
    );
    faults.inject(Fault::times(2, "*", respond(broken)));
    assert_eq!(arm.get(&path).await.status, 500);
    assert_eq!(arm.get(&path).await.status, 500);
    assert_eq!(arm.get(&path).await.status, 200);
    faults.inject(Fault::once(Method::GET, "*", FaultAction::Close));
    let url = format!("{}{path}", arm.server.endpoint());
    assert!(
        arm.client
            .get(&url)
            .bearer_auth(&arm.token)
            .send()
            .await
            .is_err()
    );
    faults.inject(Fault::once(Method::GET, "*", FaultAction::Hang));
    let hanging = arm
        .client
        .get(&url)
        .bearer_auth(&arm.token)
        .timeout(Duration::from_millis(100));
    assert!(hanging.send().await.unwrap_err().is_timeout());
    faults.inject(Fault::once(
        Method::PUT,
        "*",
        respond(CannedResponse::empty()),
    ));
    assert_eq!(arm.get(&path).await.status, 200, "of another method");
    assert_eq!(faults.pending(), 1);
    faults.clear();
    assert!(arm.server.requests().writes().is_empty());
}

#[tokio::test]
async fn a_lost_response_has_had_its_effect() {
    let (arm, group) = lab().await;
    arm.server
        .faults()
        .inject(Fault::once(Method::DELETE, "*", FaultAction::LoseResponse));
    let rule = format!("{group}/securityRules/deny-kubelet{VERSION}");
    let url = format!("{}{rule}", arm.server.endpoint());
    assert!(
        arm.client
            .delete(url)
            .bearer_auth(&arm.token)
            .send()
            .await
            .is_err()
    );
    assert_eq!(arm.get(&rule).await.status, 404);
    let writes = arm.server.requests().writes();
    assert_eq!((writes.len(), writes[0].status), (1, None));
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let scenario = builtin_scenario("healthy").unwrap();
    let options = ArmOptions {
        page_size: 2,
        ..ArmOptions::default()
    };
    let arm = Arm::serve_with(&scenario.estate, &quick(), options).await;
    let group = scenario
        .estate
        .cluster
        .group_id(&scenario.estate.cluster.node_resource_group());
    let set = scenario.estate.nodes()[0].scale_set.clone();
    let path = format!(
        "{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{set}/virtualMachines?api-version=2024-07-01"
    );
    let first = arm.get(&path).await.json();
    assert_eq!(first["value"].as_array().unwrap().len(), 2);
    let second = arm.get(first["nextLink"].as_str().unwrap()).await.json();
    assert_eq!(second["value"].as_array().unwrap().len(), 1);
    assert_eq!(second["value"][0]["instanceId"], "2");
    assert!(second.get("nextLink").is_none());
}
