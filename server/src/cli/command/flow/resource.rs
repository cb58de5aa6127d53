//! Azure resources in files: as ARM returns them, or flattened as `az ... show` prints
//! them, with the members of `properties` in the resource itself.

use naosu_flow::field::FieldError;
use serde_json::{Map, Value};

/// A kind of resource that a file holds.
pub struct Kind {
    /// What messages call it.
    what: &'static str,
    /// What prints it, flattened.
    command: &'static str,
    /// What follows its id in a URL.
    below: &'static str,
    /// Lists among its properties whose items are resources, too, and what messages call
    /// those.
    nested: &'static [(&'static str, &'static str)],
}

/// The version of Azure's network API that messages name.
const API_VERSION: &str = "2025-05-01";

impl Kind {
    /// A network security group.
    pub const SECURITY_GROUP: Self = Self {
        what: "security group",
        command: "az network nsg show",
        below: "",
        nested: &[("securityRules", "rule"), ("defaultSecurityRules", "rule")],
    };
    /// A route table.
    pub const ROUTE_TABLE: Self = Self {
        what: "route table",
        command: "az network route-table show",
        below: "",
        nested: &[("routes", "route")],
    };
    /// An Azure Firewall.
    pub const FIREWALL: Self = Self {
        what: "firewall",
        command: "az network firewall show",
        below: "",
        nested: &[
            ("ipConfigurations", "address"),
            ("natRuleCollections", "rule collection"),
            ("networkRuleCollections", "rule collection"),
            ("applicationRuleCollections", "rule collection"),
        ],
    };
    /// A firewall policy.
    pub const FIREWALL_POLICY: Self = Self {
        what: "firewall policy",
        command: "az network firewall policy show",
        below: "",
        nested: &[],
    };
    /// A rule collection group of a firewall policy.
    pub const RULE_COLLECTION_GROUP: Self = Self {
        what: "rule collection group",
        command: "az network firewall policy rule-collection-group list",
        below: "/ruleCollectionGroups",
        nested: &[],
    };
    /// An IP group.
    pub const IP_GROUP: Self = Self {
        what: "IP group",
        command: "az network ip-group show",
        below: "",
        nested: &[],
    };

    /// How to get the file.
    pub fn next(&self) -> String {
        let (command, below) = (self.command, self.below);
        let whose = match below {
            "" => "its",
            _ => "the policy's",
        };
        format!(
            "give what `{command} --output json` prints, or `az rest --method get --url \
             \"ID{below}?api-version={API_VERSION}\"` with {whose} resource id for ID"
        )
    }

    /// The resource as ARM returns it, from either form.
    ///
    /// # Errors
    /// [`FieldError::Contradictory`] where it has parts of both forms that disagree.
    pub fn as_arm(&self, mut resource: Value) -> Result<Value, FieldError> {
        lift(self.what, &mut resource)?;
        for (list, what) in self.nested {
            let items = resource
                .get_mut("properties")
                .and_then(|properties| properties.get_mut(list))
                .and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                lift(what, item)?;
            }
        }
        Ok(resource)
    }
}

/// Members of a resource that never lie in its properties.
const BESIDE_PROPERTIES: [&str; 18] = [
    "apiVersion",
    "dependsOn",
    "etag",
    "extendedLocation",
    "id",
    "identity",
    "kind",
    "location",
    "managedBy",
    "name",
    "plan",
    "properties",
    // The command line adds it.
    "resourceGroup",
    "sku",
    "systemData",
    "tags",
    "type",
    "zones",
];

