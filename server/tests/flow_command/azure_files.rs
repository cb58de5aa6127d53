//! Files of Azure resources: in both forms, whole, and in any order.

use std::path::Path;

use serde_json::{Value, json};

use crate::{flow, json as answer, sample};

const POLICIES: &str =
    "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/firewallPolicies";
const OUT: &str = "explain --from 10.20.1.4 --to 203.0.113.0/24 --port 443/tcp \
     --vnet-prefix 10.20.0.0/16";

const ONE: &str = "explain --from 10.20.1.4 --to 203.0.113.7 --port 443/tcp";

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(sample(name)).unwrap()).unwrap()
}

fn write(folder: &Path, name: &str, value: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path.display().to_string()
}

/// A resource as `az ... show` prints it.
fn flattened(resource: &Value) -> Value {
    let mut flat = resource.clone();
    let Some(members) = flat.as_object_mut() else {
        return flat;
    };
    if let Some(Value::Object(properties)) = members.remove("properties") {
        members.extend(properties);
        members.insert("resourceGroup".to_owned(), json!("r"));
        members.insert("provisioningState".to_owned(), json!("Succeeded"));
    }
    for value in members.values_mut() {
        if let Value::Array(items) = value {
            *items = items.iter().map(flattened).collect();
        }
    }
    flat
}

/// Code, message and next step of a failure.
fn refused(arguments: &str) -> [String; 3] {
    let output = flow(&format!("{arguments} -o json"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    ["code", "message", "next"].map(|field| said["error"][field].as_str().unwrap().to_owned())
}

#[test]
fn what_az_show_prints_answers_like_what_arm_returns() {
    let folder = tempfile::tempdir().unwrap();
    let flat = |name: &str| {
        let printed = match read(name) {
            // Lists come without what is around them.
            whole if whole["value"].is_array() => {
                let items = whole["value"].as_array().unwrap().iter();
                Value::Array(items.map(flattened).collect())
            }
            one => flattened(&one),
        };
        write(folder.path(), name, &printed)
    };
    let same = |name: &str| name.to_owned();
    let questions = |file: &dyn Fn(&str) -> String| {
        [
            format!(
                "explain --nsg {} --from 10.20.0.0/16 --to 10.20.0.5 --port 10250/tcp,8443/tcp",
                file("nsg-open.json")
            ),
            format!(
                "delta --kind nsg --before {} --after {}",
                file("nsg-closed.json"),
                file("nsg-open.json")
            ),
            format!(
                "{OUT} --from-nsg {} --route-table {} --firewall {} --ip-group {}",
                file("nsg-open.json"),
                file("routes.json"),
                file("firewall.json"),
                file("ip-group.json")
            ),
            format!(
                "{OUT} --firewall-policy {} --rule-collections {}",
                file("firewall-policy.json"),
                file("rule-collections.json")
            ),
        ]
    };
    for (arm, shown) in questions(&same).into_iter().zip(questions(&flat)) {
        assert_eq!(answer(&shown), answer(&arm), "{shown}");
    }
    // `rule-collection-group show` prints one group.
    let group = flattened(&read("rule-collections.json")["value"][0]);
    let group = write(folder.path(), "group.json", &group);
    let with = |groups: &str| {
        answer(&format!(
            "{OUT} --firewall-policy firewall-policy.json --rule-collections {groups}"
        ))
    };
    assert_eq!(with(&group), with("rule-collections.json"));
}

#[test]
fn a_file_in_both_forms_that_disagree_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = read("nsg-open.json");
    group["properties"]["securityRules"][1]["access"] = json!("Allow");
    let file = write(folder.path(), "nsg.json", &group);
    let [code, message, _] = refused(&format!(
        "explain --nsg {file} --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp"
    ));
    assert_eq!(code, "ruleset_malformed");
    assert!(
        message.contains("rule deny-kubelet: access and properties"),
        "{message}"
    );
}

#[test]
fn a_wrong_field_of_a_flattened_file_is_named_with_what_prints_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "nsg.json",
        &flattened(&read("nsg-bad-port.json")),
    );
    let [code, message, next] = refused(&format!(
        "explain --nsg {file} --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp"
    ));
    assert_eq!(code, "ruleset_malformed");
    for part in ["deny-kubelet", "destinationPortRange", "70000"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(next.contains("az network nsg show"), "{next}");
    assert!(
        next.contains("az rest --method get --url \"ID?api-version="),
        "{next}"
    );
}

