//! A network namespace that loads rulesets and tells which packets pass.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use naosu_flow::iptables::{Backend, Family};
use naosu_flow::set::OtherState;
use nix::libc;
use nix::sched::{CloneFlags, unshare};

use super::local_sender::{LocalSender, UNTRACKED_PRIORITY};
use super::log::PacketLog;
use super::sent_packet::{SentPacket, Transport};

/// Why the kernel could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel refused.
    #[error("kernel refused {action}: {source}")]
    Kernel {
        /// What was asked of it.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A tool refused.
    #[error("{program} failed: {message}")]
    Tool {
        /// The tool.
        program: String,
        /// What it said.
        message: String,
    },
}

/// The calling thread's own network namespace, with an interface packets come
/// in by and one they are forwarded to. It goes with the thread.
///
/// Whatever the rulesets of iptables let pass reaches a chain behind them, of a
/// table iptables does not know, which logs it and drops it: nothing is
/// answered, and no connection is remembered.
#[derive(Debug)]
pub struct NetfilterHost {
    wire: OwnedFd,
    interface_index: i32,
    destination_mac: [u8; 6],
    log: PacketLog,
    next_id: u32,
}

/// The interface packets come in by.
pub const IN_INTERFACE: &str = "veth0";
/// The interface packets for others leave by.
pub const OUT_INTERFACE: &str = "out0";
/// The host's own addresses.
pub const ADDRESSES: [&str; 4] = ["10.1.0.1/16", "10.1.0.2/16", "fd01::1/64", "fd01::2/64"];
/// Where a packet comes from that every generated ruleset accepts first: when
/// it arrives, all packets sent before it have been decided.
pub const LAST_SOURCES: [&str; 2] = ["192.0.2.254", "2001:db8::254"];
const LOG_GROUP: u16 = 7;
const LAST_ID: u32 = u32::MAX;

/// Who sends what is exempted from tracking: behind the table `raw`, as the kernel
/// itself exempts packets, for then that table does not see it.
const UNTRACKED_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn observer() -> String {
    format!(
        "table inet naosu_observer {{
  chain untracked {{
    type filter hook prerouting priority -250; ether saddr 02:00:00:00:00:02 notrack;
  }}
  chain untracked_own {{
    type filter hook output priority -250; meta priority {UNTRACKED_PRIORITY} notrack;
  }}
  chain input {{ type filter hook input priority 1000; log group 7; drop; }}
  chain postrouting {{ type filter hook postrouting priority 1000; log group 7; drop; }}
}}
"
    )
}

