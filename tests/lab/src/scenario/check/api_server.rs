//! What must hold of an API server in the virtual network.

use std::net::IpAddr;

use super::At::Key;
use super::Check;
use crate::estate::{Estate, TunnelType};

impl Check<'_> {
    pub(super) fn api_server(&mut self, estate: &Estate) {
        let cluster = &estate.cluster;
        let at = |key| [Key("estate"), Key("cluster"), Key(key)];
        if cluster.private && !estate.api_server_is_inside() {
            let message = "that of a private cluster lies in the network".to_owned();
            self.problem(&at("control_plane_address"), message);
        }
        let is_integrated = cluster.tunnel == TunnelType::VnetIntegration;
        let Some(name) = &cluster.api_server_subnet else {
            if is_integrated {
                let message = "vnet_integration needs an api_server_subnet".to_owned();
                self.problem(&at("tunnel"), message);
            }
            return;
        };
        if !is_integrated {
            let message = "only vnet_integration has one".to_owned();
            self.problem(&at("api_server_subnet"), message);
        }
        if estate.nodes().iter().any(|node| node.agent) && is_integrated {
            let message = "vnet_integration has no agents".to_owned();
            self.problem(&at("tunnel"), message);
        }
        let Some(subnet) = estate.subnet(name) else {
            let message = format!("there is no subnet {name}");
            self.problem(&at("api_server_subnet"), message);
            return;
        };
        let address = IpAddr::V4(cluster.control_plane_address);
        if subnet.first_usable() != Some(address) {
            let message = format!("{address} is not the first usable address of {name}");
            self.problem(&at("control_plane_address"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Scenario, ScenarioError};

    fn said(cluster: &str) -> String {
        let text = format!(
            "title = 't'\nstory = 's'\n[estate.cluster]\n{cluster}\n\
             [[estate.network.subnets]]\nname = 'aks-subnet'\naddress_prefix = '10.224.0.0/16'\n\
             [[estate.network.subnets]]\nname = 'api'\naddress_prefix = '10.226.0.0/28'\n\
             [expect.findings]\nnsg = 'ruled_out'\nufw = 'ruled_out'\niptables = 'ruled_out'\n\
             egress = 'ruled_out'\nsnat = 'ruled_out'\ntunnel-pods = 'ruled_out'\n\
             konnectivity-scale = 'ruled_out'\nroute = 'ruled_out'\n"
        );
        match Scenario::parse("test", &text) {
            Ok(_) => String::new(),
            Err(ScenarioError::Invalid { problems, .. }) => {
                let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
                said.join("; ")
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_api_server_in_the_network_has_a_subnet_and_its_first_address() {
        let integrated = "tunnel = 'vnet_integration'\n";
        let placed = "api_server_subnet = 'api'\ncontrol_plane_address = '10.226.0.4'";
        assert_eq!(said(&format!("{integrated}{placed}")), "");
        assert!(said(integrated).contains("line 4: vnet_integration needs"));
        assert!(said(placed).contains("only vnet_integration has one"));
        let elsewhere = format!("{integrated}api_server_subnet = 'api'");
        assert!(said(&elsewhere).contains("not the first usable address of api"));
        assert!(said("private = true").contains("private cluster lies in the network"));
        let nowhere = format!("{integrated}api_server_subnet = 'none'");
        assert!(said(&nowhere).contains("there is no subnet none"));
    }
}
