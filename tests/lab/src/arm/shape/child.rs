//! Resources that live in an array of their parent and can also be reached by
//! an id of their own: security rules, subnets, routes and the like.

use serde_json::{Value, json};

use super::super::error::ArmError;

/// A type that lives inside its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedKind {
    /// The parent's full type, in Azure's casing.
    pub parent: &'static str,
    /// The array in the parent's properties, which is also the type segment.
    pub array: &'static str,
    /// Whether it can be written under its own id.
    pub writable: bool,
}

const EMBEDDED: &[EmbeddedKind] = &[
    EmbeddedKind {
        parent: "Microsoft.Network/networkSecurityGroups",
        array: "securityRules",
        writable: true,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/networkSecurityGroups",
        array: "defaultSecurityRules",
        writable: false,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/virtualNetworks",
        array: "subnets",
        writable: true,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/virtualNetworks",
        array: "virtualNetworkPeerings",
        writable: true,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/routeTables",
        array: "routes",
        writable: true,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/loadBalancers",
        array: "backendAddressPools",
        writable: true,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/loadBalancers",
        array: "frontendIPConfigurations",
        writable: false,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/loadBalancers",
        array: "outboundRules",
        writable: false,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/loadBalancers",
        array: "loadBalancingRules",
        writable: false,
    },
    EmbeddedKind {
        parent: "Microsoft.Network/loadBalancers",
        array: "probes",
        writable: false,
    },
];

impl EmbeddedKind {
    /// The embedded kind of this full type, compared without case.
    pub fn find(full_type: &str) -> Option<&'static Self> {
        EMBEDDED
            .iter()
            .find(|kind| kind.full_type().eq_ignore_ascii_case(full_type))
    }

    /// Full type, in Azure's casing.
    pub fn full_type(&self) -> String {
        format!("{}/{}", self.parent, self.array)
    }

    /// The children of this kind in a parent's body.
    pub fn of<'a>(&self, parent: &'a Value) -> &'a [Value] {
        parent["properties"][self.array]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The child of this name in a parent's body.
    pub fn find_in<'a>(&self, parent: &'a Value, name: &str) -> Option<&'a Value> {
        self.of(parent).iter().find(|child| named(child, name))
    }

    /// The parent's body with a child added, or replaced in place.
    pub fn put_into(&self, parent: &Value, name: &str, mut child: Value) -> Value {
        let mut parent = parent.clone();
        child["name"] = json!(name);
        let children = &mut parent["properties"][self.array];
        if !children.is_array() {
            *children = json!([]);
        }
        if let Some(children) = children.as_array_mut() {
            match children.iter_mut().find(|child| named(child, name)) {
                Some(place) => *place = child,
                None => children.push(child),
            }
        }
        parent
    }

    /// The parent's body without a child.
    pub fn remove_from(&self, parent: &Value, name: &str) -> Value {
        let mut parent = parent.clone();
        if let Some(children) = parent["properties"][self.array].as_array_mut() {
            children.retain(|child| !named(child, name));
        }
        parent
    }
}

fn named(child: &Value, name: &str) -> bool {
    child["name"]
        .as_str()
        .is_some_and(|found| found.eq_ignore_ascii_case(name))
}

/// Gives each child of an array its id and type and drops what is read-only.
pub(super) fn adopt(
    parent_id: &str,
    parent_kind: &str,
    properties: &mut Value,
    array: &str,
) -> Result<(), ArmError> {
    let Some(children) = properties[array].as_array_mut() else {
        return Ok(());
    };
    for (place, child) in children.iter_mut().enumerate() {
        let name = child["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(
                ArmError::invalid("InvalidRequestFormat", "Cannot parse the request.")
                    .with_details_of(
                        "MissingJsonReferenceId",
                        &format!(
                            "Value for reference name is missing. Path properties.{array}[{place}]."
                        ),
                    ),
            );
        }
        child["id"] = json!(format!("{parent_id}/{array}/{name}"));
        // The collections of a firewall are the only children without a type.
        if !array.ends_with("RuleCollections") {
            child["type"] = json!(format!("{parent_kind}/{array}"));
        }
        if !child["properties"].is_object() {
            child["properties"] = json!({});
        }
        if let Some(fields) = child.as_object_mut() {
            fields.remove("etag");
        }
        if let Some(fields) = child["properties"].as_object_mut() {
            fields.remove("provisioningState");
        }
    }
    Ok(())
}

impl ArmError {
    fn with_details_of(self, code: &str, message: &str) -> Self {
        self.with_details(vec![json!({ "code": code, "message": message })])
    }
}
