//! What a resource looks like once Azure has taken it: defaults filled in,
//! read-only fields set, children given ids, bad values refused.

mod child;
mod cluster;
mod compute;
mod defaults;
mod load_balancer_profile;
mod nat_gateway_profile;
mod network;
mod security_group;
mod security_rule;

use serde_json::{Value, json};

pub use child::EmbeddedKind;
pub use cluster::{AGENT_POOL_STATES, as_told_in};
pub use compute::{instance, instance_view, network_interface};
pub use defaults::{fill_in, keep_missing};

use super::error::ArmError;
use super::id::name_of;
use super::reply::Family;

/// A resource type the emulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Full type, in Azure's casing.
    pub name: &'static str,
    /// Whether a write returns before it is done.
    pub asynchronous: bool,
    /// Whether the write's own answer already says `Succeeded`.
    pub settled_in_answer: bool,
    /// Whether the packets of the estate depend on it.
    pub enforced: bool,
}

const fn kind(name: &'static str, enforced: bool) -> Kind {
    Kind {
        name,
        asynchronous: true,
        settled_in_answer: false,
        enforced,
    }
}

/// The types that are stored under their own id; the others live inside their
/// parents, see [`EmbeddedKind`].
pub const KINDS: &[Kind] = &[
    kind("Microsoft.Network/networkSecurityGroups", true),
    kind("Microsoft.Network/applicationSecurityGroups", true),
    kind("Microsoft.Network/virtualNetworks", true),
    kind("Microsoft.Network/publicIPAddresses", false),
    Kind {
        settled_in_answer: true,
        ..kind("Microsoft.Network/loadBalancers", true)
    },
    kind("Microsoft.Network/routeTables", true),
    kind("Microsoft.Network/natGateways", true),
    kind("Microsoft.Network/azureFirewalls", true),
    kind("Microsoft.Network/firewallPolicies", true),
    kind(
        "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
        true,
    ),
    kind("Microsoft.Network/ipGroups", true),
    kind("Microsoft.Network/networkManagers", true),
    kind("Microsoft.Network/networkManagers/networkGroups", true),
    kind(
        "Microsoft.Network/networkManagers/networkGroups/staticMembers",
        true,
    ),
    kind(
        "Microsoft.Network/networkManagers/securityAdminConfigurations",
        true,
    ),
    kind(
        "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections",
        true,
    ),
    kind(
        "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections/rules",
        true,
    ),
    Kind {
        asynchronous: false,
        settled_in_answer: true,
        ..kind("Microsoft.Network/networkInterfaces", true)
    },
    kind("Microsoft.Compute/virtualMachineScaleSets", true),
    kind(
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines",
        false,
    ),
    kind(
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces",
        true,
    ),
    kind("Microsoft.ContainerService/managedClusters", true),
];

impl Kind {
    /// The kind of this full type, compared without case.
    pub fn find(full_type: &str) -> Option<&'static Self> {
        KINDS
            .iter()
            .find(|kind| kind.name.eq_ignore_ascii_case(full_type))
    }

    /// The provider family of the kind.
    pub fn family(&self) -> Family {
        Family::of(self.name.split('/').next())
    }

    /// Whether it has a parent that is stored too.
    pub fn is_nested(&self) -> bool {
        self.name.matches('/').count() > 1
    }
}

/// Turns what a client sent into what Azure keeps.
///
/// # Errors
/// What Azure refuses, with Azure's code.
pub fn normalise(
    kind: &Kind,
    id: &str,
    existing: Option<&Value>,
    mut incoming: Value,
) -> Result<Value, ArmError> {
    if !incoming.is_object() {
        return Err(ArmError::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'Error reading object. Unexpected token.'.",
        ));
    }
    for read_only in ["etag", "eTag", "systemData"] {
        if let Some(body) = incoming.as_object_mut() {
            body.remove(read_only);
        }
    }
    incoming["id"] = json!(id);
    incoming["name"] = json!(name_of(id));
    incoming["type"] = json!(kind.name);
    if !incoming["properties"].is_object() {
        incoming["properties"] = json!({});
    }
    if let Some(location) = incoming["location"].as_str() {
        incoming["location"] = json!(location.to_ascii_lowercase().replace(' ', ""));
    } else if let Some(existing) = existing.and_then(|body| body.get("location")) {
        incoming["location"] = existing.clone();
    } else if !kind.is_nested() {
        return Err(ArmError::new(
            http::StatusCode::BAD_REQUEST,
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    } else if let Some(body) = incoming.as_object_mut() {
        body.remove("location");
    }
    match kind.family() {
        Family::Network => network::normalise(kind, id, existing, incoming),
        Family::Compute => compute::normalise(kind, existing, incoming),
        Family::ContainerService => cluster::normalise(id, existing, incoming),
        _ => Ok(incoming),
    }
}
