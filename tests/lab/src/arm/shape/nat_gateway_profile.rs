//! The NAT gateway that AKS makes.

use serde_json::{Value, json};

use super::super::error::ArmError;
use super::fill_in;

const MOST_ADDRESSES: u64 = 16;

/// Fills in what is left out, and checks the rest by AKS's rules.
pub(super) fn complete(profile: &mut Value) -> Result<(), ArmError> {
    let defaults = json!({
        "managedOutboundIPProfile": { "count": 1 },
        "idleTimeoutInMinutes": 4,
    });
    fill_in(profile, &defaults);
    let refuse = |target: &'static str, message: String| {
        Err(ArmError::invalid("InvalidParameter", message).with_target(target))
    };
    let count = &profile["managedOutboundIPProfile"]["count"];
    if !count
        .as_u64()
        .is_some_and(|n| (1..=MOST_ADDRESSES).contains(&n))
    {
        return refuse(
            "networkProfile.natGatewayProfile.managedOutboundIPProfile.count",
            format!(
                "NAT gateway profile managed outbound IP count {count} must be between 1 and {MOST_ADDRESSES}."
            ),
        );
    }
    let minutes = &profile["idleTimeoutInMinutes"];
    if !minutes.as_u64().is_some_and(|n| (4..=120).contains(&n)) {
        return refuse(
            "networkProfile.natGatewayProfile.idleTimeoutInMinutes",
            format!(
                "NAT gateway profile idle timeout {minutes} must be between 4 and 120 minutes."
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_completed_and_held_to_the_limits_of_aks() {
        let mut profile = json!({});
        complete(&mut profile).unwrap();
        assert_eq!(profile["managedOutboundIPProfile"]["count"], 1);
        for bad in [
            json!({ "managedOutboundIPProfile": { "count": 17 } }),
            json!({ "managedOutboundIPProfile": { "count": 0 } }),
            json!({ "idleTimeoutInMinutes": 3 }),
        ] {
            assert!(complete(&mut bad.clone()).is_err(), "{bad}");
        }
    }
}
