//! Where tunnel agents connect to: the addresses of the API server.

use std::{collections::BTreeSet, net::IpAddr};

use serde::Deserialize;

use crate::{
    Evidence, ObjectRef, Observed, PluginError, Query, Reads, ServicePort, Tunnel, TunnelType,
    arm::ManagedCluster, error::in_words, need::Destinations, read_json,
};

/// `v1` `Endpoints`, as much as is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoints {
    subsets: Vec<Subset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subset {
    addresses: Vec<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    ip: String,
}

/// The service that the API server publishes its own addresses under: on AKS
/// the public address, or the private endpoint's on a private cluster.
pub fn kubernetes_endpoints() -> Query {
    Query::KubernetesGet(ObjectRef {
        api_version: "v1".into(),
        kind: "Endpoints".into(),
        namespace: "default".into(),
        name: "kubernetes".into(),
    })
}

/// Where the tunnel's server is.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// Its addresses, or the tag of its region where they cannot be read.
    pub destinations: Destinations,
    /// What says so.
    pub evidence: Evidence,
}

/// What the agents need to get out.
#[derive(Clone, Debug)]
pub enum Exit {
    /// This port of the API server.
    Needed {
        /// The port.
        port: ServicePort,
        /// The server.
        server: ApiServer,
    },
    /// Nothing; says why.
    NotNeeded(String),
    /// It cannot be told what; says why.
    Unknown(String),
}

impl Exit {
    /// Reads what the agents of this tunnel need. Ports of other kinds of
    /// tunnel are never among it.
    ///
    /// # Errors
    /// When the addresses were read and make no sense.
    pub fn observe(
        reads: &dyn Reads,
        cluster: &Observed<ManagedCluster>,
        tunnel: &Tunnel,
    ) -> Result<Self, PluginError> {
        let Some(port) = ServicePort::of_tunnel(tunnel.tunnel_type) else {
            return Ok(match tunnel.tunnel_type {
                TunnelType::VnetIntegration => Self::NotNeeded(
                    "The API server is in the virtual network, so no tunnel agent dials out"
                        .to_owned(),
                ),
                _ => {
                    Self::Unknown("No tunnel agent is there to tell which port it needs".to_owned())
                }
            });
        };
        let is_private = cluster.value.is_private();
        if is_private && tunnel.tunnel_type != TunnelType::Konnectivity {
            return Ok(Self::NotNeeded(format!(
                "The cluster is private, so {} does not leave the network on {port}",
                tunnel.tunnel_type.name()
            )));
        }
        let read: Result<Observed<Endpoints>, _> = read_json(reads, &kubernetes_endpoints());
        let reason = match read {
            Ok(endpoints) => {
                let hosts = hosts(&endpoints)?;
                if !hosts.is_empty() {
                    return Ok(Self::Needed {
                        port,
                        server: at_hosts(&endpoints, hosts),
                    });
                }
                "it has none".to_owned()
            }
            Err(error @ PluginError::Observation(_)) => in_words(&error),
            Err(error) => return Err(error),
        };
        if is_private || cluster.value.location.is_empty() {
            return Ok(Self::Unknown(format!(
                "The address of the API server is not known ({reason})"
            )));
        }
        let tag = format!("AzureCloud.{}", cluster.value.location);
        let meaning = format!(
            "the address of the API server is not known ({reason}), so all of {tag} stands for it"
        );
        let evidence = cluster.evidence("location", &cluster.value.location, meaning);
        Ok(Self::Needed {
            port,
            server: ApiServer {
                destinations: Destinations::Tag(tag),
                evidence,
            },
        })
    }
}

fn hosts(endpoints: &Observed<Endpoints>) -> Result<BTreeSet<IpAddr>, PluginError> {
    let addresses = endpoints.value.subsets.iter().flat_map(|s| &s.addresses);
    let parse = |address: &Address| {
        address.ip.parse().map_err(|_| {
            let text = &address.ip;
            PluginError::Malformed(format!("{}: {text:?} is no address", endpoints.resource))
        })
    };
    addresses.map(parse).collect()
}

fn at_hosts(endpoints: &Observed<Endpoints>, hosts: BTreeSet<IpAddr>) -> ApiServer {
    let destinations = Destinations::Hosts(hosts);
    let value = destinations.texts().join(", ");
    ApiServer {
        evidence: endpoints.evidence(
            "subsets[].addresses[].ip",
            value,
            "where the API server and its tunnel server listen",
        ),
        destinations,
    }
}
