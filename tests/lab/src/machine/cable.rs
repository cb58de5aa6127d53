//! Cables: virtual Ethernet between a machine and the fabric.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use super::script::run_script;
use super::{Machine, MachineError};
use crate::data_plane::ScriptOutput;

/// A cable and what is configured at its far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressedCable {
    /// Name of the fabric's end.
    pub interface: String,
    /// Address of the machine.
    pub address: Ipv4Addr,
    /// Its prefix length.
    pub prefix_length: u8,
    /// The machine's default gateway; without one everything is on the link.
    pub gateway: Option<Ipv4Addr>,
}

/// Plugs a machine into the fabric. The fabric answers ARP for every other address, so that
/// packets between machines of one subnet pass it too, as they pass Azure's.
///
/// # Errors
/// What the kernel refused.
pub async fn connect_to_fabric(
    fabric: &Machine,
    machine: &Machine,
    cable: &AddressedCable,
) -> Result<(), MachineError> {
    let AddressedCable {
        interface,
        address,
        prefix_length,
        gateway,
    } = cable;
    let far_end = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        machine.network().as_raw_fd()
    );
    let in_fabric = format!(
        "set -e\n\
         ip link add {interface} type veth peer name eth0 netns {far_end}\n\
         echo 1 > /proc/sys/net/ipv4/conf/{interface}/proxy_arp\n\
         echo 0 > /proc/sys/net/ipv4/neigh/{interface}/proxy_delay\n\
         ip link set {interface} up\n\
         ip route add {address}/32 dev {interface}\n"
    );
    succeed(fabric, &in_fabric).await?;
    let default_route = match gateway {
        Some(gateway) => format!("route add default via {gateway}"),
        None => "route add default dev eth0".to_owned(),
    };
    let in_machine = format!(
        "ip -batch - <<'END'\n\
         link set lo up\n\
         address add {address}/{prefix_length} dev eth0\n\
         link set eth0 up\n\
         {default_route}\n\
         END\n"
    );
    succeed(machine, &in_machine).await
}

/// Runs a script that must succeed.
pub(crate) async fn succeed(machine: &Machine, script: &str) -> Result<(), MachineError> {
    let limit = std::time::Duration::from_secs(20);
    let ScriptOutput {
        stderr, exit_code, ..
    } = run_script(machine, script, Vec::new(), limit).await?;
    if exit_code == 0 {
        return Ok(());
    }
    Err(MachineError::Tool {
        machine: machine.name().to_owned(),
        tool: script.lines().last().unwrap_or_default().to_owned(),
        message: String::from_utf8_lossy(&stderr).trim().to_owned(),
    })
}
