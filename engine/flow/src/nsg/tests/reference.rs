//! The shapes of Azure's own examples, where they are at hand.

use serde_json::Value;

use crate::nsg::{Nsg, TagContext};
use crate::testing::example;

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
