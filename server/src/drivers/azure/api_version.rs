//! Which version of ARM's API each resource type is asked in.
//!
//! The versions of the network and compute providers are those of recorded traffic
//! with Azure, so that what is parsed here was seen there. That of the AKS provider is
//! the first stable one that tells of an API server in the virtual network.

use super::{error::AzureError, resource_id::ResourceId};

/// The api-version for a path.
///
/// # Errors
/// [`AzureError::UnknownType`].
pub fn api_version(id: &ResourceId) -> Result<&'static str, AzureError> {
    let type_name = id.type_name();
    let (provider, kind) = type_name.split_once('/').unwrap_or((&type_name, ""));
    Ok(match (provider, kind) {
        ("", _) => "2021-04-01",
        // NICs of scale sets hang below the compute provider, but the network
        // provider serves them, and only in this version.
        ("microsoft.compute", kind) if kind.ends_with("networkinterfaces") => "2018-10-01",
        ("microsoft.compute", kind) if kind.ends_with("publicipaddresses") => "2018-10-01",
        ("microsoft.network", _) => "2025-05-01",
        ("microsoft.compute", _) => "2025-04-01",
        ("microsoft.containerservice", _) => "2025-04-01",
        ("microsoft.insights", "metrics") => "2018-01-01",
        ("microsoft.managedidentity", _) => "2023-01-31",
        ("microsoft.authorization", "locks") => "2020-05-01",
        ("microsoft.authorization", _) => "2022-04-01",
        _ => return Err(AzureError::UnknownType { type_name }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(tail: &str) -> Result<&'static str, AzureError> {
        api_version(
            &ResourceId::parse(&format!("/subscriptions/s/resourceGroups/rg{tail}")).unwrap(),
        )
    }

    #[test]
    fn scale_set_nics_keep_their_own_version() {
        let vmss = "/providers/Microsoft.Compute/virtualMachineScaleSets/v/virtualMachines/0";
        assert_eq!(version(vmss), Ok("2025-04-01"));
        assert_eq!(
            version(&format!("{vmss}/networkInterfaces")),
            Ok("2018-10-01")
        );
        assert_eq!(version(""), Ok("2021-04-01"));
    }

    #[test]
    fn an_unknown_type_is_an_error_that_names_it() {
        let error = version("/providers/Contoso.Widgets/widgets/w").unwrap_err();
        assert!(error.to_string().contains("contoso.widgets/widgets"));
    }
}
