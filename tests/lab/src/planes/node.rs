//! A node: its machine, its kubelet, how it is set up.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::DataPlaneOptions;
use crate::data_plane::{DataPlaneError, ScriptOutput};
use crate::estate::{Node, NodeSettings};
use crate::kubelet::{Authority, KUBELET_PORT, PodsOfNode, serve_listener};
use crate::machine::{
    AddressedCable, Machine, NodeFiles, OWNER_VARIABLE, connect_to_fabric, run_script,
};
use crate::scenario::Switches;

/// What kube-proxy, the IP masquerade agent and AKS put into every node's tables.
const BASELINE_RULES: &str = include_str!("../../scenarios/baseline.rules");

/// A running node.
#[derive(Debug)]
pub(super) struct RunningNode {
    pub(super) node: Node,
    pub(super) machine: Arc<Machine>,
    pub(super) interface: String,
    pub(super) pods: PodsOfNode,
    environment: Vec<(String, String)>,
    kubelet: Option<AbortHandle>,
}

impl RunningNode {
    /// Starts a node, plugs it in and starts its kubelet.
    pub(super) async fn start(
        node: Node,
        cable: AddressedCable,
        fabric: &Machine,
        authority: &Authority,
        switches: &Switches,
        options: &DataPlaneOptions,
    ) -> Result<Self, DataPlaneError> {
        let files = NodeFiles {
            ufw_absent: switches.ufw_absent,
        };
        let host_name = node.name.to_string();
        let started =
            tokio::task::spawn_blocking(move || Machine::start(&host_name, move || files.mount()));
        let machine = Arc::new(started.await.map_err(|e| failed("starting a node", e))??);
        connect_to_fabric(fabric, &machine, &cable).await?;
        let mut environment = vec![(OWNER_VARIABLE.to_owned(), options.lab_id.clone())];
        if let Some(language) = &switches.node_language {
            environment.push(("LANGUAGE".to_owned(), language.clone()));
        }
        let mut running = Self {
            pods: PodsOfNode::default(),
            interface: cable.interface,
            kubelet: None,
            environment,
            machine,
            node,
        };
        running.set_up(options).await?;
        if !running.node.settings.kubelet_stopped {
            running.start_kubelet(authority).await?;
        }
        Ok(running)
    }

    async fn start_kubelet(&mut self, authority: &Authority) -> Result<(), DataPlaneError> {
        let tls = authority
            .server_tls(self.node.name.as_str(), IpAddr::V4(self.node.address))
            .map_err(|reason| failed("making a kubelet's certificate", reason))?;
        let every_address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, KUBELET_PORT));
        let listener = self.machine.listen(every_address).await?;
        let fault = self.node.settings.kubelet_fault;
        let serving = tokio::spawn(serve_listener(listener, tls, self.pods.clone(), fault));
        self.kubelet = Some(serving.abort_handle());
        Ok(())
    }

    async fn set_up(&self, options: &DataPlaneOptions) -> Result<(), DataPlaneError> {
        let script = setup_script(&self.node.settings);
        let output = self.run(&script, options).await?;
        if output.exit_code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let action = format!("setting up {}", self.node.name);
        Err(failed(&action, said.trim()))
    }

    pub(super) async fn run(
        &self,
        script: &str,
        options: &DataPlaneOptions,
    ) -> Result<ScriptOutput, DataPlaneError> {
        let environment = self.environment.clone();
        Ok(run_script(&self.machine, script, environment, options.script_limit).await?)
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        if let Some(kubelet) = &self.kubelet {
            kubelet.abort();
        }
    }
}

fn setup_script(settings: &NodeSettings) -> String {
    let mut script = String::from("set -e\nexport LC_ALL=C LANGUAGE=C\n");
    let mut restore = |tool: &str, rules: &str| {
        let _ = writeln!(
            script,
            "{tool} --wait --noflush <<'END_OF_RULES'\n{}\nEND_OF_RULES",
            rules.trim_end()
        );
    };
    restore("iptables-restore", BASELINE_RULES);
    let own = [
        ("iptables-restore", &settings.iptables_restore),
        ("iptables-legacy-restore", &settings.iptables_legacy_restore),
        ("ip6tables-restore", &settings.ip6tables_restore),
    ];
    for (tool, rules) in own {
        if let Some(rules) = rules {
            restore(tool, rules);
        }
    }
    for arguments in &settings.ufw {
        let _ = writeln!(script, "ufw {arguments} > /run/ufw-setup.log 2>&1");
    }
    for command in &settings.commands {
        let _ = writeln!(script, "{command}");
    }
    script
}

pub(super) fn failed(action: &str, reason: impl std::fmt::Display) -> DataPlaneError {
    DataPlaneError::Failed {
        action: action.to_owned(),
        reason: reason.to_string(),
    }
}
