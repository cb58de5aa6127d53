//! The bodies that the drivers write, held against Azure's own published
//! specifications: each must be valid, and none may carry what is read-only.

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use naosu_engine::model::{Effect, effect::FirewallRuleEffect};
use naosu_flow::nsg::{Access, Direction, NsgRule};
use naosu_server::drivers::azure::effects::{Planned, plan};
use serde_json::{Map, Value, json};

fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("NAOSU_AZURE_REFERENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/azure"),
        PathBuf::from,
    );
    if path.join("swagger").is_dir() {
        return Some(path);
    }
    println!("skipped: no reference specifications (set NAOSU_AZURE_REFERENCE)");
    None
}

fn json_file(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
}

/// One definition of a specification, with all it refers to, as one schema in
/// which read-only properties may not appear.
struct Bundle {
    documents: BTreeMap<PathBuf, Value>,
    definitions: Map<String, Value>,
}

impl Bundle {
    fn schema(file: &Path, definition: &str) -> Value {
        let mut bundle = Self {
            documents: BTreeMap::new(),
            definitions: Map::new(),
        };
        let root = bundle.include(file, &format!("/definitions/{definition}"));
        json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "allOf": [{ "$ref": root }],
            "definitions": bundle.definitions,
        })
    }

    fn include(&mut self, file: &Path, pointer: &str) -> String {
        let file = file
            .canonicalize()
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let name = format!("{}{pointer}", file.file_name().unwrap().to_string_lossy())
            .replace(['/', '#'], "_");
        let reference = format!("#/definitions/{name}");
        if self.definitions.contains_key(&name) {
            return reference;
        }
        self.definitions.insert(name.clone(), Value::Null);
        let document = self
            .documents
            .entry(file.clone())
            .or_insert_with(|| json_file(&file));
        let raw = document
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{} {pointer}", file.display()))
            .clone();
        let schema = self.convert(&file, &raw);
        self.definitions.insert(name, schema);
        reference
    }

    fn convert(&mut self, file: &Path, raw: &Value) -> Value {
        match raw {
            Value::Array(items) => items.iter().map(|item| self.convert(file, item)).collect(),
            Value::Object(object) => {
                if object.get("readOnly") == Some(&json!(true)) {
                    return json!({ "not": {} });
                }
                if let Some(target) = object.get("$ref").and_then(Value::as_str) {
                    let (path, pointer) = target.split_once('#').unwrap();
                    let target = match path {
                        "" => file.to_owned(),
                        path => file.parent().unwrap().join(path),
                    };
                    if !target.exists() {
                        return json!({}); // outside the reference material
                    }
                    return json!({ "$ref": self.include(&target, pointer) });
                }
                let mut converted = Map::new();
                for (key, value) in object {
                    let is_extension =
                        key.starts_with("x-ms") || key == "example" || key == "format";
                    if !is_extension {
                        converted.insert(key.clone(), self.convert(file, value));
                    }
                }
                Value::Object(converted)
            }
            other => other.clone(),
        }
    }
}

fn assert_valid(reference: &Path, spec: &str, definition: &str, body: &Value) {
    let schema = Bundle::schema(&reference.join("swagger").join(spec), definition);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(body)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        // The recording is of a newer api-version than the specification, and newer
        // ones keep the shapes but add values.
        .filter(|fault| definition != "ManagedCluster" || !fault.contains("is not one of"))
        .collect();
    assert!(faults.is_empty(), "{definition}: {faults:#?}\n{body:#}");
}

/// The body of a GET example, or of a recorded GET.
fn example(reference: &Path, path: &str) -> Value {
    json_file(&reference.join("examples").join(path))["responses"]["200"]["body"].clone()
}

fn written(effect: &Effect, before: &Value) -> Value {
    match plan(effect, before).unwrap().unwrap() {
        Planned::Write(edit) => edit.body,
        Planned::InPlace => panic!("it changes something"),
    }
}

fn rule(name: &str, priority: u16) -> NsgRule {
    NsgRule {
        name: name.to_owned(),
        priority,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".to_owned(),
        source_prefixes: vec!["10.224.0.0/16".to_owned(), "10.1.0.0/16".to_owned()],
        source_ports: vec!["*".to_owned()],
        source_groups: vec![],
        destination_prefixes: vec!["10.224.0.0/16".to_owned()],
        destination_ports: vec!["10250".to_owned()],
        destination_groups: vec![],
        description: "by Naosu".to_owned(),
    }
}

const NETWORK: &str = "Microsoft.Network/2021-02-01";

