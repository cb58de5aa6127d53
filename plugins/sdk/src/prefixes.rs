//! Addresses as the fewest prefixes that mean exactly them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The fewest prefixes that contain these addresses and no other.
pub fn exactly(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpNet> {
    let hosts: Vec<IpNet> = addresses.into_iter().map(IpNet::from).collect();
    let mut prefixes = IpNet::aggregate(&hosts);
    prefixes.sort_unstable();
    prefixes
}

/// As text, a single address without its length.
pub fn texts(prefixes: &[IpNet]) -> Vec<String> {
    prefixes
        .iter()
        .map(|prefix| {
            if prefix.prefix_len() == prefix.max_prefix_len() {
                prefix.addr().to_string()
            } else {
                prefix.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_and_nothing_is_added() {
        let addresses = ["10.224.0.6", "10.224.0.4", "10.224.0.5", "10.224.0.4"];
        let parsed = addresses.iter().map(|text| text.parse().unwrap());
        assert_eq!(texts(&exactly(parsed)), ["10.224.0.4/31", "10.224.0.6"]);
    }
}
