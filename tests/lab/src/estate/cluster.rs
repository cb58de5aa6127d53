//! The managed cluster and its tunnel.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// How the control plane reaches nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunnelType {
    /// `konnectivity-agent`, TCP 443 to the API server.
    #[default]
    Konnectivity,
    /// `tunnelfront`, TCP 9000.
    Tunnelfront,
    /// `aks-link`, UDP 1194.
    AksLink,
    /// None: the API server is in the virtual network and dials nodes from its own subnet.
    VnetIntegration,
}

impl TunnelType {
    /// The port the tunnel server listens on, or the API server alone.
    pub fn server_port(self) -> u16 {
        match self {
            Self::Konnectivity | Self::VnetIntegration => 443,
            Self::Tunnelfront => 9000,
            Self::AksLink => 1194,
        }
    }

    /// Name of the agents' deployment in `kube-system`, where there are agents.
    pub fn deployment(self) -> Option<&'static str> {
        match self {
            Self::Konnectivity => Some("konnectivity-agent"),
            Self::Tunnelfront => Some("tunnelfront"),
            Self::AksLink => Some("aks-link"),
            Self::VnetIntegration => None,
        }
    }
}

/// The managed cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Name of the managed cluster.
    pub name: String,
    /// Subscription id.
    pub subscription: String,
    /// Tenant id, part of the token endpoint.
    pub tenant: String,
    /// Resource group of the cluster.
    pub resource_group: String,
    /// Region.
    pub location: String,
    /// Kubernetes version.
    pub kubernetes_version: String,
    /// How the control plane reaches nodes.
    pub tunnel: TunnelType,
    /// Whether the API server has a private address only.
    pub private: bool,
    /// Whether the node resource group only allows reading.
    pub lockdown: bool,
    /// `loadBalancer`, `userDefinedRouting`, `managedNATGateway`, `userAssignedNATGateway`, `none`.
    pub outbound_type: String,
    /// `allocatedOutboundPorts` of the load balancer profile; 0 means by pool size.
    pub allocated_outbound_ports: u32,
    /// Managed outbound addresses of the load balancer.
    pub managed_outbound_ips: u32,
    /// Outbound addresses of the owner's own in their place; 0 for none.
    pub own_outbound_ips: u32,
    /// Where the API server and the tunnel server listen, in the fabric.
    pub control_plane_address: Ipv4Addr,
    /// Name of the subnet that is delegated to an API server in the virtual network, which then
    /// has its first usable address.
    pub api_server_subnet: Option<String>,
    /// The ladder by which konnectivity agents are scaled, as JSON. What runs at the start is what
    /// the nodes say; the autoscaler follows the ladder when somebody changes it.
    pub konnectivity_ladder: String,
}

/// The steps by which AKS scales the tunnel agents with the nodes.
const LADDER: &str = r#"{"nodesToReplicas":[[1,2],[100,3],[250,4],[500,5],[1000,6],[5000,10]]}"#;

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: "aks-lab".into(),
            subscription: "11111111-2222-3333-4444-555555555555".into(),
            tenant: "99999999-8888-7777-6666-555555555555".into(),
            resource_group: "rg-lab".into(),
            location: "westeurope".into(),
            kubernetes_version: "1.34.1".into(),
            tunnel: TunnelType::default(),
            private: false,
            lockdown: false,
            outbound_type: "loadBalancer".into(),
            allocated_outbound_ports: 0,
            managed_outbound_ips: 1,
            own_outbound_ips: 0,
            control_plane_address: Ipv4Addr::new(203, 0, 113, 10),
            api_server_subnet: None,
            konnectivity_ladder: LADDER.into(),
        }
    }
}

impl Cluster {
    /// The node resource group AKS makes.
    pub fn node_resource_group(&self) -> String {
        format!("MC_{}_{}_{}", self.resource_group, self.name, self.location)
    }

    /// ARM id of a resource group.
    pub fn group_id(&self, resource_group: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{resource_group}",
            self.subscription
        )
    }

    /// ARM id of the managed cluster.
    pub fn id(&self) -> String {
        format!(
            "{}/providers/Microsoft.ContainerService/managedClusters/{}",
            self.group_id(&self.resource_group),
            self.name
        )
    }
}
