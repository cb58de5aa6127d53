//! How many ports and addresses AKS allows: nodes × ports ≤ 64000 × addresses,
//! ports a multiple of 8, nodes as many as there may be.

use serde_json::Value;

use super::{OutboundAddresses, SnatJudgement};
use crate::{
    PluginError, Reads,
    arm::{ManagedCluster, Pool},
};

const PORTS_OF_ADDRESS: u64 = 64_000;
const MOST_PORTS: u64 = 64_000;
const MOST_ADDRESSES: u64 = 100;
const STEP: u64 = 8;
/// Surge of a pool that names none: 10% where AKS made it lately, one node where
/// it is older. The larger of both is asked for room.
const DEFAULT_SURGE_PERCENT: u64 = 10;
/// AKS counts one more node for a pool of any size.
const LEAST_SURGE: u64 = 1;

/// The ports that nodes have, and those that they may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Ports that a node has now.
    today: u64,
    /// Nodes that there may be at once.
    nodes: u64,
    addresses: OutboundAddresses,
}

/// What can be allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Ports a node.
    pub ports: u64,
    /// Nodes that there may be at once.
    pub nodes: u64,
    /// Outbound addresses.
    pub addresses: u64,
    /// The count to set, when there have to be more addresses.
    pub new_address_count: Option<u64>,
}

impl Sizing {
    /// One line in the imperative.
    pub fn summary(&self) -> String {
        format!(
            "Allocate {} outbound ports a node for up to {} nodes on {} outbound addresses",
            self.ports, self.nodes, self.addresses
        )
    }
}

impl Supply {
    /// Reads what the cluster does not tell itself.
    ///
    /// # Errors
    /// When the outbound addresses cannot be counted.
    pub fn observe(reads: &dyn Reads, judged: &SnatJudgement) -> Result<Self, PluginError> {
        let cluster = &judged.cluster.value;
        let addresses = OutboundAddresses::observe(reads, cluster)?;
        Ok(Self::of(cluster, addresses, judged.allocated))
    }

    /// `measured` are the ports that a node has by the metrics. Where the cluster
    /// sets none and they say nothing, it is what Azure allocates by itself: by the
    /// nodes that there are, not by those that there may be, on each address.
    fn of(cluster: &ManagedCluster, addresses: OutboundAddresses, measured: Option<u64>) -> Self {
        let pools = &cluster.properties.agent_pool_profiles;
        let profile = &cluster.properties.network_profile.load_balancer_profile;
        let set = profile.as_ref().and_then(|p| p.allocated_outbound_ports);
        let set = set.map(u64::from).filter(|ports| *ports > 0);
        let present: u64 = pools.iter().map(|pool| u64::from(pool.count)).sum();
        let by_azure = || default_ports(present).saturating_mul(addresses.count);
        let today = set.or(measured).unwrap_or_else(by_azure);
        let nodes = pools.iter().map(most_nodes).fold(0, u64::saturating_add);
        Self {
            today: today.min(MOST_PORTS),
            nodes: nodes.max(1),
            addresses,
        }
    }

    /// The most ports that each node may have, however many addresses that takes.
    pub fn most(&self) -> u64 {
        // AKS makes more of its own addresses, and none of those that somebody else gave.
        let addresses = if self.addresses.are_owners {
            self.addresses.count
        } else {
            MOST_ADDRESSES.max(self.addresses.count)
        };
        let ports = PORTS_OF_ADDRESS.saturating_mul(addresses) / self.nodes;
        (ports / STEP * STEP).min(MOST_PORTS)
    }

    /// Twice today's ports, or `asked`, on as few addresses as hold them.
    ///
    /// # Errors
    /// When the ports asked for are no valid number or not more than today's, or
    /// no count of addresses is enough.
    pub fn sizing(&self, asked: Option<u32>) -> Result<Sizing, PluginError> {
        let (today, most) = (self.today, self.most());
        let ports = match asked.map(u64::from) {
            Some(ports) if ports == 0 || ports > MOST_PORTS || ports % STEP != 0 => {
                return Err(PluginError::InvalidParameter(format!(
                    "ports is {ports}; give a multiple of {STEP} up to {MOST_PORTS}"
                )));
            }
            Some(ports) if ports <= today => {
                return Err(PluginError::InvalidParameter(format!(
                    "ports is {ports}, and a node has {today} now: fewer, or as many, mend nothing; \
                     give a multiple of {STEP} above {today}"
                )));
            }
            Some(ports) => ports,
            None => today.saturating_mul(2).next_multiple_of(STEP).min(most),
        };
        if ports > most || ports <= today {
            return Err(PluginError::Infeasible(self.why_not(ports)));
        }
        let needed = self.nodes.saturating_mul(ports).div_ceil(PORTS_OF_ADDRESS);
        let addresses = self.addresses.count;
        Ok(Sizing {
            ports,
            nodes: self.nodes,
            addresses: addresses.max(needed),
            new_address_count: (needed > addresses).then_some(needed),
        })
    }