impl NetfilterHost {
    /// Moves the calling thread to a network namespace of its own and sets it up.
    ///
    /// # Errors
    /// What the kernel or a tool refused.
    pub fn enter() -> Result<Self, HostError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(kernel("a network namespace"))?;
        let mut set_up = String::from(
            "link set lo up\nlink add wire type veth peer name veth0\nlink set wire up\n\
             link set veth0 up\nlink add out0 type veth peer name far\nlink set far up\nlink set out0 up\n",
        );
        for address in ADDRESSES {
            let flags = if address.contains(':') { " nodad" } else { "" };
            set_up.push_str(&format!("address add {address} dev veth0{flags}\n"));
        }
        set_up.push_str("route add 10.2.0.0/16 dev out0\nroute add fd02::/16 dev out0\n");
        run("ip", &["-batch", "-"], &set_up)?;
        for (path, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/veth0/rp_filter", "0"),
        ] {
            // The kernel shows each thread the values of its own namespace.
            std::fs::write(format!("/proc/sys/net/{path}"), value).map_err(|source| {
                HostError::Kernel {
                    action: "a sysctl",
                    source,
                }
            })?;
        }
        run("nft", &["-f", "-"], &observer())?;
        let destination_mac = mac("veth0")?;
        let (wire, interface_index) = open_wire().map_err(|source| HostError::Kernel {
            action: "a packet socket",
            source,
        })?;
        let log = PacketLog::subscribe(LOG_GROUP).map_err(|source| HostError::Kernel {
            action: "the packet log",
            source,
        })?;
        Ok(Self {
            wire,
            interface_index,
            destination_mac,
            log,
            next_id: 0,
        })
    }

    /// Runs a tool in the host; gives back what it wrote.
    ///
    /// # Errors
    /// What the tool refused.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> Result<String, HostError> {
        run(program, arguments, "")
    }

    /// Sends what is for nobody it knows a route to out by [`OUT_INTERFACE`].
    ///
    /// # Errors
    /// `ip` refused.
    pub fn route_everywhere(&self) -> Result<(), HostError> {
        for family in ["-4", "-6"] {
            let route = ["route", "add", "default", "dev", OUT_INTERFACE];
            self.tool("ip", &[[family].as_slice(), &route].concat())?;
        }
        Ok(())
    }

    /// Lets packets in whatever their source: generated packets come from
    /// networks this host has no route to.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn accept_any_source(&self) -> Result<(), HostError> {
        for interface in ["all", "default", IN_INTERFACE] {
            let path = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
            std::fs::write(path, "0").map_err(|source| HostError::Kernel {
                action: "a sysctl",
                source,
            })?;
        }
        Ok(())
    }

    /// A number no packet of this host had.
    pub fn next_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Replaces every table the text holds.
    ///
    /// # Errors
    /// What `iptables-restore` refused.
    pub fn load(&self, backend: Backend, family: Family, rules: &str) -> Result<(), HostError> {
        run(
            &program(backend, family, "restore"),
            &["-w"][..usize::from(backend == Backend::Legacy)],
            rules,
        )?;
        Ok(())
    }

    /// Whether `iptables-restore` would take the text; nothing is loaded.
    ///
    /// # Errors
    /// What it refused.
    pub fn test(&self, backend: Backend, family: Family, rules: &str) -> Result<(), HostError> {
        run(&program(backend, family, "restore"), &["--test"], rules)?;
        Ok(())
    }

    /// Sends packets from sockets of the host itself, each socket with that mark, and
    /// tells which of them passed every rule.
    ///
    /// # Errors
    /// The kernel refused otherwise than by its rules.
    pub fn passing_from_here(
        &mut self,
        family: Family,
        mark: u32,
        packets: &[SentPacket],
    ) -> Result<BTreeSet<u32>, HostError> {
        let refused = |source| HostError::Kernel {
            action: "a packet of its own",
            source,
        };
        let sender = LocalSender::open(family, mark).map_err(refused)?;
        for packet in packets {
            sender.send(packet).map_err(refused)?;
        }
        self.passing(family, &[])
    }

    /// What `iptables-save` writes.
    ///
    /// # Errors
    /// What it refused.
    pub fn save(&self, backend: Backend, family: Family) -> Result<String, HostError> {
        run(&program(backend, family, "save"), &[], "")
    }

    /// Makes named sets of prefixes for `-m set`.
    ///
    /// # Errors
    /// What `ipset` refused.
    pub fn make_set(&self, name: &str, family: Family, members: &[&str]) -> Result<(), HostError> {
        let family = match family {
            Family::Ipv4 => "inet",
            Family::Ipv6 => "inet6",
        };
        let mut commands = format!("create {name} hash:net family {family}\n");
        for member in members {
            commands.push_str(&format!("add {name} {member}\n"));
        }
        run("ipset", &["restore"], &commands)?;
        Ok(())
    }

    /// Makes connections the kernel takes for established.
    ///
    /// # Errors
    /// What `conntrack` refused.
    pub fn establish(&self, connections: &[SentPacket]) -> Result<(), HostError> {
        // A packet of an established connection is one whatever its window, and still is
        // one once a rule answered with a reset; one of no connection is not taken for such.
        for (name, value) in [
            ("tcp_be_liberal", "1"),
            ("tcp_loose", "0"),
            ("tcp_timeout_close", "3600"),
        ] {
            let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
            std::fs::write(path, value).map_err(|source| HostError::Kernel {
                action: "a sysctl",
                source,
            })?;
        }
        for packet in connections {
            let (protocol, source, destination) = match packet.transport {
                Transport::Tcp {
                    source,
                    destination,
                    ..
                } => ("tcp", source, destination),
                Transport::Udp {
                    source,
                    destination,
                } => ("udp", source, destination),
                _ => continue,
            };
            let (from, to) = (packet.source.to_string(), packet.destination.to_string());
            let (source, destination) = (source.to_string(), destination.to_string());
            let mut arguments = vec![
                "-I",
                "-p",
                protocol,
                "-s",
                &from,
                "-d",
                &to,
                "--sport",
                &source,
                "--dport",
                &destination,
                "-t",
                "3600",
                "-u",
                "ASSURED,SEEN_REPLY",
            ];
            if protocol == "tcp" {
                arguments.extend_from_slice(&["--state", "ESTABLISHED"]);
            }
            run("conntrack", &arguments, "")?;
        }
        Ok(())
    }

    /// Sends packets and tells which of them passed every rule.
    ///
    /// # Errors
    /// The kernel refused, or the packet sent last did not arrive.
    pub fn passing(
        &mut self,
        family: Family,
        packets: &[SentPacket],
    ) -> Result<BTreeSet<u32>, HostError> {
        for packet in packets {
            self.send(packet)?;
        }
        let (source, destination) = match family {
            Family::Ipv4 => (LAST_SOURCES[0], "10.1.0.1"),
            Family::Ipv6 => (LAST_SOURCES[1], "fd01::1"),
        };
        let parse = |text: &str| -> IpAddr { text.parse().expect("a constant address") };
        self.send(&SentPacket {
            source: parse(source),
            destination: parse(destination),
            transport: Transport::Udp {
                source: 9,
                destination: 9,
            },
            other: None,
            id: LAST_ID,
        })?;
        let mut passed = BTreeSet::new();
        self.log
            .read(|bytes| match SentPacket::id_of(bytes) {
                Some(LAST_ID) => true,
                Some(id) => {
                    passed.insert(id);
                    false
                }
                None => false,
            })
            .map_err(|source| HostError::Kernel {
                action: "the last packet",
                source,
            })?;
        Ok(passed)
    }

    fn send(&self, packet: &SentPacket) -> Result<(), HostError> {
        let ethertype: u16 = if packet.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        let mut frame = Vec::with_capacity(100);
        frame.extend_from_slice(&self.destination_mac);
        frame.extend_from_slice(match packet.other {
            Some(OtherState::Untracked) => &UNTRACKED_MAC,
            _ => &[2, 0, 0, 0, 0, 1],
        });
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame.extend_from_slice(&packet.to_bytes());
        // SAFETY: all-zero is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = self.interface_index;
        address.sll_halen = 6;
        // SAFETY: buffer and address are valid for the lengths given.
        let sent = unsafe {
            libc::sendto(
                self.wire.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent == frame.len() as isize {
            return Ok(());
        }
        Err(HostError::Kernel {
            action: "a packet",
            source: io::Error::last_os_error(),
        })
    }
}

fn open_wire() -> io::Result<(OwnedFd, i32)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let wire = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let index = nix::net::if_::if_nametoindex("wire")?;
    Ok((wire, index as i32))
}

