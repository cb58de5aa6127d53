//! A transport protocol with a port.

use std::fmt;

use naosu_flow::set::Protocol;

use crate::{KUBELET_PORT, TunnelType};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that somebody listens on: "TCP 9000".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    /// Its transport protocol.
    pub transport: Transport,
    /// Its number.
    pub number: u16,
}

impl ServicePort {
    /// The kubelet's.
    pub const KUBELET: Self = Self {
        transport: Transport::Tcp,
        number: KUBELET_PORT,
    };

    /// The one that agents of this tunnel dial out to.
    pub fn of_tunnel(tunnel: TunnelType) -> Option<Self> {
        let (protocol, number) = tunnel.egress()?;
        let transport = if protocol.eq_ignore_ascii_case("udp") {
            Transport::Udp
        } else {
            Transport::Tcp
        };
        Some(Self { transport, number })
    }

    /// As security groups and required flows write the protocol: "Tcp".
    pub fn protocol_of_nsg(self) -> &'static str {
        match self.transport {
            Transport::Tcp => "Tcp",
            Transport::Udp => "Udp",
        }
    }

    /// As Azure Firewall writes it: "TCP".
    pub fn protocol_of_firewall(self) -> &'static str {
        match self.transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        }
    }

    /// As packets carry it.
    pub fn protocol(self) -> Protocol {
        match self.transport {
            Transport::Tcp => Protocol::TCP,
            Transport::Udp => Protocol::UDP,
        }
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol_of_firewall(), self.number)
    }
}