    fn why_not(&self, ports: u64) -> String {
        let (today, most) = (self.today, self.most());
        let addresses = if self.addresses.are_owners {
            let count = self.addresses.count;
            format!("the cluster's {count} outbound addresses, which are its owner's own,")
        } else {
            format!("at most {MOST_ADDRESSES} outbound addresses")
        };
        let refused = if most > today {
            format!("{ports} cannot be allocated")
        } else {
            "no more can be allocated".to_owned()
        };
        let before = if self.addresses.are_owners {
            " before its owner adds addresses"
        } else {
            ""
        };
        format!(
            "a node has {today} ports, and {addresses} allow {most} for each of up to {} nodes: \
             {refused}{before}; reuse connections, or change to a NAT gateway",
            self.nodes
        )
    }
}

/// Ports that Azure gives on one address where none are set, by the number of nodes.
fn default_ports(nodes: u64) -> u64 {
    match nodes {
        0..=50 => 1024,
        51..=100 => 512,
        101..=200 => 256,
        201..=400 => 128,
        401..=800 => 64,
        _ => 32,
    }
}

/// Nodes that a pool may have at once: the autoscaler's maximum and the surge,
/// also where it has none now.
fn most_nodes(pool: &Pool) -> u64 {
    let count = match pool.max_count {
        Some(most) if pool.enable_auto_scaling => most.max(pool.count),
        _ => pool.count,
    };
    let count = u64::from(count);
    let settings = pool.upgrade_settings.as_ref();
    let surge = settings.and_then(|settings| settings.get("maxSurge"));
    let surge = surge.and_then(|surge| surge_of(surge, count));
    let surge = surge.unwrap_or_else(|| percent_of(count, DEFAULT_SURGE_PERCENT));
    count.saturating_add(surge.max(LEAST_SURGE))
}

/// The surge as AKS has it: a number of nodes, or a percentage of the pool.
fn surge_of(surge: &Value, count: u64) -> Option<u64> {
    let text = match surge {
        Value::String(text) => text.trim(),
        other => return other.as_u64(),
    };
    match text.strip_suffix('%') {
        Some(percent) => Some(percent_of(count, percent.trim().parse().ok()?)),
        None => text.parse().ok(),
    }
}