#[test]
fn the_oracle_refuses_what_the_specification_forbids() {
    let Some(reference) = reference() else { return };
    let schema = Bundle::schema(
        &reference
            .join("swagger")
            .join(NETWORK)
            .join("networkSecurityGroup.json"),
        "NetworkSecurityGroup",
    );
    let validator = jsonschema::validator_for(&schema).unwrap();
    for wrong in [
        json!({"etag": "W/\"1\""}),
        json!({"properties": {"provisioningState": "Succeeded"}}),
        json!({"properties": {"securityRules": {}}}),
        json!({"properties": {"securityRules": [{"properties": {"access": "Allow"}}]}}),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn security_rules_and_groups_are_valid() {
    let Some(reference) = reference() else { return };
    let spec = format!("{NETWORK}/networkSecurityGroup.json");
    assert_valid(
        &reference,
        &spec,
        "SecurityRule",
        &rule("r", 200).to_arm().unwrap(),
    );
    let before = example(
        &reference,
        &format!("{NETWORK}/NetworkSecurityGroupGet.json"),
    );
    let create = Effect::NsgRuleCreate {
        nsg: support::nsg_id(),
        rule: rule("naosu", 4000),
    };
    assert_valid(
        &reference,
        &spec,
        "NetworkSecurityGroup",
        &written(&create, &before),
    );
    let replace = Effect::NsgRulesReplace {
        nsg: support::nsg_id(),
        rules: vec![rule("a", 200), rule("b", 300)],
    };
    assert_valid(
        &reference,
        &spec,
        "NetworkSecurityGroup",
        &written(&replace, &before),
    );
}

#[test]
fn a_recorded_security_group_goes_back_valid() {
    let Some(reference) = reference() else { return };
    let text =
        std::fs::read_to_string(reference.join("recordings/securitygroupclient.AZURECLOUD.yaml"))
            .unwrap();
    let recording: Value = serde_yaml_ng::from_str(&text).unwrap();
    let before = recording["interactions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|exchange| exchange["request"]["method"] == "GET")
        .filter_map(|e| serde_json::from_str::<Value>(e["response"]["body"].as_str()?).ok())
        .find(|body| body["type"] == "Microsoft.Network/networkSecurityGroups")
        .unwrap();
    let create = Effect::NsgRuleCreate {
        nsg: support::nsg_id(),
        rule: rule("naosu", 200),
    };
    assert_valid(
        &reference,
        &format!("{NETWORK}/networkSecurityGroup.json"),
        "NetworkSecurityGroup",
        &written(&create, &before),
    );
}

#[test]
fn managed_clusters_from_the_example_and_from_a_recording_are_valid() {
    let Some(reference) = reference() else { return };
    let spec = "Microsoft.ContainerService/2021-05-01/managedClusters.json";
    let text =
        std::fs::read_to_string(reference.join("recordings/managedclusterclient.AZURECLOUD.yaml"))
            .unwrap();
    let recording: Value = serde_yaml_ng::from_str(&text).unwrap();
    let recorded = recording["interactions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|exchange| exchange["request"]["method"] == "GET")
        .filter_map(|e| serde_json::from_str::<Value>(e["response"]["body"].as_str()?).ok())
        .find(|body| body.pointer("/properties/networkProfile").is_some())
        .unwrap();
    let example = example(
        &reference,
        "Microsoft.ContainerService/2021-05-01/ManagedClustersGet.json",
    );
    for before in [recorded, example] {
        let effect = Effect::NetworkProfileSet {
            cluster: support::cluster().to_string(),
            patch: json!({"loadBalancerProfile": {"allocatedOutboundPorts": 4000, "managedOutboundIPs": {"count": 2}}}),
        };
        let body = written(&effect, &before);
        assert_eq!(
            body["properties"]["networkProfile"]["loadBalancerProfile"]["allocatedOutboundPorts"],
            4000
        );
        assert_valid(&reference, spec, "ManagedCluster", &body);
    }
}

#[test]
fn firewalls_and_rule_collection_groups_are_valid() {
    let Some(reference) = reference() else { return };
    let effect = |tail: &str| {
        Effect::FirewallRuleAdd(FirewallRuleEffect {
            resource: format!("{}/providers/Microsoft.Network/{tail}", support::GROUP),
            collection: "naosu".to_owned(),
            collection_priority: 300,
            access: Access::Allow,
            name: "tunnel".to_owned(),
            protocols: vec!["UDP".to_owned()],
            source_addresses: vec!["10.224.0.0/16".to_owned()],
            destination_addresses: vec!["AzureCloud.eastus".to_owned()],
            destination_ports: vec!["1194".to_owned()],
        })
    };
    let classic = example(&reference, &format!("{NETWORK}/AzureFirewallGet.json"));
    assert_valid(
        &reference,
        &format!("{NETWORK}/azureFirewall.json"),
        "AzureFirewall",
        &written(&effect("azureFirewalls/fw"), &classic),
    );
    let group = example(
        &reference,
        &format!("{NETWORK}/FirewallPolicyRuleCollectionGroupGet.json"),
    );
    assert_valid(
        &reference,
        &format!("{NETWORK}/firewallPolicy.json"),
        "FirewallPolicyRuleCollectionGroup",
        &written(&effect("firewallPolicies/p/ruleCollectionGroups/g"), &group),
    );
}
