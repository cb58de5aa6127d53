//! The addresses at which the Azure platform itself answers.
//!
//! Microsoft: 168.63.129.16 is "a virtual IP of the host node and as such it isn't
//! subject to user defined routes"; 169.254.169.254, where instance metadata is read, is
//! not routable, and the host answers for it as well.

use std::net::{IpAddr, Ipv4Addr};

use crate::set::AddressSet;

/// The address of Azure's platform services and load balancer probes.
pub const PLATFORM_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

/// Where a virtual machine reads about itself.
pub const METADATA_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// All of them: the host of a machine takes what is for them, whatever its routes say.
pub(crate) fn addresses() -> AddressSet {
    AddressSet::host(PLATFORM_ADDRESS).union(&AddressSet::host(METADATA_ADDRESS))
}