/// Moves members of a resource to its properties. Where it has properties, it is in ARM's
/// form, and what lies beside them may only say the same.
fn lift(what: &str, resource: &mut Value) -> Result<(), FieldError> {
    let Some(members) = resource.as_object_mut() else {
        return Ok(());
    };
    let (beside, others): (Map<String, Value>, Map<String, Value>) = std::mem::take(members)
        .into_iter()
        .partition(|(name, _)| BESIDE_PROPERTIES.contains(&name.as_str()));
    *members = beside;
    match members.get("properties") {
        None | Some(Value::Null) if others.is_empty() => Ok(()),
        None | Some(Value::Null) => {
            members.insert("properties".to_owned(), Value::Object(others));
            Ok(())
        }
        Some(properties) => {
            let is_other =
                |(name, value): &(&String, &Value)| properties.get(name.as_str()) != Some(*value);
            let Some((field, _)) = others.iter().find(is_other) else {
                return Ok(());
            };
            let name = members.get("name").and_then(Value::as_str);
            Err(FieldError::Contradictory {
                place: format!("{what} {}", name.unwrap_or("without a name")),
                field: field.chars().take(80).collect(),
                other: "properties".to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The same resource with the members of `properties` in the resource itself.
    fn flattened(resource: &Value) -> Value {
        let mut flat = resource.clone();
        let Some(members) = flat.as_object_mut() else {
            return flat;
        };
        if let Some(Value::Object(properties)) = members.remove("properties") {
            members.extend(properties);
        }
        for value in members.values_mut() {
            if let Value::Array(items) = value {
                *items = items.iter().map(flattened).collect();
            }
        }
        flat
    }

    #[test]
    fn each_kind_is_read_alike_in_both_forms() {
        let rule = json!({ "name": "r", "id": "/r", "properties": { "priority": 100 } });
        let collection = json!({ "name": "c", "properties": {
            "priority": 100, "action": { "type": "Allow" }, "rules": [{ "name": "r" }] } });
        for (kind, properties) in [
            (
                Kind::SECURITY_GROUP,
                json!({ "securityRules": [rule], "defaultSecurityRules": [rule] }),
            ),
            (Kind::ROUTE_TABLE, json!({ "routes": [rule] })),
            (
                Kind::FIREWALL,
                json!({
                    "ipConfigurations": [{ "name": "ip", "properties": {
                        "privateIPAddress": "10.0.0.4" } }],
                    "natRuleCollections": [collection],
                    "networkRuleCollections": [collection],
                    "applicationRuleCollections": [collection],
                }),
            ),
            (
                Kind::FIREWALL_POLICY,
                json!({ "basePolicy": { "id": "/p" }, "intrusionDetection": { "mode": "Deny" } }),
            ),
            (
                Kind::RULE_COLLECTION_GROUP,
                json!({ "priority": 100, "ruleCollections": [{ "name": "c", "rules": [] }] }),
            ),
            (Kind::IP_GROUP, json!({ "ipAddresses": ["10.0.0.4"] })),
        ] {
            let resource = json!({ "id": "/x", "name": "x", "location": "westeurope",
                "tags": { "a": "b" }, "etag": "1", "properties": properties });
            assert_eq!(kind.as_arm(resource.clone()).unwrap(), resource);
            let flat = flattened(&resource);
            assert!(flat.get("properties").is_none());
            assert_eq!(kind.as_arm(flat).unwrap(), resource, "{}", kind.what);
        }
    }

    #[test]
    fn both_forms_at_once_are_refused_where_they_disagree() {
        let group = |beside: Value| {
            let rule = json!({ "name": "r", "access": beside, "properties": {
                "access": "Allow" } });
            Kind::SECURITY_GROUP
                .as_arm(json!({ "name": "g", "properties": { "securityRules": [rule] } }))
        };
        assert!(group(json!("Allow")).is_ok());
        let error = group(json!("Deny")).unwrap_err();
        assert_eq!(error.code(), "fields_contradict");
        let message = error.to_string();
        assert!(
            message.contains("rule r: access and properties"),
            "{message}"
        );
        let outside = json!({ "name": "g", "securityRules": [], "properties": {} });
        assert!(Kind::SECURITY_GROUP.as_arm(outside).is_err());
    }

    #[test]
    fn what_is_no_resource_is_left_to_the_reader() {
        for value in [json!([]), json!(null), json!("x"), json!({ "name": "x" })] {
            let same = Kind::ROUTE_TABLE.as_arm(value.clone()).unwrap();
            assert_eq!(same, value);
        }
    }
}
