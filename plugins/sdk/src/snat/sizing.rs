//! How many ports and addresses AKS allows: nodes × ports ≤ 64000 × addresses,
//! ports a multiple of 8, nodes as many as there may be.

use crate::{
    PluginError,
    arm::{ManagedCluster, Pool},
};

const PORTS_OF_ADDRESS: u64 = 64_000;
const MOST_PORTS: u64 = 64_000;
const MOST_ADDRESSES: u64 = 100;
const STEP: u64 = 8;

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
    /// Twice today's ports, or `asked`, on as few addresses as hold them.
    ///
    /// # Errors
    /// When the ports asked for are no valid number, or no count of addresses is
    /// enough.
    pub fn of(cluster: &ManagedCluster, asked: Option<u32>) -> Result<Self, PluginError> {
        size(cluster, asked)
    }

    /// One line in the imperative.
    pub fn summary(&self) -> String {
        format!(
            "Allocate {} outbound ports a node for up to {} nodes on {} outbound addresses",
            self.ports, self.nodes, self.addresses
        )
    }
}
/// Ports that AKS gives where none are set, by the number of nodes.
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

/// Nodes that a pool may have at once: the autoscaler's maximum and the surge.
fn most_nodes(pool: &Pool) -> u64 {
    let count = match pool.max_count {
        Some(most) if pool.enable_auto_scaling => most.max(pool.count),
        _ => pool.count,
    };
    let settings = pool.upgrade_settings.as_ref();
    let surge = settings.and_then(|settings| settings.get("maxSurge"));
    let surge = surge.and_then(|surge| surge.as_str()).unwrap_or("10%");
    let count = u64::from(count);
    let extra = match surge.strip_suffix('%') {
        Some(percent) => {
            let percent: u64 = percent.trim().parse().unwrap_or(10);
            count.saturating_mul(percent).div_ceil(100)
        }
        None => surge.trim().parse().unwrap_or(1),
    };
    count.saturating_add(extra)
}

fn size(cluster: &ManagedCluster, asked: Option<u32>) -> Result<Sizing, PluginError> {
    let properties = &cluster.properties;
    let nodes: u64 = properties.agent_pool_profiles.iter().map(most_nodes).sum();
    let nodes = nodes.max(1);
    let profile = properties.network_profile.load_balancer_profile.as_ref();
    let allocated = profile.and_then(|profile| profile.allocated_outbound_ports);
    let today = allocated.map(u64::from).filter(|ports| *ports > 0);
    let today = today.unwrap_or_else(|| default_ports(nodes));
    let managed = profile.and_then(|profile| profile.managed_outbound_ips.as_ref());
    let managed = managed.and_then(|managed| managed.count).map(u64::from);
    let effective = profile.map_or(0, |profile| profile.effective_outbound_ips.len() as u64);
    let addresses = managed.unwrap_or(effective).max(1);
    // AKS makes more of its own addresses, and none of those that somebody else gave.
    let is_owners = managed.is_none() && effective > 0;
    let most_addresses = if is_owners { addresses } else { MOST_ADDRESSES };
    let most = PORTS_OF_ADDRESS.saturating_mul(most_addresses) / nodes / STEP * STEP;
    let most = most.min(MOST_PORTS);
    let ports = match asked.map(u64::from) {
        Some(ports) if ports > 0 && ports <= MOST_PORTS && ports % STEP == 0 => ports,
        Some(ports) => {
            return Err(PluginError::InvalidParameter(format!(
                "ports is {ports}; give a multiple of {STEP} up to {MOST_PORTS}"
            )));
        }
        None => today.saturating_mul(2).min(most),
    };
    if ports > most || (ports <= today && asked.is_none()) {
        let addresses = if is_owners {
            format!("the cluster's {addresses} outbound addresses, which are its owner's own,")
        } else {
            format!("at most {MOST_ADDRESSES} outbound addresses")
        };
        return Err(PluginError::Infeasible(format!(
            "a node has {today} ports, and {addresses} allow {most} for each of up to {nodes} \
             nodes: no more can be allocated{}; reuse connections, or change to a NAT gateway",
            if is_owners {
                " before its owner adds addresses"
            } else {
                ""
            }
        )));
    }
    let needed = nodes.saturating_mul(ports).div_ceil(PORTS_OF_ADDRESS);
    Ok(Sizing {
        ports,
        nodes,
        addresses: addresses.max(needed),
        new_address_count: (needed > addresses).then_some(needed),
    })
}