#[test]
fn a_firewall_policy_is_judged_with_its_parent_in_any_order_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let id = |name: &str| format!("{POLICIES}/{name}");
    let group = |policy: &str, name: &str, mut properties: Value| {
        properties["priority"] = json!(200);
        json!({ "id": format!("{}/ruleCollectionGroups/{name}", id(policy)), "name": name,
            "properties": properties })
    };
    // The parent denies what the child allows.
    let allowing = read("rule-collections.json")["value"][0]["properties"].clone();
    let mut denying = allowing.clone();
    denying["ruleCollections"][0]["action"]["type"] = json!("Deny");
    let file = |name: &str, value: Value| write(folder.path(), name, &value);
    let parent = file(
        "parent.json",
        json!({ "id": id("parent"), "name": "parent", "properties": {} }),
    );
    let child = file(
        "child.json",
        json!({ "id": id("child"), "name": "child", "properties": {
            "basePolicy": { "id": id("parent") } } }),
    );
    let of_parent = file("of-parent.json", json!([group("parent", "base", denying)]));
    let of_child = file("of-child.json", json!([group("child", "own", allowing)]));
    for (policies, groups) in [
        ([&parent, &child], [&of_parent, &of_child]),
        ([&child, &parent], [&of_child, &of_parent]),
        ([&child, &parent], [&of_parent, &of_child]),
    ] {
        let judged = answer(&format!(
            "{ONE} --firewall-policy {} --firewall-policy {} --rule-collections {} \
             --rule-collections {}",
            policies[0], policies[1], groups[0], groups[1]
        ));
        assert_eq!(judged["verdict"], "deny", "{judged:#}");
        assert_eq!(judged["deciding_rules"][0]["rule"], "base/out/api-server");
    }
    let [code, message, next] = refused(&format!(
        "{OUT} --firewall-policy {child} --rule-collections {of_child}"
    ));
    assert_eq!(code, "ruleset_malformed");
    assert!(message.contains(&id("parent")), "{message}");
    assert!(next.contains("--firewall-policy, too"), "{next}");
    let [code, message, _] = refused(&format!(
        "{OUT} --firewall-policy {parent} --rule-collections {of_child}"
    ));
    assert_eq!(code, "ruleset_malformed");
    assert!(
        message.contains("group own") && message.contains(&id("child")),
        "{message}"
    );
}

#[test]
fn intrusion_detection_that_denies_leaves_open_what_passes() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |mode: &str| {
        let mut policy = read("firewall-policy.json");
        policy["properties"]["intrusionDetection"] = json!({ "mode": mode });
        let policy = write(folder.path(), "policy.json", &policy);
        answer(&format!(
            "{ONE} --firewall-policy {policy} --rule-collections rule-collections.json"
        ))
    };
    assert_eq!(ask("Alert")["verdict"], "allow");
    let unknown = ask("Deny");
    assert_eq!(unknown["verdict"], "unknown");
    assert_eq!(
        unknown["unknown"][0]["name"],
        "the connection matches a signature of intrusion detection"
    );
}

#[test]
fn routes_that_azure_would_not_take_or_that_cannot_be_followed_are_refused_by_name() {
    for (table, parts, next_step) in [
        (
            "routes-tag.json",
            ["storage-to-nowhere", "Storage.NorthSample"],
            "--service-tags",
        ),
        (
            "routes-conflict.json",
            ["all-to-hub and all-out", "0.0.0.0/0"],
            "one route for each prefix",
        ),
    ] {
        let [code, message, next] = refused(&format!("{OUT} --route-table {table}"));
        assert_eq!(code, "ruleset_malformed");
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
        assert!(next.contains(next_step), "{next}");
    }
}
