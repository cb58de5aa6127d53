//! What a network tells of the security admin rules in force on it, and to whom.

mod support;

use naosu_lab::arm::ArmOptions;
use naosu_lab::estate::Estate;
use naosu_lab::scenario::Switches;
use naosu_lab::{Scenario, builtin_scenario};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Arm, quick};

const ACTION: &str = "listNetworkManagerEffectiveSecurityAdminRules";
const VERSION: &str = "?api-version=2024-05-01";

fn governed() -> Scenario {
    builtin_scenario("nsg-admin-rule-hands-on").unwrap()
}

async fn ask(arm: &Arm, estate: &Estate, body: &Value) -> Answer {
    let path = format!("{}/{ACTION}{VERSION}", estate.network_id());
    arm.send(Method::POST, &path, Some(body)).await
}

fn manager(estate: &Estate) -> String {
    estate.network_provider_id(
        "rg-network-governance",
        "networkManagers",
        "avnm-governance",
    )
}

#[tokio::test]
async fn a_rule_in_force_is_told_by_its_id_with_what_it_belongs_to() {
    let estate = governed().estate;
    let arm = Arm::serve(&estate, &quick()).await;
    let answer = ask(&arm, &estate, &json!({})).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["skipToken"], "");
    let rules = answer["value"].as_array().unwrap();
    assert_eq!(rules.len(), 2, "{answer:#}");
    let manager = manager(&estate);
    let configuration = format!("{manager}/securityAdminConfigurations/security-baseline");
    let mut rule = rules
        .iter()
        .find(|rule| rule["id"].as_str().unwrap().ends_with("/deny-high-ports"))
        .unwrap()
        .clone();
    let guid = rule["properties"]["resourceGuid"].take();
    assert_eq!(guid.as_str().unwrap().len(), 36);
    let group = format!("{manager}/networkGroups/all-networks");
    assert_eq!(
        rule,
        json!({
            "id": format!("{configuration}/ruleCollections/baseline/rules/deny-high-ports"),
            "configurationDescription": "What every network keeps to",
            "ruleCollectionDescription": "The rules of baseline",
            "ruleCollectionAppliesToGroups": [{ "networkGroupId": group }],
            "ruleGroups": [{ "id": group, "properties": {
                "description": "Every network",
                "memberType": "VirtualNetwork",
                "provisioningState": "Succeeded",
            }}],
            "kind": "Custom",
            "properties": {
                "protocol": "Tcp",
                "sources": [
                    { "addressPrefix": "VirtualNetwork", "addressPrefixType": "ServiceTag" },
                ],
                "destinations": [{ "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
                "sourcePortRanges": ["0-65535"],
                "destinationPortRanges": ["10000-20000"],
                "access": "Deny",
                "priority": 20,
                "direction": "Inbound",
                "provisioningState": "Succeeded",
                "resourceGuid": null,
            },
        })
    );
    assert!(
        arm.server.requests().writes().is_empty(),
        "asking writes nothing"
    );
}

#[tokio::test]
async fn pages_go_on_by_the_token_in_the_body() {
    let estate = governed().estate;
    let options = ArmOptions {
        page_size: 1,
        ..ArmOptions::default()
    };
    let arm = Arm::serve_with(&estate, &quick(), options).await;
    let mut ids = Vec::new();
    let mut body = json!({});
    for _ in 0..2 {
        let page = ask(&arm, &estate, &body).await.json();
        ids.push(page["value"][0]["id"].as_str().unwrap().to_owned());
        body = json!({ "skipToken": page["skipToken"] });
    }
    assert_eq!(body["skipToken"], "", "two rules are two pages");
    assert!(
        ids[0].ends_with("baseline/rules/deny-high-ports"),
        "{ids:?}"
    );
    assert!(
        ids[1].ends_with("exceptions/rules/allow-node-management"),
        "{ids:?}"
    );
    for wrong in [
        json!({ "skipToken": "x" }),
        json!([]),
        json!({ "skipToken": 1 }),
    ] {
        assert_eq!(ask(&arm, &estate, &wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_network_that_no_manager_governs_has_no_rule() {
    let estate = builtin_scenario("healthy").unwrap().estate;
    let arm = Arm::serve(&estate, &quick()).await;
    let answer = ask(&arm, &estate, &json!({})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({ "value": [], "skipToken": "" }));
    let missing = format!("{}x/{ACTION}{VERSION}", estate.network_id());
    let missing = arm.send(Method::POST, &missing, Some(&json!({}))).await;
    assert_eq!(missing.status, 404);
    let path = format!("{}{VERSION}", manager(&estate));
    assert_eq!(arm.get(&path).await.status, 404);
}

#[tokio::test]
async fn who_lacks_the_permission_of_the_action_is_told_so() {
    let estate = governed().estate;
    let switches = Switches {
        forbidden_paths: vec![format!("*/{ACTION}")],
        ..quick()
    };
    let arm = Arm::serve(&estate, &switches).await;
    let refused = ask(&arm, &estate, &json!({})).await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (403, "AuthorizationFailed")
    );
    let message = refused.json()["error"]["message"].clone();
    let action = format!("'Microsoft.Network/virtualNetworks/{ACTION}/action'");
    assert!(message.as_str().unwrap().contains(&action), "{message}");
    let network = format!("{}{VERSION}", estate.network_id());
    assert_eq!(arm.get(&network).await.status, 200, "all else is allowed");
}

#[tokio::test]
async fn a_network_manager_can_be_read_and_not_written() {
    let estate = governed().estate;
    let arm = Arm::serve(&estate, &quick()).await;
    let collection = format!(
        "{}/securityAdminConfigurations/security-baseline/ruleCollections/baseline",
        manager(&estate)
    );
    let rules = arm
        .get(&format!("{collection}/rules{VERSION}"))
        .await
        .json();
    assert_eq!(rules["value"].as_array().unwrap().len(), 1);
    let rule = format!("{collection}/rules/deny-high-ports{VERSION}");
    let shown = arm.get(&rule).await.json();
    assert_eq!(shown["name"], "deny-high-ports");
    for method in [Method::PUT, Method::DELETE] {
        let refused = arm.send(method.clone(), &rule, Some(&shown)).await;
        assert_eq!(
            (refused.status, refused.error_code().as_str()),
            (403, "AuthorizationFailed"),
            "{method}"
        );
    }
    let still = ask(&arm, &estate, &json!({})).await.json();
    assert_eq!(still["value"].as_array().unwrap().len(), 2);
}
