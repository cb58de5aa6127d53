//! Packets from sockets of the host itself.

use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use naosu_flow::iptables::Family;
use naosu_flow::set::OtherState;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    setsockopt, socket, sockopt,
};

use super::sent_packet::SentPacket;

/// The priority of the socket whose packets are exempted from tracking. Rules of
/// iptables do not see it.
pub(super) const UNTRACKED_PRIORITY: u32 = 77;

/// Sockets that send whole packets, headers included, through the rules of `OUTPUT`.
#[derive(Debug)]
pub(super) struct LocalSender {
    tracked: OwnedFd,
    untracked: OwnedFd,
}

impl LocalSender {
    /// Sockets of a family that mark what they send.
    pub(super) fn open(family: Family, mark: u32) -> io::Result<Self> {
        let open = || {
            let family = match family {
                Family::Ipv4 => AddressFamily::Inet,
                Family::Ipv6 => AddressFamily::Inet6,
            };
            let flags = SockFlag::SOCK_CLOEXEC;
            // A raw socket of this protocol sends the header that it is given.
            let socket = socket(family, SockType::Raw, flags, SockProtocol::Raw)?;
            setsockopt(&socket, sockopt::Mark, &mark)?;
            Ok::<_, Errno>(socket)
        };
        let (tracked, untracked) = (open()?, open()?);
        setsockopt(&untracked, sockopt::Priority, &(UNTRACKED_PRIORITY as i32))?;
        Ok(Self { tracked, untracked })
    }

    /// Sends a packet; it is no error that rules drop it.
    pub(super) fn send(&self, packet: &SentPacket) -> io::Result<()> {
        let socket = match packet.other {
            Some(OtherState::Untracked) => &self.untracked,
            _ => &self.tracked,
        };
        let (socket, bytes) = (socket.as_raw_fd(), packet.to_bytes());
        let flags = MsgFlags::empty();
        let sent = match packet.destination {
            IpAddr::V4(address) => {
                let to = SockaddrIn::from(SocketAddrV4::new(address, 0));
                sendto(socket, &bytes, &to, flags)
            }
            IpAddr::V6(address) => {
                let to = SockaddrIn6::from(SocketAddrV6::new(address, 0, 0, 0));
                sendto(socket, &bytes, &to, flags)
            }
        };
        match sent {
            Ok(_) | Err(Errno::EPERM) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
