//! The shapes of Azure's own examples, where they are at hand.

use std::path::PathBuf;

use serde_json::Value;

use crate::nsg::{Nsg, TagContext};

/// The directory with Azure's reference data; none when it is not there.
fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("NAOSU_AZURE_REFERENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/azure"),
        PathBuf::from,
    );
    path.is_dir().then_some(path)
}

fn example(name: &str) -> Option<Value> {
    let Some(reference) = reference() else {
        println!("skipped: no Azure reference data");
        return None;
    };
    let path = reference
        .join("examples/Microsoft.Network/2021-02-01")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let example: Value = serde_json::from_str(&text).unwrap();
    Some(example["responses"]["200"]["body"].clone())
}

#[test]
fn every_security_group_of_azures_examples_is_read_and_written_back() {
    for name in [
        "NetworkSecurityGroupGet.json",
        "NetworkSecurityGroupListAll.json",
    ] {
        let Some(body) = example(name) else { return };
        let groups = match body.get("value") {
            Some(Value::Array(groups)) => groups.clone(),
            _ => vec![body],
        };
        for group in groups {
            let group = Nsg::from_arm(&group).unwrap();
            assert_eq!(group.default_rules.len(), 6);
            for rule in &group.rules {
                let again = crate::nsg::NsgRule::from_arm(&rule.to_arm().unwrap()).unwrap();
                assert_eq!(&again, rule);
            }
        }
    }
}

#[test]
fn azures_service_tag_list_is_read() {
    let Some(list) = example("ServiceTagsList.json") else {
        return;
    };
    let tags = TagContext::new().with_service_tags(&list).unwrap();
    let known = tags.tag("apimanagement", crate::nsg::Side::Source);
    assert!(matches!(known, crate::nsg::Resolved::Known(set) if !set.is_empty()));
}
