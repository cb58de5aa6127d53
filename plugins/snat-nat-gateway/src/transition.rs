//! Which NAT gateway a cluster may change to. In a network that AKS made it makes
//! the gateway too; in one's own, the nodes' subnets must have one already.
//! Source: "Customize cluster egress with outbound types" in Azure's documentation.

use std::collections::BTreeMap;

use naosu_plugin::{
    Evidence, Observed, PluginError, Query, Reads, ResourceId,
    arm::{ManagedCluster, NatGateway, VirtualNetwork},
    read_json,
};
use serde_json::{Value, json};

/// Ports of one address of a NAT gateway, shared by all nodes.
const PORTS_OF_ADDRESS: f64 = 64_512.0;
/// Most addresses of a gateway.
const MOST_ADDRESSES: u32 = 16;
/// Minutes that AKS and NAT gateways keep an idle connection by default.
const IDLE_MINUTES: u32 = 4;

/// The gateway to change to.
pub struct Gateway {
    is_managed: bool,
    /// What allows the change.
    pub evidence: Vec<Evidence>,
}

impl Gateway {
    /// Finds it.
    ///
    /// # Errors
    /// [`PluginError::Infeasible`] with what to do instead.
    pub fn find(
        reads: &dyn Reads,
        cluster: &Observed<ManagedCluster>,
    ) -> Result<Self, PluginError> {
        let properties = &cluster.value.properties;
        let sku = &properties.network_profile.load_balancer_sku;
        if sku.eq_ignore_ascii_case("basic") {
            return Err(PluginError::Infeasible(
                "a cluster with a basic load balancer cannot change its outbound type; make a new \
                 one with --load-balancer-sku standard --outbound-type managedNATGateway and move \
                 the workloads"
                    .to_owned(),
            ));
        }
        let mut subnets: BTreeMap<String, &ResourceId> = BTreeMap::new();
        for pool in &properties.agent_pool_profiles {
            // Pods with a subnet of their own leave by that one.
            let own = [&pool.vnet_subnet_id, &pool.pod_subnet_id];
            for subnet in own.into_iter().flatten() {
                subnets.insert(subnet.key(), subnet);
            }
        }
        if subnets.is_empty() {
            return Ok(Self {
                is_managed: true,
                evidence: vec![cluster.evidence(
                    "properties.agentPoolProfiles.vnetSubnetID",
                    "none",
                    "AKS made the network, so that it can put a NAT gateway there itself",
                )],
            });
        }
        let mut evidence = Vec::new();
        for subnet in subnets.into_values() {
            evidence.extend(gateway_of(reads, subnet)?);
        }
        Ok(Self {
            is_managed: false,
            evidence,
        })
    }

    /// The change to the network profile. `demand` are the ports that would have
    /// been enough.
    ///
    /// # Errors
    /// When the number of addresses asked for is none.
    pub fn patch(&self, demand: f64, asked: Option<u32>) -> Result<Value, PluginError> {
        if !self.is_managed {
            if asked.is_some() {
                return Err(PluginError::InvalidParameter(
                    "addresses: those of the subnets' own NAT gateway are set on the gateway itself"
                        .to_owned(),
                ));
            }
            return Ok(json!({
                "outboundType": "userAssignedNATGateway",
                "loadBalancerProfile": null,
            }));
        }
        let count = match asked {
            Some(count) if (1..=MOST_ADDRESSES).contains(&count) => count,
            Some(count) => {
                return Err(PluginError::InvalidParameter(format!(
                    "addresses is {count}; give 1 to {MOST_ADDRESSES}"
                )));
            }
            // Twice as many, as for ports of the load balancer.
            None => (1..MOST_ADDRESSES)
                .find(|count| f64::from(*count) * PORTS_OF_ADDRESS >= 2.0 * demand)
                .unwrap_or(MOST_ADDRESSES),
        };
        Ok(json!({
            "outboundType": "managedNATGateway",
            "loadBalancerProfile": null,
            "natGatewayProfile": {
                "managedOutboundIPProfile": { "count": count },
                "idleTimeoutInMinutes": IDLE_MINUTES,
            },
        }))
    }

    /// One line in the imperative.
    pub fn summary(&self) -> String {
        if self.is_managed {
            "Send outbound connections through a NAT gateway that AKS makes".to_owned()
        } else {
            "Send outbound connections through the NAT gateway of the cluster's subnets".to_owned()
        }
    }
}

/// The gateway on a subnet of one's own, and that it has an address: without one it
/// takes the connections of the subnet and lets none out.
fn gateway_of(reads: &dyn Reads, subnet: &ResourceId) -> Result<[Evidence; 2], PluginError> {
    let network = subnet.parent().unwrap_or_default();
    let network: Observed<VirtualNetwork> = read_json(reads, &Query::AzureGet(network.0))?;
    let mut subnets = network.value.properties.subnets.iter();
    let found = subnets.find(|other| other.id == *subnet);
    let gateway = found.and_then(|found| found.properties.nat_gateway.as_ref());
    let Some(gateway) = gateway else {
        return Err(PluginError::Infeasible(format!(
            "nodes or pods are in subnet {subnet} of a network of your own, where AKS makes no NAT \
             gateway, and it has none: put one with a public address on it (az network nat gateway \
             create; az network vnet subnet update --nat-gateway) and diagnose again, or make a \
             new cluster with --outbound-type userAssignedNATGateway on a subnet that has one. \
             Putting it there moves the subnet's outbound connections at once, before any change \
             of the outbound type, since a NAT gateway comes before the load balancer's outbound \
             rules: their address changes, and those that are open may be cut"
        )));
    };
    let on_subnet = network.evidence(
        format!("properties.subnets[{}].natGateway", subnet.name()),
        gateway.id.as_str(),
        "the subnet has a NAT gateway, so that the outbound type may change to it",
    );
    let query = Query::AzureGet(gateway.id.as_str().to_owned());
    let gateway: Observed<NatGateway> = read_json(reads, &query)?;
    let properties = &gateway.value.properties;
    let (addresses, prefixes) = (
        properties.public_ip_addresses.len(),
        properties.public_ip_prefixes.len(),
    );
    if addresses == 0 && prefixes == 0 {
        return Err(PluginError::Infeasible(format!(
            "NAT gateway {} on subnet {subnet} has no public address and no prefix of some: \
             nothing gets out by it. Give it one (az network nat gateway update \
             --public-ip-addresses) and diagnose again",
            gateway.resource
        )));
    }
    let has_addresses = gateway.evidence(
        "properties.publicIpAddresses, publicIpPrefixes",
        format!("{addresses} addresses, {prefixes} prefixes"),
        "connections leave under them",
    );
    Ok([on_subnet, has_addresses])
}