/// Parts of a node are whole nodes.
fn percent_of(count: u64, percent: u64) -> u64 {
    count.saturating_mul(percent).div_ceil(100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn supply(pools: &Value, ports: u32, count: u64, measured: Option<u64>) -> Supply {
        let cluster = json!({ "properties": { "agentPoolProfiles": pools, "networkProfile": {
            "loadBalancerProfile": { "allocatedOutboundPorts": ports } } } });
        let cluster = serde_json::from_value(cluster).unwrap();
        let addresses = OutboundAddresses {
            count,
            are_owners: false,
        };
        Supply::of(&cluster, addresses, measured)
    }

    #[test]
    fn nodes_are_those_of_all_pools_at_their_largest_with_the_surge_of_each() {
        for (pools, expected) in [
            (json!([]), 1),
            // By default the larger of 10% and one.
            (json!([{ "count": 3 }]), 4),
            (json!([{ "count": 30 }]), 33),
            (
                json!([{ "count": 30, "upgradeSettings": { "maxSurge": null } }]),
                33,
            ),
            // A percentage is rounded up.
            (
                json!([{ "count": 3, "upgradeSettings": { "maxSurge": "34%" } }]),
                5,
            ),
            (
                json!([{ "count": 21, "upgradeSettings": { "maxSurge": " 10 %" } }]),
                24,
            ),
            // A count is taken as it is, as text or as a number, and is one at least.
            (
                json!([{ "count": 3, "upgradeSettings": { "maxSurge": "5" } }]),
                8,
            ),
            (
                json!([{ "count": 3, "upgradeSettings": { "maxSurge": 5 } }]),
                8,
            ),
            (
                json!([{ "count": 3, "upgradeSettings": { "maxSurge": "0" } }]),
                4,
            ),
            (
                json!([{ "count": 3, "upgradeSettings": { "maxSurge": "0%" } }]),
                4,
            ),
            // What nobody understands is the default.
            (
                json!([{ "count": 30, "upgradeSettings": { "maxSurge": "many" } }]),
                33,
            ),
            // A pool scaled to none is upgraded all the same.
            (json!([{ "count": 0 }]), 1),
            (json!([{ "count": 3 }, { "count": 0 }]), 5),
            // The autoscaler's maximum counts where it is on.
            (
                json!([{ "count": 3, "maxCount": 40, "enableAutoScaling": true }]),
                44,
            ),
            (
                json!([{ "count": 3, "maxCount": 40, "enableAutoScaling": false }]),
                4,
            ),
            (
                json!([{ "count": 50, "maxCount": 40, "enableAutoScaling": true }]),
                55,
            ),
            // Each pool surges by itself.
            (
                json!([{ "count": 10 }, { "count": 10, "upgradeSettings": { "maxSurge": "33%" } },
                    { "count": 2, "maxCount": 5, "enableAutoScaling": true,
                      "upgradeSettings": { "maxSurge": "2" } }]),
                11 + 14 + 7,
            ),
        ] {
            assert_eq!(supply(&pools, 0, 1, None).nodes, expected, "{pools}");
        }
    }

    #[test]
    fn todays_ports_are_those_set_then_those_measured_then_what_azure_gives_the_nodes_there_are() {
        let may_grow = json!([{ "count": 3, "maxCount": 900, "enableAutoScaling": true }]);
        let sixty = json!([{ "count": 60 }]);
        for (pools, set, addresses, measured, expected) in [
            (&may_grow, 64, 1, Some(1024), 64),
            (&may_grow, 0, 1, Some(1024), 1024),
            (&may_grow, 0, 1, None, 1024),
            (&may_grow, 0, 3, None, 3 * 1024),
            (&sixty, 0, 1, None, 512),
            (&sixty, 0, 1, Some(1024), 1024),
        ] {
            let found = supply(pools, set, addresses, measured).today;
            assert_eq!(found, expected, "{pools} {set} {addresses} {measured:?}");
        }
    }

    #[test]
    fn no_number_that_a_node_has_already_is_proposed_or_taken() {
        let pool = |most| json!([{ "count": 3, "maxCount": most, "enableAutoScaling": true }]);
        // As many nodes as there may be would have 32 and 512 by default; these have 1024.
        for most in [900, 60] {
            let supply = supply(&pool(most), 0, 1, Some(1024));
            assert_eq!(supply.sizing(None).unwrap().ports, 2048, "{most}");
            for asked in [8, 64, 1016, 1024] {
                let refused = supply.sizing(Some(asked));
                let Err(PluginError::InvalidParameter(why)) = refused else {
                    panic!("{asked}: {refused:?}");
                };
                assert!(
                    why.contains(&asked.to_string()) && why.contains("1024"),
                    "{why}"
                );
            }
            assert_eq!(supply.sizing(Some(1032)).unwrap().ports, 1032);
        }
    }

    #[test]
    fn ports_and_addresses_satisfy_the_rule_of_aks_and_one_address_fewer_would_not() {
        for count in [1_u64, 3, 49, 200, 990] {
            for measured in [32, 64, 100, 1024, 8192] {
                let supply = supply(&json!([{ "count": count }]), 0, 1, Some(measured));
                let Ok(sizing) = supply.sizing(None) else {
                    assert!(supply.most() <= measured, "{supply:?}");
                    continue;
                };
                assert!(sizing.ports > measured && sizing.ports.is_multiple_of(STEP));
                let asked = sizing.ports * sizing.nodes;
                assert!(asked <= PORTS_OF_ADDRESS * sizing.addresses, "{sizing:?}");
                if let Some(new) = sizing.new_address_count {
                    assert_eq!(new, sizing.addresses);
                    assert!(asked > PORTS_OF_ADDRESS * (new - 1), "{sizing:?}");
                }
            }
        }
    }
}
