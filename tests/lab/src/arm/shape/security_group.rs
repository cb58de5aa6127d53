//! Network security groups and their six default rules.

use serde_json::{Value, json};

use super::super::error::ArmError;
use super::child::adopt;
use super::security_rule;

const KIND: &str = "Microsoft.Network/networkSecurityGroups";

/// Completes the rules of a group and checks them.
pub(super) fn normalise(id: &str, properties: &mut Value) -> Result<(), ArmError> {
    if !properties["securityRules"].is_array() {
        properties["securityRules"] = json!([]);
    }
    adopt(id, KIND, properties, "securityRules")?;
    if let Some(rules) = properties["securityRules"].as_array_mut() {
        security_rule::normalise_all(rules)?;
    }
    properties["defaultSecurityRules"] = default_rules();
    adopt(id, KIND, properties, "defaultSecurityRules")
}

fn default_rules() -> Value {
    let vnet = "VirtualNetwork";
    let rows = [
        (
            "AllowVnetInBound",
            "Allow inbound traffic from all VMs in VNET",
            vnet,
            vnet,
            "Allow",
            65000,
            "Inbound",
        ),
        (
            "AllowAzureLoadBalancerInBound",
            "Allow inbound traffic from azure load balancer",
            "AzureLoadBalancer",
            "*",
            "Allow",
            65001,
            "Inbound",
        ),
        (
            "DenyAllInBound",
            "Deny all inbound traffic",
            "*",
            "*",
            "Deny",
            65500,
            "Inbound",
        ),
        (
            "AllowVnetOutBound",
            "Allow outbound traffic from all VMs to all VMs in VNET",
            vnet,
            vnet,
            "Allow",
            65000,
            "Outbound",
        ),
        (
            "AllowInternetOutBound",
            "Allow outbound traffic from all VMs to Internet",
            "*",
            "Internet",
            "Allow",
            65001,
            "Outbound",
        ),
        (
            "DenyAllOutBound",
            "Deny all outbound traffic",
            "*",
            "*",
            "Deny",
            65500,
            "Outbound",
        ),
    ];
    rows.into_iter()
        .map(
            |(name, description, source, destination, access, priority, direction)| {
                json!({ "name": name, "properties": {
                    "description": description,
                    "protocol": "*",
                    "sourcePortRange": "*",
                    "destinationPortRange": "*",
                    "sourceAddressPrefix": source,
                    "destinationAddressPrefix": destination,
                    "access": access,
                    "priority": priority,
                    "direction": direction,
                    "sourcePortRanges": [],
                    "destinationPortRanges": [],
                    "sourceAddressPrefixes": [],
                    "destinationAddressPrefixes": [],
                }})
            },
        )
        .collect()
}