fn mac(interface: &str) -> Result<[u8; 6], HostError> {
    let text = run("ip", &["-brief", "link", "show", "dev", interface], "")?;
    let address = text.split_whitespace().nth(2).unwrap_or_default();
    let bytes: Vec<u8> = address
        .split(':')
        .filter_map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    bytes.try_into().map_err(|_| HostError::Tool {
        program: "ip".to_owned(),
        message: format!("no MAC address in {text:?}"),
    })
}

fn program(backend: Backend, family: Family, verb: &str) -> String {
    let family = match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    };
    let backend = match backend {
        Backend::Legacy => "legacy",
        Backend::Nft => "nft",
    };
    format!("{family}-{backend}-{verb}")
}

/// Runs a tool in the calling thread's namespaces; gives back what it wrote.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, HostError> {
    let failed = |message: String| HostError::Tool {
        program: format!("{program} {}", arguments.join(" ")),
        message,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let text = input.to_owned();
        // A tool that writes much before it reads all must not wait for us.
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = child
            .wait_with_output()
            .map_err(|error| failed(error.to_string()))?;
        let _ = writer.join();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Err(failed("no standard input".to_owned()))
}

fn kernel(action: &'static str) -> impl Fn(nix::Error) -> HostError {
    move |error| HostError::Kernel {
        action,
        source: error.into(),
    }
}
